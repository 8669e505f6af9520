# SPDX-License-Identifier: Apache-2.0
"""Reads what something costs: time, CPU of ours, memory, calls of the vSphere API, bytes that its answers have."""

from __future__ import annotations

import gc
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.vcenter.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds on the clock until the last thing was done; CPU of anyvisord and of the server of its database."""

    wall: float = 0.0
    cpu: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)
    """By method of the vSphere API."""
    received: int = 0
    """Bytes of answers of the vSphere API, without TLS."""

    @property
    def called(self) -> int:
        """All calls."""
        return sum(self.calls.values())


class _CountingSocket(ssl.SSLSocket):
    received = 0

    def read(self, *args: Any, **kwargs: Any) -> Any:
        found: Any = super().read(*args, **kwargs)
        _CountingSocket.received += found if isinstance(found, int) else len(found)
        return found


def count_bytes() -> None:
    """From now on count what comes in over TLS; nothing but the vSphere API does."""
    ssl.SSLContext.sslsocket_class = _CountingSocket


@contextmanager
def cost(world: World, *, done: bool = False) -> Iterator[list[Cost]]:
    """What happens inside; filled at the end. `done`: on the clock only until the last thing was done."""
    costs: list[Cost] = []
    calls, received, database = world.control.calls(), _CountingSocket.received, world.database_cpu()
    cpu, begin = time.process_time(), time.perf_counter()
    yield costs
    end = world.done if done else time.perf_counter()
    spent = time.process_time() - cpu + world.database_cpu() - database
    more = {name: count - calls.get(name, 0) for name, count in world.control.calls().items()}
    costs.append(
        Cost(
            wall=end - begin,
            cpu=spent,
            calls={name: count for name, count in more.items() if count},
            received=_CountingSocket.received - received,
        )
    )


def middle(costs: list[Cost]) -> Cost:
    """Of each figure the median."""
    methods = sorted({name for each in costs for name in each.calls})
    return Cost(
        wall=median(each.wall for each in costs),
        cpu=median(each.cpu for each in costs),
        calls={
            name: count
            for name in methods
            if (count := round(median(each.calls.get(name, 0) for each in costs)))
        },
        received=round(median(each.received for each in costs)),
    )


def memory() -> int:
    """Bytes of memory of this process, its share of what it shares with others (PSS)."""
    gc.collect()
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
