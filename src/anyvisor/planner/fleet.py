# SPDX-License-Identifier: Apache-2.0
"""The site with its cross references, kept up to date by changed key, so that one change costs what one change costs.

It answers what the compilation of one object asks about others (who is on this network, which chassis reach that
wire), and says which other objects a change touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.kinds import Direction, Scheme
from anyvisor.model.logical import Segment
from anyvisor.model.names import GroupName, HostName, NetworkName, ObjectKey, PortName, RouterName
from anyvisor.model.network import Router
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import PortState, State, Tag
from anyvisor.planner import seats
from anyvisor.planner.allocate import network_holder, physical_scope
from anyvisor.planner.escape import NATIVE
from anyvisor.planner.inner import seat_traits
from anyvisor.planner.placement import in_place
from anyvisor.planner.router_addresses import router_address
from anyvisor.planner.wires import Wires

K = TypeVar("K")
V = TypeVar("V")

ETHERNET_MTU = 1500
MAX_GATEWAYS = 5
"""OVN probes every pair of gateway chassis by BFD: more of them cost more than they give."""
PROGRAMMED = frozenset({Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.APPLIANCE, Scheme.NIC})
"""Schemes under which the host has a chassis of its own."""


class Fleet:
    """Indexes over one site. One owner; not safe to share between threads."""

    def __init__(self) -> None:
        self.site = Site()
        self.schemes: dict[HostName, Scheme] = {}
        self.carried: dict[HostName, Scheme] = {}
        self.ports: dict[PortName, PortState] = {}
        self.attachments: dict[PortName, Attachment] = {}
        self.tags: dict[tuple[str, int], Tag] = {}
        self._indexed: dict[PortName, Port] = {}
        self._moving: dict[PortName, HostName] = {}
        self._by_network: defaultdict[NetworkName, set[PortName]] = defaultdict(set)
        self._by_host: defaultdict[HostName, set[PortName]] = defaultdict(set)
        self._by_group: defaultdict[GroupName, set[PortName]] = defaultdict(set)
        self._hosts: dict[HostName, Host] = {}
        self._wires = Wires()
        self._external: defaultdict[NetworkName, set[PortName]] = defaultdict(set)
        self._router_of: dict[NetworkName, RouterName] = {}
        self._routers: dict[RouterName, Router] = {}
        self._egress: dict[GroupName, bool] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._out: dict[HostName, frozenset[int]] = {}
        self._inner: dict[HostName, frozenset[int]] = {}
        self._seats, self._shares = seats.numbers(Site().policy), False
        self.underlay_mtu = ETHERNET_MTU

    def update(self, state: State, keys: Iterable[ObjectKey]) -> set[ObjectKey]:
        """Take in what changed at `keys`; returns these and every other key whose compilation may differ now."""
        self.site = state.site
        touched = self._seats_changed()
        ordered = sorted(keys, key=lambda key: _ORDER.get(key.kind, 9))
        for key in ordered:
            touched.add(key)
            match key.kind:
                case "host":
                    touched |= self._update_host(HostName(key.name), state)
                case "router":
                    touched |= self._update_router(RouterName(key.name))
                case "network":
                    touched |= self._around_network(NetworkName(key.name))
                    # Whether its ports fall open may have changed.
                    for port in self._by_network.get(NetworkName(key.name), ()):
                        touched |= self._place(port)
                case "group":
                    touched |= self._update_group(GroupName(key.name))
                case "port":
                    touched |= self._update_port(PortName(key.name), state)
                case "policy":
                    # What is preferred may have changed for every host, and which VLANs may be given out.
                    touched |= {ObjectKey("host", host) for host in self.site.hosts}
                    touched |= {ObjectKey("network", network) for network in self.site.networks}
                case _:
                    pass
        return touched

    def set_scheme(self, host: HostName, scheme: Scheme | None) -> set[ObjectKey]:
        """A scheme was chosen; returns the keys that it touches."""
        before = self.scheme_in_force(host)
        if scheme is None:
            self.schemes.pop(host, None)
        else:
            self.schemes[host] = scheme
        return self._scheme_changed(host, before)

    def hold(self, tag: Tag) -> None:
        """Remember a tag that was taken or released."""
        previous = self.tags.get((tag.scope, tag.vlan))
        if previous is not None:
            self._held.pop((previous.scope, previous.holder), None)
        self.tags[tag.scope, tag.vlan] = tag
        if not tag.released:
            self._held[tag.scope, tag.holder] = tag.vlan

    def network_tags(self, network: NetworkName) -> tuple[Tag, ...]:
        """The tags that a network holds now on physical networks. A port may be called as it is."""
        scopes = {physical_scope(physical) for physical in (*self.site.policy.vlans, *self._wires.names)}
        held = ((scope, self._held.get((scope, network))) for scope in sorted(scopes))
        return tuple(self.tags[scope, vlan] for scope, vlan in held if vlan is not None)

    def scheme_in_force(self, host: HostName) -> Scheme | None:
        """What the agent says is there; until it has spoken, what was chosen."""
        if host not in self._hosts:
            return None
        return self.carried.get(host) or self.schemes.get(host)

    def host(self, name: HostName) -> Host:
        """A host. Raises KeyError if the site has none of that name."""
        return self._hosts[name]

    @property
    def appliance_numbers(self) -> range:
        """The numbers of the appliances that each host has."""
        return self._seats

    def appliance_of(self, port: PortName, host: HostName) -> int | None:
        """Which appliance of that host serves the port; None while nobody does and its network falls open."""
        network = self._indexed[port].network
        fallback = self.site.networks[network].fallback
        seed = network_holder(network) if self._shares else port
        numbers = seats.numbers_on(self._hosts.get(host), self._seats)
        return seats.serving(seed, host, numbers, self._out.get(host, frozenset()), fallback)

    def has_fallen(self, port: PortName) -> bool:
        """True while the port is behind its host's native switch because its appliances are dead."""
        known = self._indexed.get(port)
        if known is None or known.host not in self._out or known.network not in self.site.networks:
            return False  # without its network it goes anyway
        return (
            self.scheme_in_force(known.host) is Scheme.APPLIANCE
            and self.appliance_of(port, known.host) is None
        )

    def has_external(self, network: NetworkName) -> bool:
        """True while a port of the network sits behind a native switch."""
        return bool(self._external.get(network))

    def networks_with_external(self) -> Iterator[NetworkName]:
        """Every network of which that is true."""
        return (network for network, ports in self._external.items() if ports)

    def ports_on_network(self, network: NetworkName) -> frozenset[PortName]:
        """The ports of a network."""
        return frozenset(self._by_network.get(network, ()))

    def router_of(self, network: NetworkName) -> Router | None:
        """The router with a leg in the network, None if there is none."""
        name = self._router_of.get(network)
        return self._routers.get(name) if name is not None else None

    def gateway_router_of(self, network: NetworkName) -> Router | None:
        """The same, if it has a way out."""
        router = self.router_of(network)
        return router if router is not None and router.external is not None else None

    def port(self, name: PortName) -> Port:
        """The port where its VM runs. Raises KeyError if the site has none of that name."""
        return self._indexed[name]

    def moving_to(self, port: PortName) -> HostName | None:
        """The host that a migration of its VM leads to, if that has a chassis of its own."""
        host = self._moving.get(port)
        return host if host is not None and self.scheme_in_force(host) in PROGRAMMED else None

    def state_of(self, port: PortName) -> PortState:
        """What was decided for a port. Raises KeyError if nothing was yet."""
        return self.ports[port]

    def filters_egress(self, group: GroupName) -> bool:
        """True if the group has a rule about what its members send."""
        return self._egress.get(group, False)

    def chassis_on(self, physical: str, seed: str) -> tuple[HostName, ...]:
        """The chassis wired to a physical network, best first. The order differs by `seed`, so that load spreads, and
        changes little when a chassis comes or goes (rendezvous hashing)."""
        wired = [host for host in self._wires.ranked(physical, seed) if self._leads_to(host, physical)]
        # An appliance already is its host's bottleneck: it serves others only where nobody else does.
        wired.sort(key=lambda host: self.scheme_in_force(host) is Scheme.APPLIANCE)
        return tuple(wired[:MAX_GATEWAYS])

    def _leads_to(self, host: HostName, physical: str) -> bool:
        """Whether the chassis of that host reaches the wire: an appliance has a card of its own for it, or none."""
        scheme = self.scheme_in_force(host)
        if scheme is Scheme.APPLIANCE:
            made = self.site.policy.appliance
            return made is not None and made.physical == physical
        return scheme in PROGRAMMED

    def segment_of(self, network: NetworkName) -> Segment | None:
        """The VLAN that joins an overlay network to native switches; None until one is allocated."""
        wanted = self.site.networks[network]
        physical = self.physical_of(network)
        if physical is None:
            return None
        if wanted.vlan is not None:
            return Segment(physical=physical, vlan=wanted.vlan)
        held = self._held.get((physical_scope(physical), network))
        return Segment(physical=physical, vlan=held) if held is not None else None

    def physical_of(self, network: NetworkName) -> str | None:
        """The wire that a network uses outside the overlay: its own, or the only one that has VLANs to give."""
        wanted = self.site.networks[network]
        if wanted.physical is not None:
            return wanted.physical
        pools = list(self.site.policy.vlans)
        return pools[0] if len(pools) == 1 else None

    def router_address(self, name: RouterName) -> str | None:
        """The router's address on its external network: the stated one, else one that follows from its name."""
        router = self.site.routers[name]
        outside = router.external.network if router.external is not None else None
        members = self._by_network.get(outside, set()) if outside is not None else set()
        return router_address(self.site, router, members)

    def _update_host(self, name: HostName, state: State) -> set[ObjectKey]:
        before = self.scheme_in_force(name)
        host = state.site.hosts.get(name)
        old = self._hosts.pop(name, None)
        self._wires.update(name, old, host)
        _set(self._hosts, name, host)
        reported = state.hosts.get(name)
        _set(self.carried, name, reported.carried if reported is not None else None)
        if name not in self.schemes and reported is not None and reported.scheme is not None:
            self.schemes[name] = reported.scheme
        touched = self._scheme_changed(name, before)
        out = reported.out if reported is not None else frozenset()
        if out != self._out.get(name, frozenset()):
            _set(self._out, name, out or None)
            touched |= self._duties_changed(name)
        inner = reported.inner_vlans if reported is not None else None
        if inner != self._inner.get(name):
            _set(self._inner, name, inner)
            touched |= self._around_host(name)
        if old != host:
            touched |= self._wired()
            self._measure_underlay(old, host)
        if seat_traits(old, state.owner) != seat_traits(host, state.owner):
            touched |= self._around_host(name)
        return touched

    def _measure_underlay(self, old: Host | None, new: Host | None) -> None:
        if any(host is not None and "underlay_mtu" in host.facts for host in (old, new)):
            stated = [host.facts.get("underlay_mtu", ETHERNET_MTU) for host in self._hosts.values()]
            self.underlay_mtu = min((mtu for mtu in stated if isinstance(mtu, int)), default=ETHERNET_MTU)

    def _scheme_changed(self, host: HostName, before: Scheme | None) -> set[ObjectKey]:
        after = self.scheme_in_force(host)
        if before is after:
            return set()
        touched = self._around_host(host)
        if (before in PROGRAMMED) != (after in PROGRAMMED):
            touched |= self._wired()
        return touched

    def _duties_changed(self, host: HostName) -> set[ObjectKey]:
        """Other appliances of a host serve now: its ports are bound elsewhere, or fall open."""
        # A migration under way leads to one of its appliances, too.
        moving = {ObjectKey("port", port) for port, to in self._moving.items() if to == host}
        return moving | self._around_host(host)

    def _around_host(self, host: HostName) -> set[ObjectKey]:
        touched = {ObjectKey("host", host)}
        for port in self._by_host.get(host, ()):
            touched.add(ObjectKey("port", port))
            touched |= self._place(port)
        return touched

    def _seats_changed(self) -> set[ObjectKey]:
        """Hosts have more appliances now, or fewer: their ports are shared out anew. Or they get other tags."""
        before, self._seats = self._seats, seats.numbers(self.site.policy)
        shared, self._shares = self._shares, self.site.policy.shares_tags
        if (self._seats, self._shares) == (before, shared):
            return set()
        served = (host for host in self._hosts if self.scheme_in_force(host) is Scheme.APPLIANCE)
        return {key for host in served for key in self._duties_changed(host)}

    def _wired(self) -> set[ObjectKey]:
        """What names chassis: networks with external ports, routers."""
        touched = {ObjectKey("network", network) for network in self.networks_with_external()}
        return touched | {ObjectKey("router", router) for router in self._routers}

    def _place(self, name: PortName) -> set[ObjectKey]:
        """Count a port among the external ones of its network or not; touches the network if that made a difference."""
        port = self._indexed.get(name)
        if port is None:
            return set()
        before = self.has_external(port.network)
        separated = port.host is not None and self.scheme_in_force(port.host) in NATIVE
        if separated or self.has_fallen(name):
            self._external[port.network].add(name)
        else:
            self._external[port.network].discard(name)
        if before == self.has_external(port.network):
            return set()
        return self._around_network(port.network, ports=False)

    def _around_network(self, network: NetworkName, *, ports: bool = True) -> set[ObjectKey]:
        touched = {ObjectKey("network", network)}
        if network in self._router_of:
            touched.add(ObjectKey("router", self._router_of[network]))
        if ports:
            touched |= {ObjectKey("port", port) for port in self._by_network.get(network, ())}
        return touched

    def _update_router(self, name: RouterName) -> set[ObjectKey]:
        old, new = self._routers.pop(name, None), self.site.routers.get(name)
        touched: set[ObjectKey] = set()
        for router in (old, new):
            for network in router.networks if router is not None else ():
                touched |= self._around_network(network, ports=False)
                touched |= {
                    ObjectKey("port", port)
                    for port in self._by_network.get(network, ())
                    if self._indexed[port].floating_ip is not None
                }
        for network in old.networks if old is not None else ():
            self._router_of.pop(network, None)
        if new is not None:
            self._routers[name] = new
            for network in new.networks:
                self._router_of[network] = name
        return touched

    def _update_group(self, name: GroupName) -> set[ObjectKey]:
        group = self.site.security_groups.get(name)
        egress = group is not None and any(rule.direction is Direction.EGRESS for rule in group.rules)
        before = self._egress.pop(name, False)
        if egress:
            self._egress[name] = True
        members = self._by_group.get(name, ()) if egress != before else ()
        return {ObjectKey("port", port) for port in members}

    def _update_port(self, name: PortName, state: State) -> set[ObjectKey]:
        new = self.site.ports.get(name)
        if new is not None:
            placement = state.placements.get(name)
            new = in_place(new, placement)
            _set(self._moving, name, placement.moving_to if placement is not None else None)
        old = self._indexed.get(name)
        touched: set[ObjectKey] = set()
        if old != new:
            if old is not None:
                touched |= self._unindex(name, old)
            if new is not None:
                self._index(name, new)
                touched |= self._place(name)
        if name not in self.ports and name in state.ports:
            self.ports[name] = state.ports[name]
        return touched

    def _index(self, name: PortName, port: Port) -> None:
        self._indexed[name] = port
        self._by_network[port.network].add(name)
        if port.host is not None:
            self._by_host[port.host].add(name)
        for group in port.security_groups:
            self._by_group[group].add(name)

    def _unindex(self, name: PortName, port: Port) -> set[ObjectKey]:
        before = self.has_external(port.network)
        self._by_network[port.network].discard(name)
        self._external[port.network].discard(name)
        if port.host is not None:
            self._by_host[port.host].discard(name)
        for group in port.security_groups:
            self._by_group[group].discard(name)
        del self._indexed[name]
        if before == self.has_external(port.network):
            return set()
        return self._around_network(port.network, ports=False)


_ORDER: Mapping[str, int] = {"host": 0, "router": 1, "network": 2, "group": 3, "port": 4}
"""Hosts first: where a port counts depends on its host's scheme."""


def _set(held: dict[K, V], name: K, value: V | None) -> None:
    held.pop(name, None)
    if value is not None:
        held[name] = value
