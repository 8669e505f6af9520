# SPDX-License-Identifier: Apache-2.0
"""What a controller driver is given: the intent with every choice made, in the words of no particular controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import GroupName, HostName, Mac, NetworkName, ObjectKey, PortName, RouterName
from anyvisor.model.network import Subnet
from anyvisor.model.security import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The VLAN that carries a network outside the overlay."""

    physical: str
    vlan: int | None
    """None: untagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalNetwork:
    """A network with its segment and MTU decided.

    `segment` is None for a pure overlay. `external_chassis` are the chassis (best first) that answer DHCP and ARP for
    ports of kind ``external``; empty where there are none. `routed` tells that some router serves the network.
    """

    name: NetworkName
    subnets: tuple[Subnet, ...]
    mtu: int
    segment: Segment | None = None
    external_chassis: tuple[HostName, ...] = ()
    router_mac: Mac | None = None
    """The MAC of the router's port in this network, which DHCP answers name as server; None if not routed."""

    @property
    def key(self) -> ObjectKey:
        """Its key among all objects."""
        return ObjectKey("network", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLeg:
    """A router's port in a network. With `chassis` it is a distributed gateway port that one of them serves."""

    network: NetworkName
    mac: Mac
    addresses: tuple[str, ...]
    """With prefix length, e.g. ``10.1.0.1/24``."""
    mtu: int
    chassis: tuple[HostName, ...] = ()
    advertise: bool = False
    """Send IPv6 router advertisements."""
    dhcpv6: bool = False
    """Advertise with the managed flag: addresses come from DHCPv6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """One NAT entry. ``snat``: `logical` is a prefix; ``dnat_and_snat``: an address."""

    kind: str
    external: str
    logical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalRouter:
    """A router with all its legs, its default routes and its translations."""

    name: RouterName
    legs: tuple[RouterLeg, ...]
    gateway: RouterLeg | None = None
    next_hops: tuple[str, ...] = ()
    """Default gateways beyond the external network, at most one per IP version."""
    translations: tuple[Translation, ...] = ()
    """SNAT of whole prefixes. Floating IPs come with their ports."""

    @property
    def key(self) -> ObjectKey:
        """Its key among all objects."""
        return ObjectKey("router", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalGroup:
    """A security group, its rules in the words of the site."""

    name: GroupName
    rules: tuple[Rule, ...]

    @property
    def key(self) -> ObjectKey:
        """Its key among all objects."""
        return ObjectKey("group", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalPort:
    """A port with its addresses and its way of attachment decided.

    `chassis` is where it may be bound (two while it moves), empty for one that is not placed. `filtered_egress` is
    True where one of its groups has an egress rule.
    """

    name: PortName
    network: NetworkName
    kind: AttachmentKind
    mac: Mac
    addresses: tuple[str, ...]
    groups: tuple[GroupName, ...]
    chassis: tuple[HostName, ...] = ()
    filtered_egress: bool = False
    tag: int | None = None
    """Of kind ``child``: its VLAN on the trunk of the appliance that `chassis` names."""
    dhcp: tuple[int, ...] = ()
    """IP versions for which OVN answers DHCP on this port."""
    subnets: tuple[str, ...] = ()
    """The network's prefixes that `addresses` lie in, IPv4 first: they name the DHCP options."""
    floating_ip: str | None = None
    router: RouterName | None = None
    """The router that translates `floating_ip`."""
    gateway_network: NetworkName | None = None
    """The external network of that router."""

    @property
    def key(self) -> ObjectKey:
        """Its key among all objects."""
        return ObjectKey("port", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalTrunk:
    """The trunks of a host's appliances in which no agent runs: ports of kind ``child`` hang on them."""

    host: HostName
    chassis: tuple[HostName, ...]
    """One per appliance."""

    @property
    def key(self) -> ObjectKey:
        """Its key among all objects."""
        return ObjectKey("host", self.host)


LogicalObject: TypeAlias = LogicalNetwork | LogicalRouter | LogicalGroup | LogicalPort | LogicalTrunk
