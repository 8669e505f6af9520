# SPDX-License-Identifier: Apache-2.0
"""How long traffic between two VMs stops while something happens: steady streams, and what they lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from anyvisor.errors import AnyvisorError, TerminalError, UnreachableError
from anyvisor.lab.place import Place
from anyvisor.lab.prober_client import Prober

INTERVAL_SECONDS = 0.01
START_SECONDS = 10.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A stream from one VM to an address: UDP to `port`, ICMP echo if it is None. `target` is for people."""

    source: str
    target: str
    address: str
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a stream lost. `longest_gap_ms` is the longest time in which every request was lost."""

    flow: Flow
    sent: int
    lost: int
    duplicates: int
    longest_gap_ms: int

    def __str__(self) -> str:
        kind = f"UDP {self.flow.port}" if self.flow.port is not None else "ICMP"
        return (
            f"{self.flow.source} → {self.flow.target} ({kind}): {self.lost} of {self.sent} packets lost, "
            f"longest gap {self.longest_gap_ms} ms"
        )


@dataclass(slots=True)
class Measurement:
    """Filled when the streams have ended."""

    outages: tuple[Outage, ...] = field(default=())


@contextmanager
def streaming(
    place: Place, flows: Sequence[Flow], *, interval_seconds: float = INTERVAL_SECONDS
) -> Iterator[Measurement]:
    """Stream while the context lasts; the measurement is complete after it.

    Raises:
        TerminalError: a stream could not be started or ended.
        UnreachableError: a prober does not answer.
    """
    measurement = Measurement()
    runner = _Runner(place, flows, interval_seconds)
    runner.start()
    try:
        yield measurement
    finally:
        measurement.outages = runner.finish()


def measure(
    place: Place, flow: Flow, *, seconds: float, interval_seconds: float = INTERVAL_SECONDS
) -> Outage:
    """Stream for that long."""

    async def stream() -> Outage:
        async with Prober(place, flow.source) as prober:
            patience = seconds + STOP_SECONDS
            answer = await prober.ask(
                "stream", patience_seconds=patience, seconds=seconds, **_details(flow, interval_seconds)
            )
            return _outage(flow, answer)

    return asyncio.run(stream())


class _Runner:
    """The event loop of the streams, in a thread of its own, so that the caller may do anything meanwhile."""

    def __init__(self, place: Place, flows: Sequence[Flow], interval_seconds: float) -> None:
        self._place = place
        self._flows = flows
        self._interval = interval_seconds
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._ordered = 0
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._outages: tuple[Outage, ...] = ()
        self._error: AnyvisorError | None = None

    def start(self) -> None:
        """Returns when every stream has been ordered."""
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TerminalError("the streams did not start")
        if self._error is not None:
            raise self._error

    def finish(self) -> tuple[Outage, ...]:
        """End the streams, wait for stragglers, return what was lost."""
        with suppress(RuntimeError):  # a stream that failed has closed the loop already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise TerminalError("the streams did not end")
        if self._error is not None:
            raise self._error
        return self._outages

    def _run(self) -> None:
        try:
            self._outages = tuple(self._loop.run_until_complete(self._all()))
        except* AnyvisorError as errors:
            self._error = next(e for e in errors.exceptions if isinstance(e, AnyvisorError))
        finally:
            self._started.set()
            self._loop.close()

    async def _all(self) -> list[Outage]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(flow)) for flow in self._flows]
        return [task.result() for task in tasks]

    async def _one(self, flow: Flow) -> Outage:
        async with Prober(self._place, flow.source) as prober:
            number, answer = prober.order("stream", **_details(flow, self._interval))
            self._ordered += 1
            if self._ordered == len(self._flows):
                self._started.set()
            await self._stop.wait()
            await prober.ask("stop", stream=number)
            try:
                return _outage(flow, await asyncio.wait_for(answer, STOP_SECONDS))
            except TimeoutError as error:
                raise UnreachableError(f"the prober of {flow.source} does not end its stream") from error


def _details(flow: Flow, interval_seconds: float) -> dict[str, object]:
    return {"to": flow.address, "port": flow.port, "interval": interval_seconds}


def _outage(flow: Flow, answer: dict[str, object]) -> Outage:
    if not answer["ok"]:
        raise TerminalError(f"no stream from {flow.source} to {flow.target}: {answer.get('why')}")
    numbers = {key: int(str(answer[key])) for key in ("sent", "lost", "duplicates", "longest_gap_ms")}
    return Outage(flow=flow, **numbers)
