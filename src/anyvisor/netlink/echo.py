# SPDX-License-Identifier: Apache-2.0
"""Echo requests that must not be fragmented, and the sizes that were answered.

Needs CAP_NET_RAW in the network namespace of the tunnel address. Linux, ip(7): IP_PMTUDISC_PROBE sends with DF set and
heeds no path MTU that the kernel has learned.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from anyvisor.errors import RetryableError

_PROBE = 3
_PACE_SECONDS = 0.002
"""Between two probes. A switch in user space drops what it has batched behind a packet that is too large (measured)."""
_SIOCGIFMTU = 0x8921
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62
_RECEIVE_BYTES = 1 << 20
_HEADER = struct.Struct("!BBHHH")
_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class _Kind:
    """Echo in one version of IP: header bytes in front of the payload, and the numbers of its messages."""

    family: socket.AddressFamily
    protocol: int
    request: int
    reply: int
    ip_bytes: int


_KINDS = {
    4: _Kind(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20),
    6: _Kind(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 40),
}


class Echo:
    """Sends from one address. Every call has a socket and an identifier of its own."""

    def answered(
        self, source: str, sizes: Mapping[str, Collection[int]], timeout_seconds: float
    ) -> Mapping[str, frozenset[int]]:
        """Per address those of the sizes (bytes of the IP packet) that were answered whole within the time-out.

        Raises:
            RetryableError: the source address is not there, or raw sockets are not allowed.
        """
        asked = [(address, size) for address, listed in sorted(sizes.items()) for size in sorted(listed)]
        found: dict[str, set[int]] = {address: set() for address in sizes}
        if not asked:
            return {}
        kind = _KINDS[ip_address(source).version]
        mark = int.from_bytes(os.urandom(2), "big")
        with _opened(kind, source) as channel:
            for number, (address, size) in enumerate(asked):
                # A local device that is too small says so at once; a peer that nobody routes to, too.
                with suppress(OSError):
                    channel.sendto(_request(kind, mark, number, size), (address, 0))
                time.sleep(_PACE_SECONDS)
            deadline = time.monotonic() + timeout_seconds
            missing = len(asked)
            while missing and (left := deadline - time.monotonic()) > 0:
                for address, size in _replies(channel, kind, mark, asked, left):
                    if size not in found[address]:
                        found[address].add(size)
                        missing -= 1
        return {address: frozenset(passed) for address, passed in found.items()}


def device_mtu(device: str) -> int | None:
    """The MTU of a device of this network namespace; None if it is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFMTU, struct.pack("16s16x", device.encode()))
        except OSError:
            return None
        (mtu,) = struct.unpack_from("i", answer, 16)
    return int(mtu)


def _opened(kind: _Kind, source: str) -> socket.socket:
    try:
        channel = socket.socket(kind.family, socket.SOCK_RAW, kind.protocol)
    except OSError as error:
        raise RetryableError(f"no raw socket for probes: {error.strerror}") from error
    try:
        channel.bind((source, 0))
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if kind.family == socket.AF_INET:
            channel.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        else:
            channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
            channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
        channel.setblocking(False)
    except OSError as error:
        channel.close()
        raise RetryableError(f"no probes from {source}: {error.strerror}") from error
    return channel


def _request(kind: _Kind, mark: int, number: int, size: int) -> bytes:
    payload = bytes(max(0, size - kind.ip_bytes - _HEADER.size))
    plain = _HEADER.pack(kind.request, 0, 0, mark, number) + payload
    # The kernel fills in the checksum of ICMPv6 (RFC 3542), not of ICMP.
    checksum = _checksum(plain) if kind.family == socket.AF_INET else 0
    return _HEADER.pack(kind.request, 0, checksum, mark, number) + payload


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _replies(
    channel: socket.socket, kind: _Kind, mark: int, asked: list[tuple[str, int]], seconds: float
) -> Iterable[tuple[str, int]]:
    """Those that have come, waiting at most that long for the first."""
    if not select.select([channel], [], [], seconds)[0]:
        return
    with suppress(OSError):  # nothing more has come, or an ICMP error has
        while True:
            packet, sender = channel.recvfrom(_MAX_BYTES)
            # A raw IPv4 socket sees the IP header, an IPv6 one does not.
            start = (packet[0] & 0x0F) * 4 if kind.family == socket.AF_INET and packet else 0
            if len(packet) < start + _HEADER.size:
                continue
            code, _, _, theirs, number = _HEADER.unpack_from(packet, start)
            if (code, theirs) != (kind.reply, mark) or number >= len(asked):
                continue
            address, size = asked[number]
            whole = len(packet) - start + kind.ip_bytes == max(size, kind.ip_bytes + _HEADER.size)
            if whole and ip_address(sender[0].partition("%")[0]) == ip_address(address):
                yield address, size
