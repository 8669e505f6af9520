# SPDX-License-Identifier: Apache-2.0
"""Hearing the test frames on every card of many parts of a lab at once: VMs, appliances, hosts.

One socket per namespace, bound to no card: a card that comes, goes or moves while it listens is heard all the same.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from anyvisor.lab import frame, namespace
from anyvisor.lab.place import Place

_ALL_PROTOCOLS, _SOL_PACKET, _AUXDATA, _STATISTICS, _TAGGED = 3, 263, 8, 6, 0x10
_ATTACH_FILTER, _FORCED_BUFFER = 26, 33
_BUFFER = 1 << 24
_FILTER = (
    (0x28, 0, 0, 12),  # the Ethernet type
    (0x15, 5, 0, frame.EXPERIMENT),
    (0x15, 4, 0, frame.ARP),
    (0x15, 3, 0, frame.VLAN),
    (0x15, 0, 3, frame.IP),
    (0x30, 0, 0, 23),  # the IP protocol
    (0x15, 0, 1, frame.IP_EXPERIMENT),
    (0x06, 0, 0, 2048),
    (0x06, 0, 0, 0),
)
"""What the kernel hands over (classic BPF): tunnels and databases talk a lot, and none of it is a test frame."""
_PATIENCE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One frame on one card, going out of it or coming in. `when` is monotonic, in seconds."""

    token: int
    part: str
    card: str
    """Empty: the card had gone before its name was asked for."""
    outgoing: bool
    tags: tuple[int, ...] = ()
    when: float = 0.0


class Capture:
    """Listens from `listen` on until it is closed. Safe to call from any thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self._inodes: dict[str, int | None] = {}
        self._found: list[Sighting] = []
        self._last = time.monotonic()
        self._poll = select.poll()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, parts: Iterable[str]) -> None:
        """Hear these parts, too. One that is heard already stays so, unless its namespace is another one by now.

        Raises:
            TerminalError: one has no namespace.
        """
        for part in parts:
            inode = namespace.inode(self._place.namespace(part))
            if part in self._inodes and self._inodes[part] == inode:
                continue
            with namespace.entered(self._place.namespace(part)):
                ear = _ear()
            self._inodes[part] = inode
            with self._lock:
                self._sockets[ear.fileno()] = (part, ear)
            self._poll.register(ear, select.POLLIN)

    def take(self) -> tuple[Sighting, ...]:
        """What was heard since the last time."""
        with self._lock:
            found, self._found = self._found, []
        return tuple(found)

    def silent_for(self) -> float:
        """How long nothing has been heard, in seconds."""
        return time.monotonic() - self._last

    def lost(self) -> int:
        """Frames that came too fast since the last time this was asked: with any, nothing is proven."""
        with self._lock:
            return sum(_dropped(ear) for _, ear in self._sockets.values())

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        for _, ear in self._sockets.values():
            ear.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for descriptor, _ in self._poll.poll(_PATIENCE_SECONDS * 1000):
                part, ear = self._sockets[descriptor]
                self._drain(part, ear)
            if not self._sockets:
                self._stopping.wait(_PATIENCE_SECONDS)

    def _drain(self, part: str, ear: socket.socket) -> None:
        found = []
        while True:
            try:
                data, extra, _, sender = ear.recvmsg(2048, 256)
            except BlockingIOError:
                break
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", extra[0][2]) if extra else (0,) * 7
            read = frame.read(data, tci & 0xFFF if status & _TAGGED else None)
            if read is not None:
                outgoing = sender[2] == socket.PACKET_OUTGOING
                now = time.monotonic()
                found.append(
                    Sighting(
                        token=read.token,
                        part=part,
                        card=sender[0],
                        outgoing=outgoing,
                        tags=read.tags,
                        when=now,
                    )
                )
        if found:
            with self._lock:
                self._found += found
                self._last = found[-1].when


class Mouth:
    """A card of a part, spoken on past its IP stack."""

    def __init__(self, place: Place, part: str, card: str) -> None:
        with namespace.entered(place.namespace(part)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._card = card

    def say(self, data: bytes) -> bool:
        """Send; False where the card is not there or is down, as a card of a VM that is just moved may be."""
        try:
            self._socket.sendto(data, (self._card, 0))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End."""
        self._socket.close()


def _ear() -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    program = b"".join(struct.pack("HBBI", *line) for line in _FILTER)
    held = ctypes.create_string_buffer(program)
    ear.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(_FILTER), ctypes.addressof(held)))
    ear.setsockopt(socket.SOL_SOCKET, _FORCED_BUFFER, _BUFFER)
    ear.setsockopt(_SOL_PACKET, _AUXDATA, 1)
    ear.setblocking(False)
    return ear


def _dropped(ear: socket.socket) -> int:
    """Reading it sets it to nought."""
    _, dropped = struct.unpack("II", ear.getsockopt(_SOL_PACKET, _STATISTICS, 8))
    return int(dropped)
