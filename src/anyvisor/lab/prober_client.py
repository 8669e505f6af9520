# SPDX-License-Identifier: Apache-2.0
"""Giving orders to the probers in the VMs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from types import TracebackType
from typing import Any, Self

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.lab import process
from anyvisor.lab.manifest import Process, Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import run
from anyvisor.lab.topology import Topology

PROBER = "prober"


def start(place: Place, topology: Topology, recorder: Recorder, parts: Iterable[str] | None = None) -> None:
    """Start the probers of these VMs and outside hosts (of all, if not given); returns when they listen."""
    chosen = tuple(parts) if parts is not None else part_names(topology)
    names = {place.namespace(part): part for part in chosen}
    plan = {
        "workers": {name: str(place.control(part)) for name, part in names.items()},
        "tcp": topology.ports.tcp,
        "udp": topology.ports.udp,
    }
    said = json.loads(run([sys.executable, "-m", "anyvisor.lab.prober", json.dumps(plan)]))
    for name, pid in said.items():
        begun = process.start_time(pid) or 0
        recorder.process(Process(what=PROBER, part=names[name], pid=pid, start=begun))


def part_names(topology: Topology) -> tuple[str, ...]:
    """Everything that has a prober."""
    return (*(vm.name for vm in topology.vms), *(outsider.name for outsider in topology.outside))


class Prober:
    """The line to one prober. An order that is not answered in time raises UnreachableError."""

    def __init__(self, place: Place, part: str) -> None:
        self._place = place
        self.part = part
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        path = self._place.control(self.part)
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(path)
        except OSError as error:
            message = f"the prober of {self.part} does not listen on {path}: {error.strerror}"
            raise UnreachableError(message, hint=f"see {path.with_suffix('.log')}") from error
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def order(self, do: str, **details: Any) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Send an order; its number, and its answer to come."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(json.dumps({"id": number, "do": do, **details}).encode() + b"\n")
        return number, answer

    async def ask(self, do: str, *, patience_seconds: float = 10.0, **details: Any) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Raises:
            UnreachableError: the prober is silent or gone.
        """
        number, answer = self.order(do, **details)
        try:
            async with asyncio.timeout(patience_seconds):
                return await answer
        except TimeoutError as error:
            raise UnreachableError(f"the prober of {self.part} does not answer") from error
        finally:
            self._waiting.pop(number, None)

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(UnreachableError(f"the prober of {self.part} has ended"))


@asynccontextmanager
async def probers(place: Place, parts: Iterable[str]) -> AsyncIterator[dict[str, Prober]]:
    """Lines to many probers at once."""
    async with AsyncExitStack() as stack:
        opened = {part: await stack.enter_async_context(Prober(place, part)) for part in parts}
        yield opened


def ensure(place: Place, topology: Topology, recorder: Recorder) -> None:
    """Start again what has died.

    Raises:
        TerminalError: a prober cannot be started.
    """
    dead = asyncio.run(_dead(place, part_names(topology)))
    if dead:
        start(place, topology, recorder, dead)
        left = asyncio.run(_dead(place, dead))
        if left:
            raise TerminalError(f"no prober in {', '.join(left)}")


async def _dead(place: Place, parts: Iterable[str]) -> tuple[str, ...]:
    dead = []
    for part in parts:
        try:
            async with Prober(place, part):
                continue
        except UnreachableError:
            dead.append(part)
    return tuple(dead)
