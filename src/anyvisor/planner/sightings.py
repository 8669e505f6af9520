# SPDX-License-Identifier: Apache-2.0
"""Where the VMs of ports run on hosts without a manager, by what the hosts' agents see. Pure.

The site file says where a VM is first; agents say where it went. A vNIC is a port's by its MAC and, where the
hypervisor tells, by its VM's name: another VM with a MAC of ours is nobody's.

An agent may die with its last words standing. So what was seen before a VM was last found elsewhere counts no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, ObjectKey, PortName
from anyvisor.model.port import Port
from anyvisor.model.sighting import Sighting
from anyvisor.model.state import HostState, Placement, Plugged, PortState, State
from anyvisor.planner.facts import traits


class Sightings:
    """Who sees what, indexed: a look costs what changed. One owner."""

    def __init__(self) -> None:
        self._seen: dict[HostName, dict[Sighting, int]] = {}
        self._turn = 0
        """Counts looks: each sighting has that of its first."""
        self._found: dict[PortName, int] = {}
        """The look in which a VM was last found on another host."""
        self._by_mac: defaultdict[str, set[HostName]] = defaultdict(set)
        self._by_vm: defaultdict[str, set[HostName]] = defaultdict(set)
        self._placed: dict[PortName, HostName] = {}
        self._on_host: defaultdict[HostName, set[PortName]] = defaultdict(set)
        self._known: dict[PortName, tuple[Mac | None, str | None]] = {}
        self._with_mac: defaultdict[str, set[PortName]] = defaultdict(set)
        self._of_vm: defaultdict[str, set[PortName]] = defaultdict(set)

    def news(self, state: State, keys: Iterable[ObjectKey]) -> dict[PortName, Placement | None]:
        """The placements that are not stored yet, of what hangs on these keys; None for one that is to be forgotten."""
        self._turn += 1
        touched: set[PortName] = set()
        listed = tuple(keys)
        for key in listed:
            if key.kind == "port":
                self._learn(PortName(key.name), state)
                touched.add(PortName(key.name))
        for key in listed:
            if key.kind == "host":
                touched |= self._hear(HostName(key.name), state)
        news: dict[PortName, Placement | None] = {}
        for name in sorted(touched & state.site.ports.keys()):
            home = home_of(name, state)
            if _is_lost(name, state):
                # The host that it was found on is not of the site any more: the intent holds again.
                news[name], home = None, state.site.ports[name].host
            place = self._place(name, home, state)
            if place is not None and place != state.placements.get(name):
                news[name] = place
                if place.host != home:
                    self._found[name] = self._turn
                    self._settle(name, place.host)
        return news

    def _settle(self, name: PortName, host: HostName | None) -> None:
        """Remember on which host it was found."""
        before = self._placed.pop(name, None)
        if before is not None:
            self._on_host[before].discard(name)
        if host is not None:
            self._placed[name] = host
            self._on_host[host].add(name)

    def _learn(self, name: PortName, state: State) -> None:
        port, decided = state.site.ports.get(name), state.ports.get(name)
        now = (_mac(port, decided), port.vm) if port is not None else (None, None)
        placement = state.placements.get(name) if port is not None else None
        self._settle(name, placement.host if placement is not None else None)
        before = self._known.pop(name, (None, None))
        if port is not None:
            self._known[name] = now
        else:
            self._found.pop(name, None)
        if before == now:
            return
        for index, old, new in ((self._with_mac, before[0], now[0]), (self._of_vm, before[1], now[1])):
            _moved(index, name, old, new)

    def _hear(self, name: HostName, state: State) -> set[PortName]:
        """What its agent sees; the ports that this may concern."""
        host = state.site.hosts.get(name)
        spoken = host is not None and traits.told_by_agents(host)
        before = self._seen.pop(name, {})
        said = state.hosts.get(name, HostState()).sighted if spoken else ()
        now = {each: before.get(each, self._turn) for each in said}
        if now:
            self._seen[name] = now
        touched: set[PortName] = set() if host is not None else set(self._on_host.get(name, ()))
        for each in before.keys() ^ now.keys():
            if each.mac is not None:
                touched |= self._with_mac.get(each.mac, set())
                _set(self._by_mac, each.mac, name, there=any(other.mac == each.mac for other in now))
            elif each.vm is not None and each.arriving:
                touched |= self._of_vm.get(each.vm, set())
                _set(self._by_vm, each.vm, name, there=each in now)
        return touched

    def _place(self, name: PortName, home: HostName | None, state: State) -> Placement | None:
        """Where the port's VM is, as far as agents tell; None where they say nothing that is new."""
        at_home = state.site.hosts.get(home) if home is not None else None
        if home is not None and (at_home is None or not traits.told_by_agents(at_home)):
            return None  # a manager tells, or the port waits for its host
        runs, comes = set[HostName](), set[HostName]()
        for host, arriving in self._hosts_of(name):
            (comes if arriving else runs).add(host)
        # What is seen where it belongs is merely not plugged yet.
        here = home is not None and (home in runs or is_there(state, name, home))
        runs, comes = runs - {home}, comes - {home}
        if len(runs | comes) > 1:
            return None  # two of one kind: nobody can say which is ours
        if runs and not here:
            return Placement(host=next(iter(runs)))
        if comes and home is not None:
            return Placement(host=home, moving_to=next(iter(comes)))
        placement = state.placements.get(name)
        if not runs and placement is not None and placement.moving_to is not None:
            return Placement(host=placement.host)
        return None

    def _hosts_of(self, name: PortName) -> Iterator[tuple[HostName, bool]]:
        """Where it was seen since it was last found, and whether it only arrives there."""
        since = self._found.get(name, 0)
        mac, vm = self._known.get(name, (None, None))
        for host in self._by_mac.get(mac, ()) if mac is not None else ():
            for seen, turn in self._seen[host].items():
                if seen.mac == mac and (vm is None or seen.vm in {None, vm}) and turn > since:
                    yield host, seen.arriving
        for host in self._by_vm.get(vm, ()) if vm is not None else ():
            if self._seen[host][Sighting(vm=vm, arriving=True)] > since:
                yield host, True


def _is_lost(name: PortName, state: State) -> bool:
    placement, stated = state.placements.get(name), state.site.ports[name].host
    if placement is None or placement.host in state.site.hosts or stated is None:
        return False
    host = state.site.hosts.get(stated)
    return host is not None and traits.told_by_agents(host)


def home_of(name: PortName, state: State) -> HostName | None:
    """The host where the port's VM is taken to be; None if nobody has said."""
    placement = state.placements.get(name)
    return placement.host if placement is not None else state.site.ports[name].host


def is_there(state: State, name: PortName, host: HostName) -> bool:
    """Whether the port's vNIC is on the host that it is attached to, as that host's agents say."""
    attachment = state.attachments.get(name)
    if attachment is None or attachment.host != host:
        return False
    if attachment.kind is AttachmentKind.VLAN_ACCESS and traits.inner_by_agent(state.site.hosts[host]):
        # The device is the appliance's, whose way is laid before the vNIC comes.
        return attachment.vlan in (state.hosts.get(host, HostState()).inner_vlans or ())
    return state.plugged.get(name, Plugged()).device is not None


def _mac(port: Port, decided: PortState | None) -> Mac | None:
    return decided.mac if decided is not None else port.mac


def _moved(index: Mapping[str, set[PortName]], name: PortName, old: str | None, new: str | None) -> None:
    if old is not None:
        index[old].discard(name)
    if new is not None:
        index[new].add(name)


def _set(index: defaultdict[str, set[HostName]], key: str, host: HostName, *, there: bool) -> None:
    if there:
        index[key].add(host)
        return
    index[key].discard(host)
    if not index[key]:
        del index[key]
