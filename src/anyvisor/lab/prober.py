# SPDX-License-Identifier: Apache-2.0
"""What runs in every VM: it answers on some TCP and UDP ports, and asks others on order.

Run as ``python -m anyvisor.lab.prober PLAN`` it forks one worker per namespace and ends when all of them listen.
Orders and answers are JSON lines on a Unix socket; each answer carries the order's ``id``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, cast

from anyvisor.lab import namespace
from anyvisor.lab.ping import Pinger
from anyvisor.lab.stream import Stream

Order: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IPV6_DONTFRAG, PMTUDISC_DO = 10, 23, 62, 2
"""ip(7), ipv6(7): never fragment, and heed what the kernel has learned of the path."""
HEADERS = {4: 20 + 8, 6: 40 + 8}
"""Bytes of IP and UDP in front of a payload."""
PAD = "."
"""What fills a payload up behind its token."""
LARGEST = 65_536
CONNECTIONS_WAITING = 256


class Worker:
    """One VM's prober. Everything happens in one event loop."""

    def __init__(self, ports: dict[str, list[int]]) -> None:
        self._ports = ports
        self._seen: Counter[str] = Counter()
        self._senders: dict[str, str] = {}
        self._lines = count(1)
        self._streams: dict[tuple[int, int], Stream] = {}
        """By the line that ordered one and the order's number: several lines count alike."""
        self._doing: dict[str, Callable[[Order], Awaitable[Answer]]] = {
            "tcp": self._tcp,
            "udp": self._udp,
            "icmp": self._icmp,
            "converse": self._converse,
            "sized": self._sized,
            "frame": self._frame,
            "seen": self._seen_often,
            "addresses": self._addresses,
            "stream": self._stream,
            "stop": self._stop,
        }

    async def listen(self) -> None:
        """Answer on every port; returns once all of them are open."""
        for port in self._ports["tcp"]:
            await asyncio.start_server(
                _echo, sock=_listener(port, socket.SOCK_STREAM), backlog=CONNECTIONS_WAITING
            )
        loop = asyncio.get_running_loop()
        for port in self._ports["udp"]:
            await loop.create_datagram_endpoint(
                lambda: UdpEcho(self._seen, self._senders), sock=_listener(port, socket.SOCK_DGRAM)
            )

    async def take_orders(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry out orders, all at the same time, until the other side hangs up."""
        running: set[asyncio.Task[None]] = set()
        number = next(self._lines)
        while line := await reader.readline():
            task = asyncio.create_task(self._carry_out({**json.loads(line), "line": number}, writer))
            running.add(task)
            task.add_done_callback(running.discard)
        for task in running:
            task.cancel()
        writer.close()

    async def _carry_out(self, order: Order, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._doing[order["do"]](order)
        except TimeoutError:
            answer = {"ok": False, "why": "no answer"}
        except OSError as error:
            answer = {"ok": False, "why": error.strerror or type(error).__name__}
        writer.write(json.dumps({**answer, "id": order["id"]}).encode() + b"\n")

    async def _tcp(self, order: Order) -> Answer:
        async with asyncio.timeout(order["timeout"]):
            reader, writer = await asyncio.open_connection(order["to"], order["port"])
            try:
                writer.write(order["token"].encode() + b"\n")
                said = await reader.readline()
            finally:
                writer.close()
        return {"ok": said.decode().strip() == order["token"]}

    async def _udp(self, order: Order) -> Answer:
        loop = asyncio.get_running_loop()
        with socket.socket(_family(order["to"]), socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.connect((order["to"], order["port"]))
            async with asyncio.timeout(order["timeout"]):
                await loop.sock_sendall(asker, order["token"].encode())
                said = await loop.sock_recv(asker, 2048)
        return {"ok": said.decode() == order["token"]}

    async def _icmp(self, order: Order) -> Answer:
        with Pinger(order["to"]) as pinger:
            pinger.send(1, order["token"].encode())
            async with asyncio.timeout(order["timeout"]):
                await pinger.receive()
        return {"ok": True}

    async def _converse(self, order: Order) -> Answer:
        """One connection, some lines with pauses in between, each of which must come back."""
        async with asyncio.timeout(order["timeout"]):
            reader, writer = await asyncio.open_connection(order["to"], order["port"])
            try:
                for number in range(order["times"]):
                    line = f"{order['token']}-{number}\n".encode()
                    writer.write(line)
                    if await reader.readline() != line:
                        return {"ok": False, "why": f"it broke off after {number} lines"}
                    await asyncio.sleep(order["pause"])
            finally:
                writer.close()
        return {"ok": True}

    async def _sized(self, order: Order) -> Answer:
        """A datagram that makes an IP packet of that size, never fragmented, and comes back whole."""
        loop = asyncio.get_running_loop()
        version = ip_address(order["to"]).version
        payload = order["token"].ljust(order["size"] - HEADERS[version], PAD).encode()
        with socket.socket(_family(order["to"]), socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            if version == 4:
                asker.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
            else:
                asker.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
                asker.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
            asker.connect((order["to"], order["port"]))
            async with asyncio.timeout(order["timeout"]):
                await loop.sock_sendall(asker, payload)
                said = await loop.sock_recv(asker, LARGEST)
        return {"ok": said == payload}

    async def _frame(self, order: Order) -> Answer:
        """Send a frame as it stands, past the machine's own IP stack."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth:
            mouth.sendto(bytes.fromhex(order["hex"]), (order["card"], 0))
        return {"ok": True}

    async def _seen_often(self, order: Order) -> Answer:
        tokens = order["tokens"]
        senders = {token: self._senders[token] for token in tokens if token in self._senders}
        return {"ok": True, "often": {token: self._seen[token] for token in tokens}, "senders": senders}

    async def _addresses(self, _order: Order) -> Answer:
        return {"ok": True, "ipv6": _global_ipv6()}

    async def _stream(self, order: Order) -> Answer:
        stream = Stream(order["to"], order.get("port"), interval_seconds=order["interval"])
        key = order["line"], order["id"]
        self._streams[key] = stream
        try:
            return {"ok": True, **await stream.run(order.get("seconds"))}
        finally:
            del self._streams[key]

    async def _stop(self, order: Order) -> Answer:
        stream = self._streams.get((order["line"], order["stream"]))
        if stream is not None:
            stream.stop()
        return {"ok": stream is not None}


class UdpEcho(asyncio.DatagramProtocol):
    """Sends every datagram back, counts how often it came and remembers from whom. Its token ends before a `PAD`."""

    def __init__(self, seen: Counter[str], senders: dict[str, str]) -> None:
        self._seen = seen
        self._senders = senders
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Count and answer."""
        token = data.decode(errors="replace").partition(PAD)[0]
        self._seen[token] += 1
        self._senders[token] = str(addr[0]).removeprefix("::ffff:")
        if self._transport is not None:
            self._transport.sendto(data, addr)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every line back until the other side has no more."""
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


def _listener(port: int, kind: socket.SocketKind) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setblocking(False)
    listener.bind(("::", port))
    if kind is socket.SOCK_STREAM:
        listener.listen(CONNECTIONS_WAITING)
    return listener


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET


def _global_ipv6() -> list[str]:
    """The machine's own global IPv6 addresses that have passed duplicate address detection."""
    tentative_or_duplicate, everywhere = 0x40 | 0x08, "00"
    found = []
    for line in Path("/proc/self/net/if_inet6").read_text().splitlines():
        text, _, _, scope, flags, _ = line.split()
        if scope == everywhere and not int(flags, 16) & tentative_or_duplicate:
            found.append(str(ip_address(int(text, 16).to_bytes(16))))
    return found


async def serve(control: Path, ports: dict[str, list[int]], ready: int) -> None:
    """Work until told to stop; writes one byte to `ready` once everything listens."""
    worker = Worker(ports)
    await worker.listen()
    server = await asyncio.start_unix_server(worker.take_orders, control)
    os.write(ready, b"r")
    os.close(ready)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()


def main(argv: Sequence[str]) -> int:
    """Fork a worker per namespace: ``{"workers": {namespace: control socket}, "tcp": [...], "udp": [...]}``.

    Prints ``{namespace: pid}``.
    """
    plan = json.loads(argv[0])
    started = {name: _fork(name, Path(control), plan) for name, control in plan["workers"].items()}
    failed = [name for name, (_, ready) in started.items() if os.read(ready, 1) != b"r"]
    if failed:
        print(f"no prober in {', '.join(failed)}: see prober.log there", file=sys.stderr)
        return 1
    print(json.dumps({name: pid for name, (pid, _) in started.items()}))
    return 0


def _fork(name: str, control: Path, plan: dict[str, Any]) -> tuple[int, int]:
    receive, ready = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ready)
        return pid, receive
    os.close(receive)
    os.setsid()
    log = os.open(control.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    namespace.enter(name)
    control.unlink(missing_ok=True)
    asyncio.run(serve(control, plan, ready))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
