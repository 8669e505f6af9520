# SPDX-License-Identifier: Apache-2.0
"""Load from inside one VM: ``python -m anyvisor.lab.bench_load ORDER`` prints what one address was good for.

What answers is the other VM's prober. Everything is a closed loop of ordinary sockets, so that the figures hold the
switches between the two and little else.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from anyvisor.lab.ping import MESSAGE_AT_MOST, Pinger, sequence_of

WARM_UP = 20
"""The first packets wake caches and address resolution; they are sent and not counted."""
PATIENCE_SECONDS = 0.5
LEASE_SECONDS = 30.0
"""How long a VM is given to have its address, and the way to be open."""
DATAGRAM = b"x" * 64
WINDOW = 32
"""Datagrams under way at a time."""
LINE = b"x" * 60_000 + b"\n"
"""What one connection carries there and back. The prober reads no longer line."""
CONNECTIONS = 30
"""Per run, one after the other: the user-space connection tracking of Open vSwitch 3.1 was seen to end the whole
switch (an assertion in conn_update_state) under thousands of short connections side by side."""


def icmp_seconds(address: str, seconds: float) -> float:
    """The median round trip of an ICMP echo."""
    with Pinger(address) as pinger:
        pinger.socket.settimeout(PATIENCE_SECONDS)

        def once(number: int) -> None:
            pinger.send(number, DATAGRAM)
            while sequence_of(pinger.socket.recv(MESSAGE_AT_MOST)) != number & 0xFFFF:
                pass

        return _round_trip(once, seconds)


def udp_seconds(address: str, port: int, seconds: float) -> float:
    """The median round trip of a datagram."""
    with _udp(address, port) as asker:

        def once(number: int) -> None:
            said = DATAGRAM + b"%d" % number
            asker.send(said)
            while asker.recv(MESSAGE_AT_MOST) != said:
                pass

        return _round_trip(once, seconds)


def udp_rate(address: str, port: int, seconds: float) -> float:
    """Datagrams per second that come back while always `WINDOW` are under way."""
    answered = 0
    with _udp(address, port) as asker:
        under_way = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(WINDOW - under_way):
                asker.send(DATAGRAM)
            under_way = WINDOW - 1
            try:
                asker.recv(MESSAGE_AT_MOST)
                answered += 1
            except TimeoutError:
                under_way = 0  # all of them are lost
    return answered / seconds


def tcp_rate(address: str, port: int) -> float:
    """Bits per second of the middle one of some short connections, there and back together, with its establishment."""
    taken: list[float] = []
    for _ in range(CONNECTIONS):
        begin = time.perf_counter()
        with suppress(TimeoutError), socket.create_connection((address, port), PATIENCE_SECONDS) as line:
            line.sendall(LINE)
            missing = len(LINE)
            while missing and (chunk := line.recv(1 << 16)):
                missing -= len(chunk)
            if not missing:
                taken.append(time.perf_counter() - begin)
    if not taken:
        raise TimeoutError("no connection carries anything")
    return 2 * len(LINE) * 8 / median(taken)


def _udp(address: str, port: int) -> socket.socket:
    asker = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(PATIENCE_SECONDS)
    asker.connect((address, port))
    return asker


def _round_trip(once: Callable[[int], None], seconds: float) -> float:
    """Raises TimeoutError if nothing comes back."""
    for number in range(WARM_UP):
        with suppress(TimeoutError):
            once(number)
    taken: list[float] = []
    number, end = WARM_UP, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        with suppress(TimeoutError):
            once(number)
            taken.append(time.perf_counter() - begin)
        number += 1
    if not taken:
        raise TimeoutError("nothing comes back")
    return median(taken)


def patiently(ask: Callable[[], float]) -> float:
    """Ask again while there is no way yet. Raises what is in the way in the end."""
    end = time.monotonic() + LEASE_SECONDS
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(PATIENCE_SECONDS)


def main(argv: Sequence[str]) -> int:
    """Carry out ``{"to": address, "icmp": bool, "udp": port?, "tcp": port?, "seconds": number}``; print the figures."""
    order = json.loads(argv[0])
    try:
        print(json.dumps(figures_of(order)))
    except OSError as error:
        print(f"no way to {order['to']}: {error}", file=sys.stderr)
        return 1
    return 0


def figures_of(order: dict[str, Any]) -> dict[str, float]:
    """What was found, by the names that `anyvisor.lab.bench` gives them. Raises OSError if nothing passes."""
    to, seconds = order["to"], order["seconds"]
    figures: dict[str, float] = {}
    if order["icmp"]:
        figures["icmp_us"] = patiently(lambda: icmp_seconds(to, seconds)) * 1e6
    if order["udp"]:
        figures["udp_us"] = patiently(lambda: udp_seconds(to, order["udp"], seconds)) * 1e6
        figures["udp_per_second"] = udp_rate(to, order["udp"], seconds)
    if order["tcp"]:
        figures["tcp_mbit"] = patiently(lambda: tcp_rate(to, order["tcp"])) / 1e6
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
