# SPDX-License-Identifier: Apache-2.0
"""A permission of a security group as rules of the distributed firewall."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from anyvisor.drivers.nsx.names import Names
from anyvisor.model.kinds import Direction, Protocol
from anyvisor.model.names import GroupName
from anyvisor.model.security import PortRange, Rule

PORTS_AT_MOST = 15
"""Values in one port set of NSX; a range counts as two (L4PortSetServiceEntry)."""

_ICMP = {4: "ICMPv4", 6: "ICMPv6"}


def bodies(rule: Rule, names: Names, nameable: Container[GroupName]) -> Iterator[dict[str, Any]]:
    """The rules of NSX that together say what `rule` says; none where it names a group that is not `nameable`."""
    far = _far_side(rule, names, nameable)
    if far is None:
        return
    for version, services in _services(rule):
        yield body(rule.direction, services, version, far=far, name=str(rule))


def body(
    direction: Direction,
    services: tuple[Mapping[str, Any], ...],
    version: int | None,
    *,
    far: str = "ANY",
    name: str,
    action: str = "ALLOW",
) -> dict[str, Any]:
    """A rule in full. `version` is 4 or 6, None for both; no `services` means all of them."""
    receives = direction is Direction.INGRESS
    return {
        "resource_type": "Rule",
        "display_name": name[:200],
        "action": action,
        "direction": "IN" if receives else "OUT",
        "ip_protocol": f"IPV{version}" if version else "IPV4_IPV6",
        "source_groups": [far if receives else "ANY"],
        "destination_groups": ["ANY" if receives else far],
        "sources_excluded": False,
        "destinations_excluded": False,
        "services": ["ANY"],
        "service_entries": [dict(each) for each in services],
        "profiles": ["ANY"],
        "scope": ["ANY"],
        "disabled": False,
        "logged": False,
        "sequence_number": 10,
    }


def ports(protocol: str, to: tuple[str, ...] = (), *, source: tuple[str, ...] = ()) -> dict[str, Any]:
    """TCP or UDP, to those ports."""
    return {
        "resource_type": "L4PortSetServiceEntry",
        "l4_protocol": protocol,
        "source_ports": list(source),
        "destination_ports": list(to),
    }


def icmp(version: int, kind: int | None = None) -> dict[str, Any]:
    """ICMP of that IP version, of one type or of all."""
    entry: dict[str, Any] = {"resource_type": "ICMPTypeServiceEntry", "protocol": _ICMP[version]}
    return entry if kind is None else {**entry, "icmp_type": kind}


def _far_side(rule: Rule, names: Names, nameable: Container[GroupName]) -> str | None:
    if rule.group is not None:
        return names.far_side(rule.group) if rule.group in nameable else None
    if rule.cidr is None or ip_network(rule.cidr).prefixlen == 0:
        return "ANY"  # a prefix of length 0 is not understood by all versions; the IP version says the same
    return str(ip_network(rule.cidr))


def _services(rule: Rule) -> Iterator[tuple[int | None, tuple[Mapping[str, Any], ...]]]:
    version = None if rule.cidr is None else ip_network(rule.cidr).version
    match rule.protocol:
        case Protocol.ANY:
            yield version, ()
        case Protocol.ICMP:
            for each in (4, 6) if version is None else (version,):
                yield each, (icmp(each),)
        case Protocol.TCP | Protocol.UDP:
            for some in _port_sets(rule.ports):
                yield version, (ports(rule.protocol.name, some),)


def _port_sets(ranges: tuple[PortRange, ...]) -> Iterator[tuple[str, ...]]:
    """As many sets as it takes; one empty set stands for all ports."""
    some: list[str] = []
    weight = 0
    for each in sorted(set(ranges)):
        cost = 1 if each.first == each.last else 2
        if weight + cost > PORTS_AT_MOST:
            yield tuple(some)
            some, weight = [], 0
        some.append(str(each))
        weight += cost
    yield tuple(some)
