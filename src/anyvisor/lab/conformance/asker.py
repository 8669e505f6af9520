# SPDX-License-Identifier: Apache-2.0
"""Questions to the lab about one state of it: each a check, with what the planner and the policy say to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from anyvisor.lab import frame
from anyvisor.lab.checks import DHCP_PORT, Check
from anyvisor.lab.conformance.cast import OUTSIDE, ROUTER, TCP, UDP
from anyvisor.lab.conformance.cell import Cell, cells
from anyvisor.lab.conformance.promise import promises_of
from anyvisor.lab.expectation import Expectation, Expected, Picture, picture_of
from anyvisor.lab.topology import Topology
from anyvisor.model.kinds import Protocol
from anyvisor.model.names import PortName
from anyvisor.model.network import Network, Subnet
from anyvisor.model.state import State

VERSIONS = (4, 6)
MAIN = ((Protocol.TCP, TCP), (Protocol.UDP, UDP), (Protocol.ICMP, None))
"""What group `served` admits from friends."""


class Asker:
    """Makes checks. What cannot be asked, since somebody has no address of that IP version, is left out."""

    def __init__(self, topology: Topology, state: State) -> None:
        self._picture: Picture = picture_of(state)
        self._site = self._picture.site
        self._expectation = Expectation(self._picture)
        self._promises = promises_of(state)
        self._outside = next(
            str(ip_interface(address).ip)
            for outsider in topology.outside
            for address in outsider.addresses
            if outsider.name == OUTSIDE
        )
        self.cells = cells(topology, state)
        """All there are, also those that are not to be tried: they are the peers of those that are."""

    @property
    def picture(self) -> Picture:
        """What is in force."""
        return self._picture

    def peers(self, cell: Cell) -> tuple[Cell, ...]:
        """All other cells."""
        return tuple(other for other in self.cells if other.host != cell.host)

    def reach(
        self, source: PortName, target: PortName, protocol: Protocol, port: int | None
    ) -> Iterator[Check]:
        """Whether one reaches the other at its own address, by IPv4 and by IPv6."""
        for version, address in self._ways(source, target):
            expected = self._expectation.between(
                source, target, protocol=protocol, port=port, version=version
            )
            yield self._check(source, target, protocol.value, version, address, expected, port)

    def converse(self, source: PortName, target: PortName, port: int) -> Iterator[Check]:
        """Whether a TCP connection that stands goes on."""
        for check in self.reach(source, target, Protocol.TCP, port):
            yield replace(check, proto="converse")

    def forged(self, liar: PortName, target: PortName, posing: PortName) -> Iterator[Check]:
        """Whether datagrams pass that claim to come from `posing`; or from a MAC address that nobody has, so that no
        switch unlearns where somebody is.
        """
        for version, address in self._ways(liar, target):
            claim = self._address(posing, version)
            if claim is not None:
                expected = self._expectation.forged(liar, target, claim=claim, by_mac=False)
                check = self._check(liar, target, "spoof", version, address, expected, UDP)
                yield replace(check, posing=claim)
            expected = self._expectation.forged(liar, target, claim=frame.STRANGER, by_mac=True)
            check = self._check(liar, target, "spoof", version, address, expected, UDP)
            yield replace(check, posing_mac=frame.STRANGER)

    def inward(self, target: PortName, protocol: Protocol, port: int | None) -> Iterator[Check]:
        """Whether the host outside reaches a VM at its floating IP."""
        floating = self._site.ports[target].floating_ip
        if floating is not None:
            expected = self._expectation.from_outside(
                target, address=self._outside, protocol=protocol, port=port
            )
            yield self._check(OUTSIDE, target, protocol.value, 4, floating, expected, port)

    def outward(self, source: PortName) -> Iterator[Check]:
        """Whether the host outside sees a VM come from its floating IP; from its router's address if it has none."""
        posing = self._site.ports[source].floating_ip or self._promises.senders[ROUTER]
        expected = self._expectation.to_outside(
            source, address=self._outside, protocol=Protocol.UDP, port=UDP
        )
        check = self._check(source, OUTSIDE, "sender", 4, self._outside, expected, UDP)
        yield replace(check, posing=posing)

    def lease(self, vm: PortName) -> Iterator[Check]:
        """Whether the lease has the decided address, the MTU and the gateway."""
        network, subnet = self._network(vm), self._subnet(vm, 4)
        if subnet is None or not subnet.dhcp:
            return
        awaited = {
            "dhcp": self._address(vm, 4),
            "dhcp-mtu": str(self._promises.mtu[network.name]),
            "dhcp-gateway": subnet.gateway,
        }
        for proto, value in awaited.items():
            if value is not None:
                expected = Expected(allow=True, why=f"{network.name} hands out {subnet.cidr}")
                yield self._check(vm, network.name, proto, 4, value, expected, DHCP_PORT)

    def announced(self, vm: PortName) -> Iterator[Check]:
        """Whether the VM made itself the decided IPv6 address from what the router announces."""
        network, address = self._network(vm), self._address(vm, 6)
        if address is not None:
            expected = Expected(allow=True, why=f"the router of {network.name} announces its prefix")
            yield self._check(vm, network.name, "slaac", 6, address, expected)

    def sizes(self, source: PortName, target: PortName) -> Iterator[Check]:
        """Whether the largest packet that both networks promise gets there and back; what becomes of a larger one."""
        size = min(self._promises.mtu[self._network(port).name] for port in (source, target))
        for version, address in self._ways(source, target):
            why = f"packets of {size} bytes are promised"
            for proto, length in (("sized", size), ("oversized", size + 1)):
                expected = Expected(allow=True, why=why)
                check = self._check(source, target, proto, version, address, expected, UDP)
                yield replace(check, size=length)

    def _ways(self, source: PortName, target: PortName) -> Iterator[tuple[int, str]]:
        for version in VERSIONS:
            address = self._address(target, version)
            if address is not None and self._address(source, version) is not None:
                yield version, address

    def _check(
        self,
        source: str,
        target: str,
        proto: str,
        version: int,
        address: str,
        expected: Expected,
        port: int | None = None,
    ) -> Check:
        hosts = (self._site.ports.get(PortName(name)) for name in (source, target))
        path = tuple(dict.fromkeys(port.host for port in hosts if port is not None and port.host is not None))
        return Check(
            source=source,
            target=target,
            proto=proto,
            port=port,
            version=version,
            address=address,
            expected=expected,
            path=path,
        )

    def _network(self, port: PortName) -> Network:
        return self._site.networks[self._site.ports[port].network]

    def _subnet(self, port: PortName, version: int) -> Subnet | None:
        return next((s for s in self._network(port).subnets if s.version == version), None)

    def _address(self, port: PortName, version: int) -> str | None:
        addresses = self._picture.addresses.get(port, ())
        return next((address for address in addresses if ip_address(address).version == version), None)
