# SPDX-License-Identifier: Apache-2.0
"""Who may talk to whom: what the site says should happen to the first packet of a connection.

This is the yardstick that real packets are held against. It knows networks, routers and security groups, but no
schemes: that a native switch does not enforce a rule changes what happens, not what should.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal, TypeAlias

from anyvisor.model.kinds import Direction, NetworkKind, Protocol
from anyvisor.model.names import GroupName, NetworkName, PortName
from anyvisor.model.network import Router
from anyvisor.model.port import Port
from anyvisor.model.security import Rule
from anyvisor.model.site import Site

PathKind: TypeAlias = Literal["same-network", "routed", "none"]
Addresses: TypeAlias = Mapping[PortName, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The verdict. `why` names the rule that lets the packet pass, or what stops it; `path` is ``none`` if no router
    or network joins the two, whatever the rules say.
    """

    allow: bool
    why: str
    path: PathKind


@dataclass(frozen=True, slots=True)
class _Packet:
    protocol: Protocol
    port: int | None

    def __str__(self) -> str:
        return f"{self.protocol} {self.port}" if self.port is not None else str(self.protocol)


@dataclass(frozen=True, slots=True)
class _Side:
    """One end of a connection as the other end's rules see it. `prefixes` hold the addresses: single ones where they
    are known, else the whole subnets that they will come from. `groups` is empty for an outside or translated address.
    """

    name: str
    prefixes: tuple[str, ...]
    groups: frozenset[GroupName] = frozenset()


@dataclass(frozen=True, slots=True)
class _Way:
    """How packets get from one end to the other, and as whom the sender arrives."""

    kind: PathKind
    why: str = ""
    sender: _Side | None = None
    """Set where the router translates the sender's address."""


def allowed(
    site: Site,
    source: PortName,
    target: PortName,
    *,
    protocol: Protocol,
    port: int | None,
    version: int,
    addresses: Addresses | None = None,
) -> Reach:
    """Whether `source` may open a connection to `target` at its own address of that IP version (ICMP: be answered).

    `addresses` are those decided for the ports; where a port is not in it, the site's fixed ones count. Raises
    KeyError for a port that the site does not have.
    """
    sender, receiver = site.ports[source], site.ports[target]
    known = addresses or {}
    far, near = _side(site, sender, version, known), _side(site, receiver, version, known)
    for side in (far, near):
        if not side.prefixes:
            return Reach(allow=False, why=f"{side.name} has no IPv{version} address", path="none")
    way = _way(site, sender, receiver, version)
    if way.kind == "none" or source == target:
        return Reach(allow=source == target, why=way.why, path=way.kind)
    packet = _Packet(protocol, port)
    return _judge(
        way,
        _filter(site, sender, Direction.EGRESS, packet, near),
        _filter(site, receiver, Direction.INGRESS, packet, way.sender or far),
    )


def allowed_from_outside(
    site: Site, target: PortName, *, address: str, protocol: Protocol, port: int | None
) -> Reach:
    """Whether a host outside, with that address, may open a connection to `target`: at its floating IP, where it is
    translated; at its own address, where it is on a provider network or its router does not translate.
    """
    receiver = site.ports[target]
    way = _way_outside(site, receiver, address, inward=True)
    packet = _Packet(protocol, port)
    return _judge(way, _filter(site, receiver, Direction.INGRESS, packet, _outside(address)))


def allowed_to_outside(
    site: Site, source: PortName, *, address: str, protocol: Protocol, port: int | None
) -> Reach:
    """Whether `source` may open a connection to a host outside with that address."""
    sender = site.ports[source]
    way = _way_outside(site, sender, address, inward=False)
    return _judge(way, _filter(site, sender, Direction.EGRESS, _Packet(protocol, port), _outside(address)))


@dataclass(frozen=True, slots=True)
class _Verdict:
    allow: bool
    why: str


def _judge(way: _Way, *filters: _Verdict) -> Reach:
    if way.kind == "none":
        return Reach(allow=False, why=way.why, path="none")
    refusal = next((verdict for verdict in filters if not verdict.allow), None)
    if refusal is not None:
        return Reach(allow=False, why=refusal.why, path=way.kind)
    return Reach(allow=True, why="; ".join(verdict.why for verdict in filters), path=way.kind)


def _filter(site: Site, port: Port, direction: Direction, packet: _Packet, far: _Side) -> _Verdict:
    """What the port's own groups say about the packet."""
    receives = direction is Direction.INGRESS
    verb = "receives" if receives else "sends"
    if not port.security_groups:
        return _Verdict(
            allow=True, why=f"{port.name} is in no security group, so nothing filters what it {verb}"
        )
    rules = [
        (group, rule)
        for group in port.security_groups
        for rule in site.security_groups[group].rules
        if rule.direction is direction
    ]
    if not rules and not receives:
        return _Verdict(allow=True, why=f"{port.name} may send anything: no group of it has an egress rule")
    for group, rule in rules:
        if _fits(rule, packet) and _covers(rule, far):
            return _Verdict(allow=True, why=f"group {group}: {rule}")
    side = "from" if receives else "to"
    groups = ", ".join(port.security_groups)
    return _Verdict(
        allow=False,
        why=f"no {direction} rule of {groups} on {port.name} lets {packet} {side} {far.name} pass",
    )


def _fits(rule: Rule, packet: _Packet) -> bool:
    if rule.protocol is not Protocol.ANY and rule.protocol is not packet.protocol:
        return False
    if not rule.ports:
        return True
    return packet.port is not None and any(ports.first <= packet.port <= ports.last for ports in rule.ports)


def _covers(rule: Rule, far: _Side) -> bool:
    if rule.group is not None:
        return rule.group in far.groups
    return rule.cidr is None or any(_inside(prefix, rule.cidr) for prefix in far.prefixes)


def _inside(inner: str, outer: str) -> bool:
    small, large = ip_network(inner), ip_network(outer)
    if small.version != large.version or small.prefixlen < large.prefixlen:
        return False
    return small.network_address in large


def _outside(address: str) -> _Side:
    return _Side(address, (address,))


def _side(site: Site, port: Port, version: int, known: Addresses) -> _Side:
    groups = frozenset(port.security_groups)
    if port.name in known:
        return _Side(port.name, _of_version(known[port.name], version), groups)
    fixed = _of_version(port.ips, version)
    return _Side(port.name, fixed or _subnets(site, port.network, version), groups)


def _subnets(site: Site, network: NetworkName, version: int) -> tuple[str, ...]:
    return _of_version((subnet.cidr for subnet in site.networks[network].subnets), version)


def _of_version(values: Iterable[str], version: int) -> tuple[str, ...]:
    return tuple(value for value in values if ip_network(value).version == version)


def _way(site: Site, sender: Port, receiver: Port, version: int) -> _Way:
    if sender.name == receiver.name:
        return _Way("same-network", f"{sender.name} talks to itself")
    if sender.network == receiver.network:
        return _Way("same-network")
    router = _router_of(site, sender.network)
    if router is not None and receiver.network in router.networks:
        return _Way("routed")
    if router is not None and _leads_to(router, receiver.network) and version == 4:
        return _Way("routed", sender=_translated(site, router, sender))
    other = _router_of(site, receiver.network)
    if other is not None and _leads_to(other, sender.network):
        why = f"{receiver.name} is behind router {other.name}; from {sender.network} only a floating IP leads there"
        return _Way("none", why)
    return _Way("none", f"no router joins {sender.network} and {receiver.network} for IPv{version}")


def _translated(site: Site, router: Router, sender: Port) -> _Side | None:
    """As whom the sender arrives on the external network; None: as itself."""
    if sender.floating_ip is not None:
        return _Side(f"{sender.name} ({sender.floating_ip})", (sender.floating_ip,))
    if router.external is None or not router.external.snat:
        return None
    own = router.external.ip
    prefixes = (own,) if own is not None else _subnets(site, router.external.network, 4)
    return _Side(f"{sender.name} (translated by {router.name})", prefixes)


def _way_outside(site: Site, port: Port, address: str, *, inward: bool) -> _Way:
    network = site.networks[port.network]
    version = ip_address(address).version
    if any(ip_address(address) in subnet.prefix for subnet in network.subnets):
        return _on_segment(port, network.kind)
    router = _router_of(site, port.network)
    if router is None:
        gateways = [
            subnet.gateway for subnet in network.subnets if subnet.version == version and subnet.gateway
        ]
        if network.kind is NetworkKind.VLAN and gateways:
            return _Way("routed")
        return _Way("none", f"no router leads out of {port.network}")
    if router.external is None:
        return _Way("none", f"router {router.name} has no external network")
    if version != 4:
        return _Way("none", f"router {router.name} leads out for IPv4 only")
    if inward and router.external.snat and port.floating_ip is None:
        return _Way("none", f"{port.name} has no floating IP, so nobody outside can address it")
    if not _subnets(site, port.network, 4):
        return _Way("none", f"{port.name} has no IPv4 address")
    return _Way("routed")


def _on_segment(port: Port, kind: NetworkKind) -> _Way:
    if kind is NetworkKind.VLAN:
        return _Way("same-network")
    return _Way("none", f"{port.network} is an overlay: no host outside is on it")


def _leads_to(router: Router, network: NetworkName) -> bool:
    return router.external is not None and router.external.network == network


def _router_of(site: Site, network: NetworkName) -> Router | None:
    return next((router for router in site.routers.values() if network in router.networks), None)
