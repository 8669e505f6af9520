# SPDX-License-Identifier: Apache-2.0
"""A steady stream of small packets to one address, and what became of them."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Protocol

from anyvisor.lab.ping import MESSAGE_AT_MOST, Pinger, sequence_of

STRAGGLERS_SECONDS = 1.0
"""How long replies are awaited after the last request."""
NUMBER = struct.Struct("!Q")


class Carrier(Protocol):
    """Sends numbered requests, reads the number of a reply."""

    socket: socket.socket

    def send(self, number: int) -> None:
        """Send request `number`."""

    def number_of(self, message: bytes, newest: int) -> int:
        """Which request that reply answers."""


class UdpCarrier:
    """Datagrams to a UDP port that echoes them."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((address, port))

    def send(self, number: int) -> None:
        """The datagram is the number alone."""
        self.socket.send(NUMBER.pack(number))

    def number_of(self, message: bytes, newest: int) -> int:
        """The number stands in the datagram."""
        del newest
        return int(NUMBER.unpack(message)[0])


class IcmpCarrier:
    """Echo requests."""

    def __init__(self, address: str) -> None:
        self._pinger = Pinger(address)
        self.socket = self._pinger.socket

    def send(self, number: int) -> None:
        """The number is the sequence number, cut to 16 bits."""
        self._pinger.send(number)

    def number_of(self, message: bytes, newest: int) -> int:
        """The newest request with these 16 bits."""
        return newest - ((newest - sequence_of(message)) & 0xFFFF)


class Stream:
    """Sends a request every `interval_seconds` until stopped; UDP to `port`, or ICMP if it is None."""

    def __init__(self, address: str, port: int | None, *, interval_seconds: float) -> None:
        self._carrier: Carrier = UdpCarrier(address, port) if port else IcmpCarrier(address)
        self._interval = interval_seconds
        self._stopped = asyncio.Event()
        self._sent: list[float] = []
        self._answered: dict[int, int] = {}

    def stop(self) -> None:
        """Send no more; `run` returns after the last stragglers."""
        self._stopped.set()

    async def run(self, seconds: float | None) -> Mapping[str, Any]:
        """Stream for that long, or until `stop`; returns what `summary` says."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._carrier.socket, self._read)
        try:
            await self._send_until(time.monotonic() + seconds if seconds else None)
            await asyncio.sleep(STRAGGLERS_SECONDS)
        finally:
            loop.remove_reader(self._carrier.socket)
            self._carrier.socket.close()
        return summary(self._sent, self._answered)

    async def _send_until(self, end: float | None) -> None:
        due = time.monotonic()
        while not self._stopped.is_set() and (end is None or due < end):
            # Also where the machine is late: the loop has replies to read and orders to take.
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._sent.append(time.monotonic())
            with suppress(OSError):  # no route, or a full queue: it counts as lost
                self._carrier.send(len(self._sent) - 1)
            due = max(due + self._interval, self._sent[-1])

    def _read(self) -> None:
        try:
            while True:
                message = self._carrier.socket.recv(MESSAGE_AT_MOST)
                number = self._carrier.number_of(message, len(self._sent) - 1)
                self._answered[number] = self._answered.get(number, 0) + 1
        except BlockingIOError:
            return
        except OSError:
            return  # an ICMP error message; the loss is counted


def summary(sent: Sequence[float], answered: Mapping[int, int]) -> Mapping[str, Any]:
    """Counts, and the longest time in which every request was lost.

    The gap is measured between the sending times of two answered requests with none answered in between, so a busy
    machine that reads replies late adds nothing to it. Losses at the very beginning or end count up to there.
    """
    lost = [number for number in range(len(sent)) if number not in answered]
    longest = max((_gap(sent, first, last) for first, last in runs(lost)), default=0.0)
    return {
        "sent": len(sent),
        "lost": len(lost),
        "duplicates": sum(often - 1 for often in answered.values()),
        "longest_gap_ms": round(longest * 1000),
    }


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The (first, last) of each unbroken run in ascending numbers."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _gap(sent: Sequence[float], first: int, last: int) -> float:
    before = sent[first - 1] if first else sent[0]
    after = sent[last + 1] if last + 1 < len(sent) else sent[-1]
    return after - before
