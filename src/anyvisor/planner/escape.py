# SPDX-License-Identifier: Apache-2.0
"""What the controller does not govern: pairs of ports that talk around it, and rules that nobody enforces.

Two ports escape if they are on one network and both sit behind a switch that the controller does not program, on one
host or on hosts that the network's VLAN joins. Whether a rule would allow their traffic plays no part: nobody asks it.
The cost grows with ports and pairs found, not with hosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
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

Schemes = Mapping[HostName, Scheme | None]


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


def escapes_of_network(network: NetworkName, members: Iterable[Station]) -> Iterator[EscapingPair]:
    """Every pair of stations of one network, once. The host is that of the first of the two."""
    for first, second in combinations(sorted(members), 2):
        yield EscapingPair(
            host=first.host,
            source=first.port,
            target=second.port,
            network=network,
            why=_why(first, second, network),
        )


def escapes_of_port(
    network: NetworkName, port: Station, members: Iterable[Station]
) -> Iterator[EscapingPair]:
    """The pairs that one station makes with the others of its network; it comes first in each."""
    for other in sorted(members):
        if other.port != port.port:
            yield EscapingPair(
                host=port.host,
                source=port.port,
                target=other.port,
                network=network,
                why=_why(port, other, network),
            )


def escapes(
    site: Site, schemes: Schemes, at_most: int | None = None, *, fallen: Collection[PortName] = ()
) -> tuple[EscapingPair, ...]:
    """Every pair of the site, network by network; no more than `at_most`, where that is given."""
    pairs = (
        pair
        for network, members in stations(site, schemes, fallen).items()
        for pair in escapes_of_network(network, members)
    )
    return tuple(islice(pairs, at_most))


def escape_groups(site: Site, schemes: Schemes, fallen: Collection[PortName] = ()) -> tuple[EscapeGroup, ...]:
    """The same, as one group per network: all pairs are named in space that grows with the ports alone."""
    return tuple(
        EscapeGroup(network=network, ports=tuple(member.port for member in members))
        for network, members in stations(site, schemes, fallen).items()
        if len(members) > 1
    )


def rules_of_port(port: Port, groups: Mapping[GroupName, SecurityGroup]) -> tuple[str, ...]:
    """Every rule that should hold at the port, with those that go without saying; none for a port in no group."""
    own = [groups[name] for name in port.security_groups if name in groups]
    rules = [f"{group.name}: {rule}" for group in own for rule in group.rules]
    if own:
        rules.append("ingress any from any: denied by default")
    if any(rule.direction is Direction.EGRESS for group in own for rule in group.rules):
        rules.append("egress any to any: denied by default")
    return tuple(rules)


def unenforced_of_port(
    port: Port, host: Host, scheme: Scheme | None, groups: Mapping[GroupName, SecurityGroup]
) -> tuple[Unenforced, ...]:
    """The rules of one port that nobody enforces at it; empty where the controller programs the switch it is on, or
    where the vendor's controller enforces them.
    """
    if scheme not in NATIVE or (scheme is Scheme.VENDOR and entity_enforces(host)):
        return ()
    why = _why_unenforced(host, scheme)
    return tuple(Unenforced(rule=rule, port=port.name, why=why) for rule in rules_of_port(port, groups))


def unenforced(site: Site, schemes: Schemes, fallen: Collection[PortName] = ()) -> tuple[Unenforced, ...]:
    """The same for every port of the site, in the order of the ports' names."""
    return tuple(
        rule
        for port in sorted(site.ports.values(), key=lambda port: port.name)
        if port.host is not None and port.host in site.hosts
        for rule in unenforced_of_port(
            port,
            site.hosts[port.host],
            Scheme.SEPARATION if port.name in fallen else schemes.get(port.host),
            site.security_groups,
        )
    )


def _why(first: Station, second: Station, network: NetworkName) -> str:
    if first.host == second.host:
        return f"both sit behind the native switch of {first.host}, which the SDN controller does not program"
    return (
        f"both sit behind native switches ({first.host}, {second.host}) that the VLAN of {network} joins; "
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
