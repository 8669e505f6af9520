# SPDX-License-Identifier: Apache-2.0
"""Hears every echo request and answer on every device of the emulated dom0: where, which way, with which tags.

Runs there; prints a JSON list of ``[device, outgoing, [tag, …], [source, target, type, identifier, number]]``.

Source: packet(7): PACKET_AUXDATA; Linux, if_packet.h: the tag of a frame that the kernel has taken out of it.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from typing import Any

_ALL_PROTOCOLS = 3
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_TAG_VALID = 0x10
_OUTGOING = 4
_AUXDATA = struct.Struct("IIIHHHH")


def listen(seconds: float) -> list[list[Any]]:
    """What was heard in that time."""
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    ear.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    ear.settimeout(0.5)
    found, end = [], time.monotonic() + seconds
    with ear:
        while time.monotonic() < end:
            try:
                data, extra, _, address = ear.recvmsg(2048, 256)
            except TimeoutError:
                continue
            tags, at = _tags(data, extra)
            if data[at : at + 2] != b"\x08\x00" or data[at + 11] != 1 or data[at + 22] not in {0, 8}:
                continue
            source, target = (
                socket.inet_ntoa(data[at + 14 : at + 18]),
                socket.inet_ntoa(data[at + 18 : at + 22]),
            )
            echo = [source, target, data[at + 22], *struct.unpack("!HH", data[at + 26 : at + 30])]
            found.append([address[0], address[2] == _OUTGOING, tags, echo])
    return found


def _tags(data: bytes, extra: list[Any]) -> tuple[list[int], int]:
    """The VLANs of a frame, and where its type stands."""
    tags = []
    if extra:
        status, _, _, _, _, tci, _ = _AUXDATA.unpack(extra[0][2])
        tags += [tci & 0xFFF] if status & _TAG_VALID else []
    at = 12
    while data[at : at + 2] == b"\x81\x00":
        tags.append(int.from_bytes(data[at + 2 : at + 4], "big") & 0xFFF)
        at += 4
    return tags, at


if __name__ == "__main__":
    print(json.dumps(listen(float(sys.argv[1]))))
