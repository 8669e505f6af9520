# SPDX-License-Identifier: Apache-2.0
"""From the site and what was decided to what a controller is told: one object at a time, at the cost of that object."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from anyvisor.model.kinds import AttachmentKind, NetworkKind, Scheme
from anyvisor.model.logical import (
    LogicalGroup,
    LogicalNetwork,
    LogicalPort,
    LogicalRouter,
    LogicalTrunk,
    RouterLeg,
    Segment,
    Translation,
)
from anyvisor.model.names import GroupName, HostName, NetworkName, PortName, RouterName
from anyvisor.model.network import Network, Router, Subnet
from anyvisor.planner import seats
from anyvisor.planner.fleet import ETHERNET_MTU, Fleet
from anyvisor.planner.mac import mac_of
from anyvisor.planner.schemes.registry import attachment_kind

GENEVE_OVERHEAD = 58
"""Bytes: inner Ethernet 14, IPv4 20, UDP 8, Geneve 8 and OVN's option 8 (RFC 8926; measured: 1442 passes)."""


def kind_on_host(fleet: Fleet, host: HostName | None) -> AttachmentKind:
    """How a vNIC of that host is attached now: by the scheme in force, not by the one on its way."""
    scheme = fleet.scheme_in_force(host) if host is not None else None
    if host is None or scheme is None:
        return AttachmentKind.VIF
    return attachment_kind(scheme, fleet.host(host))


def kind_of_port(fleet: Fleet, name: PortName) -> AttachmentKind:
    """How a port is attached now: as its host's scheme has it, unless its appliances are dead and it falls open."""
    return AttachmentKind.EXTERNAL if fleet.has_fallen(name) else kind_on_host(fleet, fleet.port(name).host)


def logical_group(fleet: Fleet, name: GroupName) -> LogicalGroup:
    """A security group. Raises KeyError if the site has none of that name."""
    return LogicalGroup(name=name, rules=fleet.site.security_groups[name].rules)


def logical_network(fleet: Fleet, name: NetworkName) -> LogicalNetwork:
    """A network with its segment, MTU and chassis decided. Raises KeyError if the site has none of that name."""
    network = fleet.site.networks[name]
    router = fleet.router_of(name)
    segment = _segment(fleet, network)
    external = segment is not None and fleet.has_external(name)
    return LogicalNetwork(
        name=name,
        subnets=network.subnets,
        mtu=_mtu(fleet, network, segment=segment, routed=router is not None),
        segment=segment,
        external_chassis=fleet.chassis_on(segment.physical, name) if external and segment is not None else (),
        router_mac=mac_of(f"router/{router.name}/{name}") if router is not None else None,
    )


def logical_router(fleet: Fleet, name: RouterName) -> LogicalRouter:
    """A router with its legs and translations. Raises KeyError if the site has none of that name."""
    router = fleet.site.routers[name]
    legs = tuple(_leg(fleet, router, fleet.site.networks[network]) for network in router.networks)
    if router.external is None:
        return LogicalRouter(name=name, legs=legs)
    outside = fleet.site.networks[router.external.network]
    own = fleet.router_address(name)
    gateway = _gateway(fleet, router, outside, own)
    translations = tuple(
        Translation(kind="snat", external=own, logical=str(subnet.prefix))
        for network in router.networks
        for subnet in fleet.site.networks[network].subnets
        if own is not None and router.external.snat and subnet.version == ip_address(own).version
    )
    hops = tuple(subnet.gateway for subnet in outside.subnets if subnet.gateway is not None)
    return LogicalRouter(name=name, legs=legs, gateway=gateway, next_hops=hops, translations=translations)


def logical_port(fleet: Fleet, name: PortName) -> LogicalPort:
    """A port with its addresses and its way of attachment. Raises KeyError if the site has none of that name."""
    port = fleet.port(name)
    kind = kind_of_port(fleet, name)
    # A child hangs on one trunk: it cannot be staged on two chassis, and moves when its VM has.
    target = fleet.moving_to(name) if kind is not AttachmentKind.CHILD else None
    network = fleet.site.networks[port.network]
    decided = fleet.state_of(name)
    matched = _subnets(network, decided.addresses)
    router = fleet.gateway_router_of(port.network) if port.floating_ip is not None else None
    return LogicalPort(
        name=name,
        network=port.network,
        kind=kind,
        mac=decided.mac,
        addresses=decided.addresses,
        groups=port.security_groups,
        chassis=tuple(_chassis(fleet, name, host) for host in (port.host, target) if host is not None),
        filtered_egress=any(fleet.filters_egress(group) for group in port.security_groups),
        tag=fleet.attachments[name].vlan if kind is AttachmentKind.CHILD else None,
        dhcp=tuple(subnet.version for subnet in matched if subnet.dhcp),
        subnets=tuple(subnet.cidr for subnet in matched),
        floating_ip=port.floating_ip if router is not None else None,
        router=router.name if router is not None else None,
        gateway_network=router.external.network
        if router is not None and router.external is not None
        else None,
    )


def logical_trunk(fleet: Fleet, name: HostName) -> LogicalTrunk | None:
    """The trunks that child ports hang on; None where an agent lays the ways, or there is no appliance."""
    if kind_on_host(fleet, name) is not AttachmentKind.CHILD:
        return None
    return LogicalTrunk(
        host=name, chassis=tuple(seats.chassis_name(name, number) for number in fleet.appliance_numbers)
    )


def _chassis(fleet: Fleet, port: PortName, host: HostName) -> HostName:
    """The chassis that serves the port on that host: the host itself, or one of its appliances."""
    if fleet.scheme_in_force(host) is not Scheme.APPLIANCE:
        return host
    return seats.chassis_name(host, fleet.appliance_of(port, host) or seats.FIRST)


def _segment(fleet: Fleet, network: Network) -> Segment | None:
    """A provider network always has a VLAN; an overlay, while somebody sits behind a native switch."""
    if network.kind is NetworkKind.VLAN and network.physical is not None:
        return Segment(physical=network.physical, vlan=network.vlan)
    if not fleet.has_external(network.name):
        return None
    return fleet.segment_of(network.name)


def _mtu(fleet: Fleet, network: Network, *, segment: Segment | None, routed: bool) -> int:
    """The largest packet that passes everywhere the network goes.

    Between its own ports a VLAN carries full frames; but what is routed to another network crosses a tunnel.
    """
    if network.mtu is not None:
        return network.mtu
    if segment is not None and not routed:
        return min(ETHERNET_MTU, fleet.underlay_mtu)
    if network.kind is NetworkKind.VLAN:
        return min(ETHERNET_MTU, fleet.underlay_mtu)
    return min(ETHERNET_MTU, fleet.underlay_mtu - GENEVE_OVERHEAD)


def _subnets(network: Network, addresses: tuple[str, ...]) -> tuple[Subnet, ...]:
    """One subnet per IP version that an address of the port lies in, IPv4 first."""
    found: dict[int, Subnet] = {}
    for address in addresses:
        value = ip_address(address)
        for subnet in network.subnets:
            if value.version == subnet.version and value in subnet.prefix:
                found.setdefault(subnet.version, subnet)
    return tuple(found[version] for version in sorted(found))


def _leg(fleet: Fleet, router: Router, network: Network) -> RouterLeg:
    segment = _segment(fleet, network)
    v6 = [subnet for subnet in network.subnets if subnet.version == 6]
    # Behind a VLAN one chassis must answer for the router, or every chassis would (measured: one ARP reply each).
    chassis = fleet.chassis_on(segment.physical, network.name) if segment is not None else ()
    return RouterLeg(
        network=network.name,
        mac=mac_of(f"router/{router.name}/{network.name}"),
        addresses=tuple(
            f"{first_address(subnet)}/{ip_network(subnet.cidr).prefixlen}" for subnet in network.subnets
        ),
        mtu=_mtu(fleet, network, segment=segment, routed=True),
        chassis=chassis,
        advertise=bool(v6),
        dhcpv6=any(subnet.dhcp for subnet in v6),
    )


def first_address(subnet: Subnet) -> str:
    """What answers for the network where no gateway is stated: the router's address, and the DHCP server's."""
    return subnet.gateway or str(subnet.prefix.network_address + 1)


def _gateway(fleet: Fleet, router: Router, outside: Network, own: str | None) -> RouterLeg | None:
    if own is None or outside.physical is None:
        return None
    prefix = next(s.prefix.prefixlen for s in outside.subnets if ip_address(own) in s.prefix)
    return RouterLeg(
        network=outside.name,
        mac=mac_of(f"router/{router.name}/{outside.name}"),
        addresses=(f"{own}/{prefix}",),
        mtu=_mtu(fleet, outside, segment=_segment(fleet, outside), routed=True),
        chassis=fleet.chassis_on(outside.physical, router.name),
    )
