# SPDX-License-Identifier: Apache-2.0
"""UDP datagrams as whole Ethernet frames, so that a VM can claim to be another: by its MAC or by its IP. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

_UDP, _HOPS = 17, 64
_ETHERNET_TYPE = {4: 0x0800, 6: 0x86DD}


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a datagram comes from, or goes to. `ip` is IPv4 or IPv6, the same at both ends."""

    mac: str
    ip: str
    port: int


def build(sender: End, receiver: End, payload: bytes) -> bytes:
    """The frame, with checksums: it is as good as one of the kernel's."""
    version = ip_address(receiver.ip).version
    source, target = ip_address(sender.ip).packed, ip_address(receiver.ip).packed
    length = 8 + len(payload)
    pseudo = source + target + struct.pack("!IHBB", length, 0, 0, _UDP)
    ports = struct.pack("!HHH", sender.port, receiver.port, length)
    # A checksum of 0 would mean that there is none (RFC 768).
    checksum = internet_checksum(pseudo + ports + b"\0\0" + payload) or 0xFFFF
    datagram = ports + struct.pack("!H", checksum) + payload
    header = _header_4(source, target, length) if version == 4 else _header_6(source, target, length)
    link = _octets(receiver.mac) + _octets(sender.mac) + struct.pack("!H", _ETHERNET_TYPE[version])
    return link + header + datagram


def internet_checksum(data: bytes) -> int:
    """The checksum of IPv4, UDP and ICMP (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _header_4(source: bytes, target: bytes, length: int) -> bytes:
    plain = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, _HOPS, _UDP, 0) + source + target
    return plain[:10] + struct.pack("!H", internet_checksum(plain)) + plain[12:]


def _header_6(source: bytes, target: bytes, length: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, length, _UDP, _HOPS) + source + target


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
