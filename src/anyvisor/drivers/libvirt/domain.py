# SPDX-License-Identifier: Apache-2.0
"""What libvirt's documents and statistics say of vNICs. Pure: text and plain values in, the model's words out.

Sources: libvirt's "Domain XML format" (devices/interface) and `virConnectGetAllDomainStats` (group ``net``).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any

from anyvisor.model.names import Mac, PortName
from anyvisor.model.vnic import Counters, Vnic


def vnics_of(document: str) -> tuple[Vnic, ...]:
    """The vNICs of one running domain, from its live XML.

    A vNIC without a host-side device (user-mode networking, a passed-through function) has `device` None. The port's
    identity is taken over from an Open vSwitch virtualport whose ``interfaceid`` is no UUID: libvirt invents UUIDs
    where the definition names nothing.
    """
    domain = ET.fromstring(document)  # noqa: S314 - from libvirtd, which runs as root on this host
    vm = domain.findtext("name")
    return tuple(_vnics(domain, vm))


def _vnics(domain: ET.Element, vm: str | None) -> Iterator[Vnic]:
    for interface in domain.iterfind("devices/interface"):
        mac = interface.find("mac")
        if mac is None or not mac.get("address"):
            continue
        target = interface.find("target")
        yield Vnic(
            mac=Mac(mac.get("address", "").lower()),
            vm=vm,
            device=target.get("dev") if target is not None else None,
            port=_port(interface),
        )


def _port(interface: ET.Element) -> PortName | None:
    virtualport = interface.find("virtualport[@type='openvswitch']")
    parameters = virtualport.find("parameters") if virtualport is not None else None
    name = parameters.get("interfaceid") if parameters is not None else None
    return PortName(name) if name and not _is_uuid(name) else None


def _is_uuid(text: str) -> bool:
    groups = text.split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and all(
        character in "0123456789abcdefABCDEF" for group in groups for character in group
    )


def counters_of(statistics: Mapping[str, Any]) -> dict[str, Counters]:
    """Counters per host-side device, from one domain's entry of the bulk statistics.

    libvirt shows tap devices from the guest's side already: ``rx`` is what the guest received.
    """
    found: dict[str, Counters] = {}
    for number in range(int(statistics.get("net.count", 0))):
        name = statistics.get(f"net.{number}.name")
        if name is not None:
            found[str(name)] = _counters(statistics, f"net.{number}")
    return found


def _counters(statistics: Mapping[str, Any], prefix: str) -> Counters:
    def value(key: str) -> int:
        return int(statistics.get(f"{prefix}.{key}", 0))

    return Counters(
        tx_bytes=value("tx.bytes"),
        rx_bytes=value("rx.bytes"),
        tx_packets=value("tx.pkts"),
        rx_packets=value("rx.pkts"),
    )


def version_of(number: int) -> str:
    """libvirt's packed version number (a million times major, a thousand times minor, release) as text."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
