# SPDX-License-Identifier: Apache-2.0
"""Sites of any size, all of one shape: 100 ports per network, 10 networks per router, 100 ports per host."""

from __future__ import annotations

from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Protocol, SwitchKind
from anyvisor.model.names import GroupName, HostName, NetworkName, PortName, RouterName, SwitchName
from anyvisor.model.network import Network, Router, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Controller, Site

PORTS_PER_NETWORK = 100
NETWORKS_PER_ROUTER = 10
PORTS_PER_HOST = 100
RESERVE = 8
"""Ports whose vNIC is missing at first: so many on the pretended hosts, and as many on the real one."""
REAL = HostName("real")
"""The host with a real ovn-controller."""
COMMON = GroupName("common")
"""Every port is in it: the largest port group that there can be."""


def hosts_of(size: int) -> tuple[HostName, ...]:
    """The pretended hosts."""
    return tuple(HostName(f"h{number:03}") for number in range(max(3, size // PORTS_PER_HOST)))


def network_of(number: int) -> NetworkName:
    """The network of port `number`."""
    return NetworkName(f"n{number // PORTS_PER_NETWORK:03}")


def group_of(number: int) -> GroupName:
    """The security group of its network."""
    return GroupName(f"g{number // PORTS_PER_NETWORK:03}")


def reserve(size: int) -> tuple[tuple[PortName, ...], tuple[PortName, ...]]:
    """The ports whose vNIC comes later: on the pretended hosts, on the real one."""
    names = [PortName(f"p{number:05}") for number in range(size - 2 * RESERVE, size)]
    return tuple(names[:RESERVE]), tuple(names[RESERVE:])


def port(name: str, number: int, host: HostName) -> Port:
    """A port as `number` would be."""
    return Port(
        name=PortName(name),
        network=network_of(number),
        vm=f"vm-{name}",
        host=host,
        security_groups=(group_of(number), COMMON),
    )


def site(size: int, controller: Controller) -> Site:
    """The whole intent with `size` ports."""
    networks = range(-(-size // PORTS_PER_NETWORK))
    hosts = hosts_of(size)
    real = set(reserve(size)[1])
    ports = [
        port(f"p{number:05}", number, REAL if f"p{number:05}" in real else hosts[number % len(hosts)])
        for number in range(size)
    ]
    named = [_network(number) for number in networks]
    return Site(
        controller=controller,
        hosts={name: _host(name) for name in (*hosts, REAL)},
        networks={network.name: network for network in named},
        routers={router.name: router for router in _routers(named)},
        security_groups={group.name: group for group in (_common(), *map(_group, networks))},
        ports={each.name: each for each in ports},
    )


def _host(name: HostName) -> Host:
    switch = NativeSwitch(name=SwitchName("br-int"), kind=SwitchKind.OPENVSWITCH, version="3.1.0")
    return Host(name=name, hypervisor=Hypervisor.KVM, switches=(switch,))


def _network(number: int) -> Network:
    prefix = f"10.{number // 250}.{number % 250}"
    subnet = Subnet(cidr=f"{prefix}.0/24", gateway=f"{prefix}.1", dhcp=True)
    return Network(name=NetworkName(f"n{number:03}"), kind=NetworkKind.OVERLAY, subnets=(subnet,))


def _routers(networks: list[Network]) -> list[Router]:
    return [
        Router(
            name=RouterName(f"r{start // NETWORKS_PER_ROUTER:02}"),
            networks=tuple(network.name for network in networks[start : start + NETWORKS_PER_ROUTER]),
        )
        for start in range(0, len(networks), NETWORKS_PER_ROUTER)
    ]


def _group(number: int) -> SecurityGroup:
    name = GroupName(f"g{number:03}")
    tcp = [PortRange(first=80, last=80), PortRange(first=443, last=443)]
    return SecurityGroup(
        name=name,
        rules=(
            Rule(direction=Direction.INGRESS, group=name),
            Rule(direction=Direction.INGRESS, protocol=Protocol.TCP, ports=tuple(tcp)),
            Rule(
                direction=Direction.INGRESS,
                protocol=Protocol.TCP,
                ports=(PortRange(first=22, last=22),),
                cidr="192.0.2.0/24",
            ),
            Rule(direction=Direction.INGRESS, protocol=Protocol.UDP, cidr="198.51.100.0/24"),
        ),
    )


def _common() -> SecurityGroup:
    return SecurityGroup(name=COMMON, rules=(Rule(direction=Direction.INGRESS, protocol=Protocol.ICMP),))
