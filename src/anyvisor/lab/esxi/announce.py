# SPDX-License-Identifier: Apache-2.0
"""What a host's switch says for a VM that has just come to it, so that the switches outside learn where it is. Pure.

It goes out by the uplink alone: on a switch without one nobody hears of the VM before it speaks itself.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

from anyvisor.lab.esxi.flows import Switch

RARP, VLAN = 0x8035, 0x8100
REVERSE_REQUEST = 3
SHORTEST = 60


def rarp(mac: str, vlan: int) -> bytes:
    """A RARP broadcast as the VM itself would send it; `vlan` 0: untagged."""
    own = bytes.fromhex(mac.replace(":", ""))
    tag = struct.pack("!HH", VLAN, vlan) if vlan else b""
    body = struct.pack("!HHBBH6s4x6s4x", 1, 0x0800, 6, 4, REVERSE_REQUEST, own, own)
    return (b"\xff" * 6 + own + tag + struct.pack("!H", RARP) + body).ljust(SHORTEST, b"\0")


def announcements(switch: Switch, newcomers: Collection[int | None]) -> Iterator[bytes]:
    """The frames for the ports that have just been plugged in. A trunk's VLANs are its guest's own business."""
    if switch.uplink is None:
        return
    for station in switch.stations:
        if station.port in newcomers and not station.trunk:
            yield rarp(station.mac, station.vlan)
