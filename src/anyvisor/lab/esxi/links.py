# SPDX-License-Identifier: Apache-2.0
"""Reading the interfaces of a namespace without starting a program: often, and for every host."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from anyvisor.lab import namespace

SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR = 0x8913, 0x8921, 0x8927
IFF_UP = 1
_LIST = Path("/proc/thread-self/net/dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface and what it has counted: `rx` is what it received."""

    up: bool
    mtu: int
    rx_bytes: int
    rx_packets: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_dropped: int


def read(name: str, prefixes: tuple[str, ...]) -> dict[str, Link]:
    """The interfaces of a namespace whose names begin so."""
    with namespace.entered(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        found = {}
        for line in _LIST.read_text(encoding="utf-8").splitlines()[2:]:
            device, _, figures = line.partition(":")
            if device.strip().startswith(prefixes):
                found[device.strip()] = _link(asker, device.strip(), [int(word) for word in figures.split()])
        return found


def addresses(name: str, devices: Iterable[str]) -> dict[str, str]:
    """The MAC addresses of interfaces of a namespace; one that is not there is left out."""
    found = {}
    with namespace.entered(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for device in devices:
            try:
                answer = fcntl.ioctl(asker, SIOCGIFHWADDR, struct.pack("40s", device.encode()))
            except OSError:
                continue
            found[device] = answer[18:24].hex(":")
    return found


def _link(asker: socket.socket, device: str, figures: list[int]) -> Link:
    asked = struct.pack("40s", device.encode())
    (flags,) = struct.unpack_from("H", fcntl.ioctl(asker, SIOCGIFFLAGS, asked), 16)
    (mtu,) = struct.unpack_from("i", fcntl.ioctl(asker, SIOCGIFMTU, asked), 16)
    return Link(
        up=bool(flags & IFF_UP),
        mtu=mtu,
        rx_bytes=figures[0],
        rx_packets=figures[1],
        rx_dropped=figures[3],
        tx_bytes=figures[8],
        tx_packets=figures[9],
        tx_dropped=figures[11],
    )
