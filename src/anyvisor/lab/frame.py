# SPDX-License-Identifier: Apache-2.0
"""Frames that can be told apart wherever they turn up: each carries a token. Made here, and read here. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

EXPERIMENT = 0x88B5
"""The Ethernet type that is free for experiments (IEEE 802, clause 9.2.4)."""
IP, ARP, VLAN, SERVICE_VLAN = 0x0800, 0x0806, 0x8100, 0x88A8
IP_EXPERIMENT = 253
"""The IP protocol that is free for experiments (RFC 3692)."""
ALL, SOME = "ff:ff:ff:ff:ff:ff", "03:00:00:00:00:77"
"""Everybody; and a multicast group that nobody routes."""
STRANGER = "52:54:00:99:99:99"
"""An address that no vNIC has."""
_MAGIC = b"anyvisor"
_LENGTHS = {IP: 20, ARP: 28, EXPERIMENT: 0}
"""By Ethernet type: how long that is which the token follows."""
_SHORTEST = 64


class Kind(StrEnum):
    """What a frame is, as its sender made it. `victim` is the vNIC that it is aimed at."""

    UNICAST = "unicast"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    ARP = "arp"
    """A request for an address that nobody has."""
    UNKNOWN = "unknown"
    """To an address that nobody has."""
    FORGED = "forged"
    """To the victim, from an address that nobody has."""
    STOLEN = "stolen"
    """To everybody, from the victim's own address."""
    TAGGED = "tagged"
    """To the victim, with the victim's tag on it."""
    PRIORITY = "priority"
    """To the victim, with tag 0."""
    DOUBLE = "double"
    """To the victim, with the victim's tag inside of the sender's own."""
    OTHER = "other"
    """To the victim, of a protocol that is no IP: OVN drops it where a port is bound to IP addresses."""


TO_ALL = frozenset({Kind.BROADCAST, Kind.MULTICAST, Kind.ARP})
"""What every vNIC of the sender's network gets."""
TO_ONE = frozenset({Kind.UNICAST, Kind.OTHER})
"""What the victim alone may get, if it is of the sender's network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A vNIC as a frame needs it; `tag` is the VLAN that it is kept on, 0 where it has none."""

    mac: str
    ip: str
    tag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A frame's token and the VLANs that it carries, the outer one first."""

    token: int
    tags: tuple[int, ...] = ()


def build(kind: Kind, token: int, sender: Card, victim: Card) -> bytes:
    """The frame."""
    source, target = sender.mac, victim.mac
    match kind:
        case Kind.BROADCAST | Kind.ARP:
            target = ALL
        case Kind.MULTICAST:
            target = SOME
        case Kind.UNKNOWN:
            target = STRANGER
        case Kind.FORGED:
            source = STRANGER
        case Kind.STOLEN:
            source, target = victim.mac, ALL
    tags = b"".join(struct.pack("!HH", VLAN, tag) for tag in _tags(kind, sender, victim))
    header = _octets(target) + _octets(source) + tags
    match kind:
        case Kind.ARP:
            body = _request(sender)
        case Kind.OTHER:
            body = struct.pack("!H", EXPERIMENT)
        case _:
            body = _packet(victim if kind is Kind.STOLEN else sender)
    return (header + body + _MAGIC + struct.pack("!Q", token)).ljust(_SHORTEST, b"\0")


def read(data: bytes, stripped: int | None = None) -> Read | None:
    """What is known of a frame; None for one that was not made here. `stripped`: the VLAN that the kernel took off."""
    tags = [] if stripped is None else [stripped]
    at = 12
    while (kind := _number(data, at)) in {VLAN, SERVICE_VLAN}:
        tags.append(_number(data, at + 2) & 0xFFF)
        at += 4
    if kind not in _LENGTHS:
        return None
    at += 2 + _LENGTHS[kind]
    if data[at : at + len(_MAGIC)] != _MAGIC or len(data) < at + len(_MAGIC) + 8:
        return None
    (token,) = struct.unpack_from("!Q", data, at + len(_MAGIC))
    return Read(token=token, tags=tuple(tags))


def _tags(kind: Kind, sender: Card, victim: Card) -> tuple[int, ...]:
    match kind:
        case Kind.TAGGED:
            return (victim.tag,)
        case Kind.PRIORITY:
            return (0,)
        case Kind.DOUBLE:
            return (sender.tag, victim.tag)
        case _:
            return ()


def _request(sender: Card) -> bytes:
    """Who has the neighbour's neighbour: the last but one address of the sender's 256. The token follows as padding."""
    own = IPv4Address(sender.ip)
    asked = IPv4Address(int(own) | 0xFF).packed[:3] + b"\xfd"
    head = struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 1)
    return head + _octets(sender.mac) + own.packed + b"\0" * 6 + asked


def _packet(source: Card) -> bytes:
    """An IPv4 header, to everybody's address whoever the frame is for: no IP stack answers that."""
    own, to_all = IPv4Address(source.ip).packed, b"\xff" * 4
    length = 20 + len(_MAGIC) + 8
    fields = struct.pack("!BBHHHBB", 0x45, 0, length, 0, 0, 64, IP_EXPERIMENT)
    total = sum(struct.unpack("!9H", fields + own + to_all))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", IP) + fields + struct.pack("!H", total ^ 0xFFFF) + own + to_all


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2]) if len(data) >= at + 2 else 0
