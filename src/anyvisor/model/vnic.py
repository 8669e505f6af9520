# SPDX-License-Identifier: Apache-2.0
"""A virtual NIC as its hypervisor shows it, and what was counted on it."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.names import Mac, PortName


@dataclass(frozen=True, slots=True, kw_only=True)
class Vnic:
    """One vNIC of a running VM. `device` is the host-side interface (tap, vif), None if the switch hides it."""

    mac: Mac
    vm: str | None = None
    device: str | None = None
    port: PortName | None = None
    """Set where the hypervisor itself carries the port's identity (OVS ``iface-id``)."""
    arriving: bool = False
    """Its VM is being received from another host and does not run here yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCount:
    """Bytes that entered a switch by one device, and how many of them its card did not carry by itself."""

    entered: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Bytes and packets since the device appeared, seen from the VM: tx is what the VM sent."""

    tx_bytes: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    rx_packets: int = 0

    @property
    def bytes(self) -> int:
        """Both directions together."""
        return self.tx_bytes + self.rx_bytes

    def since(self, earlier: Counters) -> Counters:
        """What was added since `earlier`. A counter that went backwards was reset: then all of it is new."""

        def added(now: int, before: int) -> int:
            return now - before if now >= before else now

        return Counters(
            tx_bytes=added(self.tx_bytes, earlier.tx_bytes),
            rx_bytes=added(self.rx_bytes, earlier.rx_bytes),
            tx_packets=added(self.tx_packets, earlier.tx_packets),
            rx_packets=added(self.rx_packets, earlier.rx_packets),
        )

    def plus(self, other: Counters) -> Counters:
        """Both together."""
        return Counters(
            tx_bytes=self.tx_bytes + other.tx_bytes,
            rx_bytes=self.rx_bytes + other.rx_bytes,
            tx_packets=self.tx_packets + other.tx_packets,
            rx_packets=self.rx_packets + other.rx_packets,
        )
