# SPDX-License-Identifier: Apache-2.0
"""Everything that must be decided, and stored, before anything is written elsewhere: schemes, MACs, addresses, VLANs.

Stable: what was decided once stays while the intent allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from anyvisor.errors import AnyvisorError
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, NetworkKind, Scheme
from anyvisor.model.names import HostName, Mac, NetworkName, ObjectKey, PortName
from anyvisor.model.parts import changed_keys
from anyvisor.model.plan import HostPlan
from anyvisor.model.policy import Floor
from anyvisor.model.port import Port
from anyvisor.model.state import PortState, State, Tag
from anyvisor.planner import seats
from anyvisor.planner.access import AccessTags
from anyvisor.planner.addresses import AddressPool, addresses_of
from anyvisor.planner.allocate import NATIVE_SCOPE, REST_SECONDS, network_of, physical_scope, release, take
from anyvisor.planner.availability import missing
from anyvisor.planner.choose import choose
from anyvisor.planner.clusters import Clusters
from anyvisor.planner.entity import kept_somewhere
from anyvisor.planner.facts import traits
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.inner import InnerPlace, tag_holder
from anyvisor.planner.logical import first_address, kind_of_port, kind_on_host
from anyvisor.planner.mac import mac_of
from anyvisor.planner.paper import choices


@dataclass(slots=True, kw_only=True)
class Decided:
    """What one round decided. None as a value deletes."""

    touched: set[ObjectKey] = field(default_factory=set)
    schemes: dict[HostName, Scheme | None] = field(default_factory=dict)
    ports: dict[PortName, PortState | None] = field(default_factory=dict)
    attachments: dict[PortName, Attachment | None] = field(default_factory=dict)
    tags: dict[tuple[str, int], Tag | None] = field(default_factory=dict)
    failures: dict[ObjectKey, Condition] = field(default_factory=dict)
    """Objects of which nothing may be written now, and why."""


class Decider:
    """Decides key by key. Keeps indexes; one owner."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._pools: dict[NetworkName, dict[str, AddressPool]] = {}
        self._home: dict[PortName, NetworkName] = {}
        self._attached = fleet.attachments
        self._tags_seen: Mapping[tuple[str, int], Tag] = {}
        self._access = AccessTags({}, "", 0)
        self._clusters = Clusters({})

    def load(self, state: State) -> None:
        """Take over what is stored. To be called once, before the first round."""
        for tag in state.tags.values():
            self._fleet.hold(tag)
        self._fleet.ports.update(state.ports)
        self._attached.update(state.attachments)
        for host, known in state.hosts.items():
            if known.scheme is not None:
                self._fleet.schemes[host] = known.scheme

    def round(self, state: State, keys: Iterable[ObjectKey], *, now_seconds: int) -> Decided:
        """Decide whatever hangs on `keys`; `touched` is all that must be compiled anew."""
        decided = Decided()
        self._hear_of_tags(state)
        self._access = AccessTags(self._fleet.tags, state.owner, now_seconds)
        decided.touched = self._fleet.update(state, keys)
        if state.site.hosts is not self._clusters.hosts:
            before, self._clusters = self._clusters, Clusters(state.site.hosts)
            decided.touched |= {ObjectKey("host", host) for host in self._clusters.changed(before)}
        for key in sorted(decided.touched):
            if key.kind == "host":
                self._host(state, HostName(key.name), decided)
        for key in sorted(decided.touched):
            if key.kind == "network":
                self._network(NetworkName(key.name), decided, now_seconds)
        arrivals = [PortName(key.name) for key in sorted(decided.touched) if key.kind == "port"]
        # Fixed addresses first, whoever they belong to: a dynamic one must never take them.
        for name in arrivals:
            self._reserve(name)
        for name in arrivals:
            self._port(name, decided)
        # Last: what a port of this round wants or has left is known by now.
        for key in sorted(decided.touched):
            host = self._fleet.site.hosts.get(HostName(key.name)) if key.kind == "host" else None
            if host is not None:
                self._rest_inner(state, host, decided, now_seconds)
        return decided

    def _host(self, state: State, name: HostName, decided: Decided) -> None:
        host = self._fleet.site.hosts.get(name)
        if host is None:
            if name in self._fleet.schemes:
                decided.touched |= self._fleet.set_scheme(name, None)
            return
        current = self._fleet.schemes.get(name)
        plan = self._choice(state, host, current)
        if plan.scheme is not current:
            decided.schemes[name] = plan.scheme
            decided.touched |= self._fleet.set_scheme(name, plan.scheme)
        if plan.scheme is None:
            decided.failures[ObjectKey("host", name)] = _not_ready("NoScheme", " ".join(plan.because))
        elif lacking := missing(host, plan.scheme):
            decided.failures[ObjectKey("host", name)] = _not_ready(
                "DriverMissing",
                f"{plan.scheme} needs the driver {', '.join(lacking)}, which is not part of this release",
            )

    def _rest_inner(self, state: State, host: Host, decided: Decided, now_seconds: int) -> None:
        """Where an agent drives the inner switch, it is the one who sees vNICs leave."""
        known = state.hosts.get(host.name)
        if known is None or known.inner_vlans is None or not traits.inner_by_agent(host):
            return
        for tag in self._access.unused(host, known.inner_vlans):
            if not self._wants(host.name, tag.holder):
                rested = release(tag, now_seconds=now_seconds)
                self._fleet.hold(rested)
                decided.tags[tag.scope, tag.vlan] = rested

    def _wants(self, host: HostName, holder: str) -> bool:
        network = network_of(holder)
        ports = [PortName(holder)] if network is None else self._fleet.ports_on_network(network)
        found = (self._attached.get(port) for port in ports)
        return any(a is not None and a.host == host and a.kind.is_trunked for a in found)

    def _choice(self, state: State, host: Host, current: Scheme | None) -> HostPlan:
        """As the plan on paper has it. A floor is held against the whole fleet; without one a host stands alone."""
        preference = self._fleet.site.policy.of_cluster(host.cluster)
        if preference.floor == Floor():
            return choose(self._clusters.placed(host), preference, current=current)
        return choices(self._fleet.site, state)[host.name]

    def _network(self, name: NetworkName, decided: Decided, now_seconds: int) -> None:
        network = self._fleet.site.networks.get(name)
        if network is None:
            self._pools.pop(name, None)
            self._release(name, decided, now_seconds)
            return
        stated = network.kind is NetworkKind.VLAN or network.vlan is not None
        if stated or not self._fleet.has_external(name):
            self._release(name, decided, now_seconds)
            return
        if self._fleet.segment_of(name) is not None:
            return
        physical = self._fleet.physical_of(name)
        pool = self._fleet.site.policy.vlans.get(physical) if physical is not None else None
        if physical is None or pool is None:
            decided.failures[ObjectKey("network", name)] = _not_ready(
                "NoVlan",
                "a port of this network sits behind a native switch, but no VLAN may be given out: "
                "set `vlan` and `physical` on the network, or policy.vlans",
            )
            return
        reserved = {
            other.vlan
            for other in self._fleet.site.networks.values()
            if other.vlan is not None and self._fleet.physical_of(other.name) == physical
        }
        try:
            tag = take(
                physical_scope(physical),
                name,
                self._fleet.tags,
                first=pool[0],
                last=pool[1],
                now_seconds=now_seconds,
                rest_seconds=REST_SECONDS,
                reserved=reserved,
            )
        except AnyvisorError as error:
            decided.failures[ObjectKey("network", name)] = _not_ready("NoVlan", str(error))
            return
        self._fleet.hold(tag)
        decided.tags[tag.scope, tag.vlan] = tag
        # The ports' native tags follow from the network's.
        decided.touched |= {ObjectKey("port", port) for port in self._fleet.ports_on_network(name)}

    def _release(self, network: NetworkName, decided: Decided, now_seconds: int) -> None:
        for tag in self._fleet.network_tags(network):
            rested = release(tag, now_seconds=now_seconds)
            self._fleet.hold(rested)
            decided.tags[tag.scope, tag.vlan] = rested

    def _reserve(self, name: PortName) -> None:
        port = self._fleet.site.ports.get(name)
        if port is None:
            return
        for pool in self._pools_of(port.network).values():
            for address in port.ips:
                pool.reserve(address)

    def _pools_of(self, network: NetworkName) -> dict[str, AddressPool]:
        known = self._pools.get(network)
        subnets = self._fleet.site.networks[network].subnets
        if known is not None and known.keys() == {subnet.cidr for subnet in subnets}:
            return known
        taken = list(self._claimed_on(network))
        pools = {subnet.cidr: AddressPool(subnet, (first_address(subnet), *taken)) for subnet in subnets}
        self._pools[network] = pools
        return pools

    def _claimed_on(self, network: NetworkName) -> Iterator[str]:
        """Every address that somebody has in that network: its ports, and on an external one the routers' side."""
        site = self._fleet.site
        for name in self._fleet.ports_on_network(network):
            yield from site.ports[name].ips
            decided = self._fleet.ports.get(name)
            yield from decided.addresses if decided is not None else ()
        routers = [
            r for r in site.routers.values() if r.external is not None and r.external.network == network
        ]
        for router in routers:
            own = self._fleet.router_address(router.name)
            yield from () if own is None else (own,)
        if routers:
            yield from (port.floating_ip for port in site.ports.values() if port.floating_ip is not None)

    def _port(self, name: PortName, decided: Decided) -> None:
        if name not in self._fleet.site.ports:
            self._gone(name, decided)
            return
        port = self._fleet.port(name)
        try:
            settled = self._addresses(port)
        except AnyvisorError as error:
            decided.failures[ObjectKey("port", name)] = _not_ready("NoAddress", str(error))
            return
        self._home[name] = port.network
        if self._fleet.ports.get(name) != settled:
            self._fleet.ports[name] = settled
            decided.ports[name] = settled
        try:
            attachment = self._attachment(port, settled, decided)
        except AnyvisorError as error:
            decided.failures[ObjectKey("port", name)] = _not_ready("NoVlan", _in_full(error))
            return
        if self._attached.get(name) != attachment:
            decided.attachments[name] = attachment
            if attachment is None:
                self._attached.pop(name, None)
            else:
                self._attached[name] = attachment
        failure = self._unattachable(port)
        if failure is not None:
            decided.failures[ObjectKey("port", name)] = failure

    def _addresses(self, port: Port) -> PortState:
        mac = port.mac or mac_of(f"port/{port.name}")
        network = self._fleet.site.networks[port.network]
        known = self._fleet.ports.get(port.name)
        if known is not None and known.mac == mac and self._still_good(port, known):
            return known
        pools = self._pools_of(port.network)
        for address in known.addresses if known is not None else ():
            if address not in port.ips:
                for pool in pools.values():
                    pool.give_back(address)
        return PortState(mac=Mac(mac), addresses=addresses_of(port.ips, network.subnets, Mac(mac), pools))

    def _still_good(self, port: Port, known: PortState) -> bool:
        """The stored addresses contain the stated ones, each subnet has one, and each lies in a subnet."""
        if not set(port.ips) <= set(known.addresses):
            return False
        prefixes = [subnet.prefix for subnet in self._fleet.site.networks[port.network].subnets]
        held = [ip_address(address) for address in known.addresses]
        inside = [any(value in prefix for value in held) for prefix in prefixes]
        useful = [any(value in prefix for prefix in prefixes) for value in held]
        return all(inside) and all(useful)

    def _attachment(self, port: Port, settled: PortState, decided: Decided) -> Attachment | None:
        if port.host is None or self._fleet.scheme_in_force(port.host) is None:
            return None
        kind = kind_of_port(self._fleet, port.name)
        if kind.is_trunked:
            return self._behind_trunk(port, settled, kind, decided)
        segment = self._fleet.segment_of(port.network) if kind.is_station else None
        return Attachment(
            port=port.name,
            host=port.host,
            kind=kind,
            network=port.network,
            mac=settled.mac,
            vm=port.vm,
            vlan=segment.vlan if segment is not None else None,
            staged=self._staged_beside(port, kind),
        )

    def _staged_beside(self, port: Port, kind: AttachmentKind) -> HostName | None:
        """Where its VM moves to, if the agent there is the one that plugs it: by the MAC, before the VM runs."""
        target = self._fleet.moving_to(port.name)
        if target is None or {kind, kind_on_host(self._fleet, target)} != {AttachmentKind.VIF}:
            return None
        return target if traits.told_by_agents(self._fleet.host(target)) else None

    def _behind_trunk(
        self, port: Port, settled: PortState, kind: AttachmentKind, decided: Decided
    ) -> Attachment | None:
        host = self._fleet.site.hosts.get(port.host) if port.host is not None else None
        if host is None:
            return None
        # Two children of one parent cannot be told apart on one tag.
        shared = self._fleet.site.policy.shares_tags and kind is AttachmentKind.VLAN_ACCESS
        place, tag = self._access.take(host, tag_holder(port.name, port.network, shared=shared))
        if self._fleet.tags.get((tag.scope, tag.vlan)) != tag:
            self._fleet.hold(tag)
            decided.tags[tag.scope, tag.vlan] = tag
        return Attachment(
            port=port.name,
            host=host.name,
            kind=kind,
            network=port.network,
            mac=settled.mac,
            vm=port.vm,
            vlan=tag.vlan,
            shared=shared,
            switch=place.switch,
            staged=self._staged(port, place) if kind is AttachmentKind.VLAN_ACCESS else None,
            appliance=self._fleet.appliance_of(port.name, host.name) or seats.FIRST,
        )

    def _staged(self, port: Port, place: InnerPlace) -> HostName | None:
        """Where its VM moves to, if that is the same inner switch: on another one its tag may be somebody else's."""
        target = self._fleet.moving_to(port.name)
        there = self._fleet.site.hosts.get(target) if target is not None else None
        if there is None or self._access.place(there).scope != place.scope:
            return None
        return target

    def _hear_of_tags(self, state: State) -> None:
        """Tags of native switches are released by who sees vNICs leave, not here."""
        changed, self._tags_seen = changed_keys(self._tags_seen, state.tags), state.tags
        for scope, vlan in changed:
            tag = state.tags.get((scope, vlan))
            if (
                tag is not None
                and scope.startswith(NATIVE_SCOPE)
                and self._fleet.tags.get((scope, vlan)) != tag
            ):
                self._fleet.hold(tag)

    def _unattachable(self, port: Port) -> Condition | None:
        if port.host is None:
            return None
        host = self._fleet.site.hosts.get(port.host)
        if host is None:
            return _not_ready(
                "UnknownHost", f"host {port.host} is neither in the site nor reported by a manager"
            )
        scheme = self._fleet.schemes.get(port.host)
        if scheme is None:
            return _not_ready(
                "NoScheme", f"no scheme is possible on host {port.host}; see `anyvisor explain {port.host}`"
            )
        if missing(host, scheme):
            return _not_ready(
                "DriverMissing", f"the driver for {scheme} on {host.hypervisor} is not part of this release"
            )
        if scheme is Scheme.VENDOR and not kept_somewhere(host, self._fleet.site):
            return _not_ready("NoEntity", f"NSX owns the networks of {host.name}: name it under `managers`")
        return None

    def _gone(self, name: PortName, decided: Decided) -> None:
        known = self._fleet.ports.pop(name, None)
        attached = self._attached.pop(name, None)
        home = self._home.pop(name, None)
        pools = self._pools.get(home, {}) if home is not None else {}
        for address in known.addresses if known is not None else ():
            for pool in pools.values():
                pool.give_back(address)
        if known is not None:
            decided.ports[name] = None
        if attached is not None:
            decided.attachments[name] = None


def _in_full(error: AnyvisorError) -> str:
    return f"{error}: {error.hint}" if error.hint else str(error)


def _not_ready(reason: str, message: str) -> Condition:
    return Condition(kind="Ready", true=False, reason=reason, message=message)
