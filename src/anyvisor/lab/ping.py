# SPDX-License-Identifier: Apache-2.0
"""ICMP and ICMPv6 echo through the kernel's ping sockets, which check identity and checksum themselves."""

from __future__ import annotations

import asyncio
import socket
import struct
from ipaddress import ip_address
from typing import Self

ECHO_REQUEST = {4: 8, 6: 128}
HEADER = struct.Struct("!BBHHH")
MESSAGE_AT_MOST = 2048


class Pinger:
    """Echo requests to one address. A context manager: the socket is closed at its end."""

    def __init__(self, address: str) -> None:
        version = ip_address(address).version
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
        self._type = ECHO_REQUEST[version]
        self.socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
        self.socket.setblocking(False)
        try:
            self.socket.connect((address, 0))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, sequence: int, payload: bytes = b"") -> None:
        """One request; `sequence` is cut to 16 bits."""
        self.socket.send(HEADER.pack(self._type, 0, 0, 0, sequence & 0xFFFF) + payload)

    async def receive(self) -> int:
        """Wait for a reply; returns its sequence number."""
        return sequence_of(await asyncio.get_running_loop().sock_recv(self.socket, MESSAGE_AT_MOST))


def sequence_of(message: bytes) -> int:
    """The sequence number in a reply."""
    return int(HEADER.unpack_from(message)[4])
