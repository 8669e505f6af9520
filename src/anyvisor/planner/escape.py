# SPDX-License-Identifier: Apache-2.0
"""What the controller does not govern: pairs of ports that talk around it, and rules that nobody enforces.

Two ports escape if they are on one network and both sit behind a switch that the controller does not program, on one
host or on hosts that the network's VLAN joins; or if they share a tag of the inner switch of one host, which has no way
out: there rules hold towards everybody else. Whether a rule would allow their traffic plays no part: nobody asks it.
The cost grows with ports and pairs found, not with hosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, islice
from typing import NamedTuple

from anyvisor.model.host import Host
from anyvisor.model.kinds import Direction, Scheme
from anyvisor.model.names import GroupName, HostName, NetworkName, PortName
from anyvisor.model.plan import EscapeGroup, EscapingPair, Unenforced
from anyvisor.model.port import Port
from anyvisor.model.security import SecurityGroup
from anyvisor.model.site import Site
from anyvisor.planner.facts import traits

NATIVE = frozenset({Scheme.SEPARATION, Scheme.VENDOR})
"""The schemes under which vNICs sit behind a switch that the controller does not program."""

NO_INGRESS = "ingress any from any: denied by default"
NO_EGRESS = "egress any to any: denied by default"
OWN_ADDRESSES = "egress from addresses that are not its own: denied by default"
"""Rules that go without saying, as the plan names them: for a port in a group; for one with an egress rule; for every
port, since OVN's port security holds each to its own MAC and IP addresses.
"""

Schemes = Mapping[HostName, Scheme | None]
_NAMED = 5
_BINDINGS = (
    "NSX is told the addresses of the port, but a binding stops no VM from using others; SpoofGuard does, with a "
    "profile that you bind to the segment"
)


class Station(NamedTuple):
    """A port behind a native switch, and the host it is on."""

    port: PortName
    host: HostName


def stations(
    site: Site, schemes: Schemes, fallen: Collection[PortName] = ()
) -> dict[NetworkName, tuple[Station, ...]]:
    """The ports behind native switches, per network, in the order of their names. `fallen` are there for a while only,
    because no appliance of their host serves.
    """
    found: defaultdict[NetworkName, list[Station]] = defaultdict(list)
    for port in site.ports.values():
        if port.host is not None and (schemes.get(port.host) in NATIVE or port.name in fallen):
            found[port.network].append(Station(port.name, port.host))
    return {network: tuple(sorted(found[network])) for network in sorted(found)}


class Circle(NamedTuple):
    """Ports of one network that all reach each other around the controller. `inner`: on the tag that they share on the
    inner switch of their host.
    """

    network: NetworkName
    members: tuple[Station, ...]
    inner: bool = False


def circles(
    site: Site, schemes: Schemes, fallen: Collection[PortName] = (), shared: Collection[PortName] = ()
) -> Iterator[Circle]:
    """All there are, network by network. `shared` are the ports that share a tag with their network's others on their
    host (see `anyvisor.planner.sharing`).
    """
    native = stations(site, schemes, fallen)
    inner: defaultdict[NetworkName, defaultdict[HostName, list[Station]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for name in shared:
        port = site.ports[name]
        if port.host is not None:
            inner[port.network][port.host].append(Station(name, port.host))
    for network in sorted({*native, *inner}):
        if network in native:
            yield Circle(network, native[network])
        for _, members in sorted(inner[network].items()) if network in inner else ():
            yield Circle(network, tuple(sorted(members)), inner=True)


def escapes_of_circle(circle: Circle) -> Iterator[EscapingPair]:
    """Every pair of it, once. The host is that of the first of the two."""
    for first, second in combinations(circle.members, 2):
        yield _pair(circle, first, second)


def escapes_of_port(port: Station, circle: Circle) -> Iterator[EscapingPair]:
    """The pairs that one of its ports makes with the others; it comes first in each."""
    return (_pair(circle, port, other) for other in sorted(circle.members) if other.port != port.port)


def _pair(circle: Circle, first: Station, second: Station) -> EscapingPair:
    return EscapingPair(
        host=first.host,
        source=first.port,
        target=second.port,
        network=circle.network,
        why=_why(first, second, circle),
    )


def escapes(
    site: Site,
    schemes: Schemes,
    at_most: int | None = None,
    *,
    fallen: Collection[PortName] = (),
    shared: Collection[PortName] = (),
) -> tuple[EscapingPair, ...]:
    """Every pair of the site, network by network; no more than `at_most`, where that is given."""
    found = circles(site, schemes, fallen, shared)
    return tuple(islice((pair for circle in found for pair in escapes_of_circle(circle)), at_most))


def escape_groups(
    site: Site, schemes: Schemes, fallen: Collection[PortName] = (), shared: Collection[PortName] = ()
) -> tuple[EscapeGroup, ...]:
    """The same, as one group per circle: all pairs are named in space that grows with the ports alone."""
    return tuple(
        EscapeGroup(network=circle.network, ports=tuple(member.port for member in circle.members))
        for circle in circles(site, schemes, fallen, shared)
        if len(circle.members) > 1
    )


def rules_of_port(port: Port, groups: Mapping[GroupName, SecurityGroup]) -> tuple[str, ...]:
    """Every rule that should hold at the port, with those that go without saying; for a port in no group the last of
    them alone.
    """
    own = [groups[name] for name in port.security_groups if name in groups]
    rules = [f"{group.name}: {rule}" for group in own for rule in group.rules]
    if own:
        rules.append(NO_INGRESS)
    if any(rule.direction is Direction.EGRESS for group in own for rule in group.rules):
        rules.append(NO_EGRESS)
    return (*rules, OWN_ADDRESSES)


def unenforced_of_port(
    port: Port,
    host: Host,
    scheme: Scheme | None,
    groups: Mapping[GroupName, SecurityGroup],
    sharers: tuple[PortName, ...] = (),
) -> tuple[Unenforced, ...]:
    """The rules of one port that nobody enforces at it; those of one of several `sharers` of a tag do not hold towards
    the others. Empty otherwise where the controller programs the switch it is on. Of what NSX keeps, that of its own
    addresses alone.
    """
    if scheme is Scheme.VENDOR and entity_enforces(host):
        return (Unenforced(rule=OWN_ADDRESSES, port=port.name, why=_BINDINGS),)
    if scheme in NATIVE:
        why = _why_unenforced(host, scheme)
    elif len(sharers) > 1:
        why = _why_in_part(port.name, host, sharers)
    else:
        return ()
    return tuple(Unenforced(rule=rule, port=port.name, why=why) for rule in rules_of_port(port, groups))


def unenforced(
    site: Site, schemes: Schemes, fallen: Collection[PortName] = (), shared: Collection[PortName] = ()
) -> tuple[Unenforced, ...]:
    """The same for every port of the site, in the order of the ports' names."""
    sharers = sharers_by_port(site, shared)
    return tuple(
        rule
        for port in sorted(site.ports.values(), key=lambda port: port.name)
        if port.host is not None and port.host in site.hosts
        for rule in unenforced_of_port(
            port,
            site.hosts[port.host],
            Scheme.SEPARATION if port.name in fallen else schemes.get(port.host),
            site.security_groups,
            sharers.get(port.name, ()),
        )
    )


def sharers_by_port(site: Site, shared: Collection[PortName]) -> dict[PortName, tuple[PortName, ...]]:
    """Of each port that shares its tag, all that do on its host; in the order of their names, itself among them."""
    found: dict[PortName, tuple[PortName, ...]] = {}
    for circle in circles(site, {}, shared=shared):
        members = tuple(member.port for member in circle.members)
        found.update(dict.fromkeys(members, members))
    return found


def _why(first: Station, second: Station, circle: Circle) -> str:
    if circle.inner:
        return (
            f"both are on the tag that {circle.network} has on the inner switch of {first.host}: what they say to each "
            "other does not cross the appliance (policy.appliance.tags)"
        )
    if first.host == second.host:
        return f"both sit behind the native switch of {first.host}, which the SDN controller does not program"
    return (
        f"both sit behind native switches ({first.host}, {second.host}) that the VLAN of {circle.network} joins; "
        "no switch between them is programmed by the SDN controller"
    )


def entity_enforces(host: Host) -> bool:
    """Whether the vendor's own controller of that host enforces security rules: NSX's distributed firewall does."""
    return traits.owned_by_nsx(host)


def _why_unenforced(host: Host, scheme: Scheme) -> str:
    if scheme is Scheme.VENDOR:
        return f"the vendor's controller keeps {host.name}; the SDN controller filters nothing there"
    switch = traits.native_switch(host)
    name = f"native switch {switch.name}" if switch is not None else "native switch"
    return (
        f"the {name} of {host.name} is not programmed by the SDN controller, and OVN ignores rules at external ports; "
        "towards ports that OVN manages only those ports' own rules hold"
    )


def _why_in_part(port: PortName, host: Host, sharers: tuple[PortName, ...]) -> str:
    named = [other for other in sharers[: _NAMED + 1] if other != port][:_NAMED]
    left = len(sharers) - 1 - len(named)
    more = f" and {left} more" if left else ""
    return (
        f"not towards {', '.join(named)}{more}: on the inner switch of {host.name} they share the network's tag; "
        "towards everybody else it is enforced"
    )
