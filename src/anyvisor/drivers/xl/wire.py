# SPDX-License-Identifier: Apache-2.0
"""xenstored's protocol: messages as bytes. Pure.

Source: Xen, docs/misc/xenstore.txt and xen/include/public/io/xs_wire.h. Every message is a header of four 32-bit words
in the machine's byte order (type, request, transaction, length of what follows) and at most 4,096 bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("=IIII")
MOST_BYTES = 4096


class Type(IntEnum):
    """What a message is."""

    DIRECTORY = 1
    READ = 2
    WATCH = 4
    WATCH_EVENT = 15
    ERROR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; an answer carries the number of its request, an event that of none (0)."""

    type: int
    request: int = 0
    body: bytes = b""


def packed(message: Message) -> bytes:
    """As it goes through the socket.

    Raises:
        ValueError: it is longer than xenstored takes.
    """
    if len(message.body) > MOST_BYTES:
        raise ValueError(f"{len(message.body)} bytes are more than the {MOST_BYTES} of a message")
    return HEADER.pack(message.type, message.request, 0, len(message.body)) + message.body


def unpacked(data: bytes) -> tuple[Message | None, bytes]:
    """The first message of what was received, None while it is not whole; and what is left.

    Raises:
        ValueError: this is no message of xenstored's.
    """
    if len(data) < HEADER.size:
        return None, data
    kind, request, _, length = HEADER.unpack_from(data)
    if length > MOST_BYTES:
        raise ValueError(f"a message of {length} bytes")
    end = HEADER.size + length
    if len(data) < end:
        return None, data
    return Message(type=kind, request=request, body=data[HEADER.size : end]), data[end:]


def words(body: bytes) -> tuple[str, ...]:
    """The strings of a body, each of which a zero byte ends."""
    return tuple(word.decode(errors="replace") for word in body.split(b"\0")[:-1])


def body_of(*strings: str) -> bytes:
    """The other way round."""
    return b"".join(string.encode() + b"\0" for string in strings)
