# SPDX-License-Identifier: Apache-2.0
"""One thread per manager: its calls may take seconds, and the controller shall not wait for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, Protocol, TypeVar

from anyvisor.errors import AnyvisorError
from anyvisor.model.names import HostName
from anyvisor.reconcile.backoff import Backoff
from anyvisor.reconcile.looked import ManagerReconciler
from anyvisor.reconcile.queue import KeyQueue

log = logging.getLogger(__name__)

RESYNC_SECONDS = 60.0
MEASURE_SECONDS = 2.0
"""How soon counters are read again, at the earliest."""
_MEASURE_SHARE = 0.2
"""What part of the manager's time may go into reading counters; changes wait for a reading that is under way."""
_LOOK, _MEASURE = "look", "measure"
_SETTLE_SECONDS = 0.05


class Watched(Protocol):
    """A connected driver, as far as an attendant knows it."""

    def watch(self, notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """Call `notify` from another thread with the hosts of whom something changed, while the context lasts."""


D = TypeVar("D", bound=Watched)


class Attendant(Generic[D]):
    """Runs the reconciler of one manager: when woken, at every event of the manager, and in a while anyway.

    `connect` gives the connected driver and is tried again until it does; `serve` makes its reconciler;
    `failed` hears why there is no connection yet.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], D],
        serve: Callable[[D], ManagerReconciler],
        *,
        close: Callable[[D], None] = lambda _: None,
        failed: Callable[[AnyvisorError], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._connect = connect
        self._serve = serve
        self._close = close
        self._failed = failed
        self._queue: KeyQueue[str] = KeyQueue()
        self._backoff: Backoff[str] = Backoff()
        self._stopping = threading.Event()
        self._driver: D | None = None
        self._not_before = 0.0
        """After a failure events do not make us look sooner: the failed try itself is an event to the manager."""
        self._last: tuple[object, ...] = ()
        self._thread = threading.Thread(target=self._run, name=f"manager {name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Look soon. From any thread."""
        self._queue.add(_LOOK, after=max(_SETTLE_SECONDS, self._not_before - time.monotonic()))

    @property
    def driver(self) -> D | None:
        """The connected driver; None while there is no connection. From any thread."""
        return self._driver

    def stop(self) -> None:
        """End after the look that is under way, and wait for that."""
        self._stopping.set()
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with ExitStack() as parts:
            driver = self._connected()
            if driver is None:
                return
            parts.callback(self._close, driver)
            self._driver = driver
            reconciler = self._serve(driver)
            parts.enter_context(driver.watch(lambda _: self.wake()))
            self.wake()
            self._queue.add(_MEASURE, after=MEASURE_SECONDS)
            while not self._stopping.is_set():
                for key in self._queue.take(RESYNC_SECONDS):
                    if key == _MEASURE:
                        self._measure(reconciler)
                    else:
                        self._look(reconciler)

    def _connected(self) -> D | None:
        while not self._stopping.is_set():
            try:
                return self._connect()
            except AnyvisorError as error:
                delay = self._backoff.after_failure(self._name)
                log.warning("%s: %s; again in %.1f s", self._name, error, delay)
                self._failed(error)
                self._stopping.wait(delay)
        return None

    def _measure(self, reconciler: ManagerReconciler) -> None:
        began = time.monotonic()
        try:
            reconciler.measure()
        except AnyvisorError as error:
            log.debug("%s: not measured: %s", self._name, error)
        except Exception:
            log.exception("measuring %s failed", self._name)
        self._queue.add(_MEASURE, after=measure_again(time.monotonic() - began))

    def _look(self, reconciler: ManagerReconciler) -> None:
        delay = RESYNC_SECONDS
        try:
            looked = reconciler.reconcile()
        except Exception:
            # A fault of ours must not end the attendance: the hosts would stay as they are for good.
            log.exception("the look at %s failed", self._name)
            delay = self._backoff.after_failure(self._name)
        else:
            if looked.error is not None:
                delay = self._backoff.after_failure(self._name)
                log.warning("%s: %s; again in %.1f s", self._name, looked.error, delay)
            else:
                self._backoff.forget(self._name)
                # What was changed makes the next thing possible (a group that is empty now can go).
                # The same steps again mean that they changed nothing.
                waits = RESYNC_SECONDS if looked.again_seconds is None else looked.again_seconds
                delay = _SETTLE_SECONDS if looked.steps and looked.steps != self._last else waits
            self._last = looked.steps
            self._not_before = time.monotonic() + delay if looked.error is not None else 0.0
        self._queue.add(_LOOK, after=delay)


def measure_again(took_seconds: float) -> float:
    """How many seconds after a reading of the counters, that took so many, the next one begins."""
    return min(max(MEASURE_SECONDS, took_seconds / _MEASURE_SHARE), RESYNC_SECONDS)
