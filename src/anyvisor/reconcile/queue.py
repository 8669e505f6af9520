# SPDX-License-Identifier: Apache-2.0
"""Keys that wait to be looked at: each once, the earliest deadline first."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class KeyQueue(Generic[K]):
    """A set of keys with deadlines. Safe to add to from any thread; one consumer takes batches."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._ready = threading.Condition()
        self._closed = False

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Look at `key` in `after` seconds. An earlier deadline wins; a later one changes nothing."""
        self.add_all((key,), after=after)

    def add_all(self, keys: Iterable[K], *, after: float = 0.0) -> None:
        """`add` for many keys with one wake-up."""
        with self._ready:
            due = self._clock() + after
            for key in keys:
                if due < self._due.get(key, float("inf")):
                    self._due[key] = due
                    self._order += 1
                    heapq.heappush(self._heap, (due, self._order, key))
            self._ready.notify()

    def take(self, timeout_seconds: float) -> tuple[K, ...]:
        """All keys that are due, in the order of their deadlines; waits for the first one, at most the time-out.

        Empty after the time-out and once closed.
        """
        deadline = self._clock() + timeout_seconds
        with self._ready:
            while not self._closed:
                batch = self._pop_due()
                if batch:
                    return batch
                now = self._clock()
                if now >= deadline:
                    return ()
                until = min(deadline, self._heap[0][0]) if self._heap else deadline
                self._ready.wait(max(0.0, until - now))
            return ()

    def due(self, *, within: float = 0.0) -> bool:
        """Whether something could be taken now, or in `within` seconds; takes nothing."""
        with self._ready:
            return bool(self._heap) and self._heap[0][0] <= self._clock() + within

    def close(self) -> None:
        """Wake the consumer for good."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def __len__(self) -> int:
        return len(self._due)

    def _pop_due(self) -> tuple[K, ...]:
        now = self._clock()
        batch: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            # A key that was moved to an earlier deadline leaves its old entry behind: skip that one.
            if self._due.get(key) == due:
                del self._due[key]
                batch.append(key)
        return tuple(batch)
