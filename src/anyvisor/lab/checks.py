# SPDX-License-Identifier: Apache-2.0
"""Which checks a lab gets: every ordered pair of VMs on every probed port, the outside, addresses, forged senders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from itertools import permutations

from anyvisor.lab.expectation import Expectation, Expected, Picture
from anyvisor.lab.topology import Outsider, Topology
from anyvisor.model.kinds import Protocol
from anyvisor.model.names import HostName, PortName

DHCP_PORT = 67


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to the lab, and what the answer should be.

    `proto` is tcp, udp or icmp, or one of these; each says what is "allowed":

    - dhcp (the lease is the port's address), dhcp-mtu, dhcp-gateway (what else it says), slaac (the same for IPv6);
    - spoof: a datagram arrives that claims to come from the IP address `posing` or the MAC address `posing_mac`;
    - converse: one TCP connection lasts over several lines and pauses;
    - sized: an IP packet of `size` bytes that must not be fragmented gets there and back; oversized: one that does not
      get there is not lost in silence, whoever says so;
    - sender: the target sees a datagram come from `posing`.

    `address` is where packets are sent, or what is awaited.
    """

    source: str
    target: str
    proto: str
    port: int | None
    version: int
    address: str
    expected: Expected
    path: tuple[str, ...] = ()
    posing: str | None = None
    posing_mac: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All checks, and what they rest on."""

    topology: Topology
    picture: Picture
    checks: tuple[Check, ...] = field(default=())


def plan(topology: Topology, picture: Picture) -> Plan:
    """Every check of the lab for the VMs that the site knows."""
    planner = _Planner(topology, picture)
    return Plan(topology=topology, picture=picture, checks=tuple(planner.everything()))


class _Planner:
    def __init__(self, topology: Topology, picture: Picture) -> None:
        self._topology = topology
        self._picture = picture
        self._expectation = Expectation(picture)
        self._vms = tuple(PortName(vm.name) for vm in topology.vms if PortName(vm.name) in picture.site.ports)
        self._probed: tuple[tuple[Protocol, int | None], ...] = (
            *((Protocol.TCP, port) for port in topology.ports.tcp),
            *((Protocol.UDP, port) for port in topology.ports.udp),
            (Protocol.ICMP, None),
        )

    def everything(self) -> Iterator[Check]:
        for vm in self._vms:
            yield from self._addresses(vm)
        for source, target in permutations(self._vms, 2):
            yield from self._pair(source, target)
        for outsider in self._topology.outside:
            for vm in self._vms:
                yield from self._outside(outsider, vm)
        for vm in self._vms:
            yield from self._forged(vm)

    def _addresses(self, vm: PortName) -> Iterator[Check]:
        """The VM got its addresses from the network, as decided. Nothing can be expected where nobody announces any."""
        network = self._picture.site.networks[self._picture.site.ports[vm].network]
        routed = any(network.name in router.networks for router in self._picture.site.routers.values())
        for subnet in network.subnets:
            address = self._address(vm, subnet.version)
            announced = subnet.dhcp if subnet.version == 4 else routed and not subnet.dhcp
            if address is None or not announced:
                continue
            proto, port = ("dhcp", DHCP_PORT) if subnet.version == 4 else ("slaac", None)
            yield Check(
                source=vm,
                target=network.name,
                proto=proto,
                port=port,
                version=subnet.version,
                address=address,
                expected=Expected(allow=True, why=f"{network.name} hands out {subnet.cidr}"),
                path=(self._host(vm),),
            )

    def _pair(self, source: PortName, target: PortName) -> Iterator[Check]:
        for version in (4, 6):
            address = self._address(target, version)
            if address is None or self._address(source, version) is None:
                continue
            for protocol, port in self._probed:
                expected = self._expectation.between(
                    source, target, protocol=protocol, port=port, version=version
                )
                yield Check(
                    source=source,
                    target=target,
                    proto=protocol.value,
                    port=port,
                    version=version,
                    address=address,
                    expected=expected,
                    path=self._path(source, target),
                )

    def _outside(self, outsider: Outsider, vm: PortName) -> Iterator[Check]:
        own = next(
            (str(ip_interface(a).ip) for a in outsider.addresses if ip_interface(a).version == 4), None
        )
        if own is None:
            return
        floating = self._picture.site.ports[vm].floating_ip
        for protocol, port in self._probed:
            there = self._expectation.to_outside(vm, address=own, protocol=protocol, port=port)
            yield self._beyond(vm, outsider.name, protocol, port, own, there)
            if floating is not None:
                here = self._expectation.from_outside(vm, address=own, protocol=protocol, port=port)
                yield self._beyond(outsider.name, vm, protocol, port, floating, here)

    def _beyond(
        self, source: str, target: str, protocol: Protocol, port: int | None, address: str, expected: Expected
    ) -> Check:
        return Check(
            source=source,
            target=target,
            proto=protocol.value,
            port=port,
            version=4,
            address=address,
            expected=expected,
            path=self._path(source, target),
        )

    def _forged(self, liar: PortName) -> Iterator[Check]:
        """One forged datagram per VM on a programmed switch: to a neighbour that takes it from the liar itself and
        from the one it poses as, so that nothing but port security can stop it.
        """
        if liar in self._expectation.native:
            return
        for target, posing in permutations(self._neighbours(liar), 2):
            if self._are_around(liar, target):
                continue
            port = next(
                (p for p in self._topology.ports.udp if self._both_may(liar, posing, target, p)), None
            )
            address, claimed = self._address(target, 4), self._address(posing, 4)
            if port is None or address is None or claimed is None:
                continue
            yield Check(
                source=liar,
                target=target,
                proto="spoof",
                port=port,
                version=4,
                address=address,
                expected=self._expectation.forged(liar, target, claim=claimed, by_mac=False),
                path=self._path(liar, target),
                posing=claimed,
            )
            return

    def _both_may(self, liar: PortName, posing: PortName, target: PortName, port: int) -> bool:
        return all(
            self._expectation.between(one, target, protocol=Protocol.UDP, port=port, version=4).allow
            for one in (liar, posing)
        )

    def _are_around(self, one: PortName, other: PortName) -> bool:
        """No switch that looks at addresses is between them."""
        return self._expectation.between(one, other, protocol=Protocol.ICMP, port=None, version=4).escape

    def _neighbours(self, vm: PortName) -> tuple[PortName, ...]:
        ports = self._picture.site.ports
        return tuple(
            other for other in self._vms if other != vm and ports[other].network == ports[vm].network
        )

    def _address(self, vm: PortName, version: int) -> str | None:
        addresses = self._picture.addresses.get(vm, ())
        return next((address for address in addresses if ip_address(address).version == version), None)

    def _path(self, source: str, target: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self._host(source), self._host(target))))

    def _host(self, name: str) -> str:
        port = self._picture.site.ports.get(PortName(name))
        return name if port is None or port.host is None else HostName(port.host)
