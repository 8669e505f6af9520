# SPDX-License-Identifier: Apache-2.0
"""Watches a running engine from outside: when it wrote what, and where its time went."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from anyvisor.contracts.controller import ControllerPlan
from anyvisor.contracts.store import Decision, Store
from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.model.names import PortName


@dataclass(slots=True)
class Span:
    """Seconds spent in one kind of work: on the clock, and of this process on any core."""

    wall: float = 0.0
    cpu: float = 0.0


@dataclass(slots=True)
class Journal:
    """What happened, by what became visible. Times are of `time.perf_counter`."""

    spans: defaultdict[str, Span] = field(default_factory=lambda: defaultdict(Span))
    up: dict[PortName, float] = field(default_factory=dict)
    """When each port was said to be up."""
    committed: float = 0.0
    """When the controller last took changes."""
    changes: int = 0
    applied: int = 0
    _news: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, store: Store, controller: OvnController) -> None:
        """Wrap the calls that matter. The engine itself is the one that `anyvisor serve` runs."""
        self._wrap(store, "decide", "decisions stored", self._decided)
        self._wrap(controller, "plan", "compared with OVN")
        self._wrap(controller, "apply", "written to OVN", self._written)

    def wait(self, holds: Callable[[], bool], what: str, timeout_seconds: float) -> None:
        """Wait for something to be written down; TimeoutError if it is not in time."""
        with self._news:
            if not self._news.wait_for(holds, timeout_seconds):
                raise TimeoutError(f"after {timeout_seconds:g} s still not: {what}")

    @contextmanager
    def span(self, name: str) -> Iterator[Span]:
        """Count what happens inside as that kind of work."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield self.spans[name]
        finally:
            self.spans[name].wall += time.perf_counter() - wall
            self.spans[name].cpu += time.process_time() - cpu

    def _wrap(self, part: Any, method: str, name: str, note: Callable[[Any], None] | None = None) -> None:
        original = getattr(part, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.span(name):
                result = original(*args, **kwargs)
            if note is not None:
                note(args[0])
            return result

        setattr(part, method, timed)

    def _decided(self, decision: Decision) -> None:
        now = time.perf_counter()
        with self._news:
            for key, conditions in decision.conditions.items():
                if key.kind == "port" and conditions[0].reason == "Up":
                    self.up[PortName(key.name)] = now
            if decision.applied is not None:
                self.applied = decision.applied
            self._news.notify_all()

    def _written(self, plan: ControllerPlan) -> None:
        with self._news:
            if plan.changes:
                self.committed = time.perf_counter()
                self.changes += len(plan.changes)
            self._news.notify_all()
