# SPDX-License-Identifier: Apache-2.0
"""The agent's one loop: something may have changed, look, and look again in a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from anyvisor.contracts.store import Store
from anyvisor.model.names import HostName
from anyvisor.reconcile.backoff import Backoff
from anyvisor.reconcile.chassis import ChassisReconciler
from anyvisor.reconcile.queue import KeyQueue

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.02
"""Events come in bursts; one look serves them all."""
_LISTEN_SECONDS = 1.0


class AgentLoop:
    """Runs one reconciler until `stop`. Every source of events calls `wake`."""

    def __init__(self, host: HostName, *, interval_seconds: float) -> None:
        self._host = host
        self._interval = interval_seconds
        self._queue: KeyQueue[HostName] = KeyQueue()
        self._backoff: Backoff[HostName] = Backoff()
        self._stopping = threading.Event()
        self._well = True

    def wake(self) -> None:
        """Look soon. From any thread."""
        self._queue.add(self._host, after=_SETTLE_SECONDS)

    def stop(self) -> None:
        """End `run` after the look that is under way. From any thread, and from a signal handler."""
        self._stopping.set()
        self._queue.close()

    def well(self) -> bool:
        """Whether the last look went well. From any thread."""
        return self._well

    @property
    def stopping(self) -> threading.Event:
        """Set once `stop` was called."""
        return self._stopping

    def run(self, reconciler: ChassisReconciler, store: Store) -> None:
        """Look at once, then at every event and every interval."""
        listener = threading.Thread(target=self._listen, args=(store,), name="store events", daemon=True)
        listener.start()
        self.wake()
        while not self._stopping.is_set():
            if self._queue.take(self._interval):
                self._look(reconciler)
        listener.join()

    def _look(self, reconciler: ChassisReconciler) -> None:
        delay = self._interval
        try:
            error = reconciler.reconcile().error
        except Exception:
            # A fault of ours must not end the agent: its host would stay as it is for good.
            log.exception("the look at %s failed", self._host)
            self._well = False
            delay = self._backoff.after_failure(self._host)
        else:
            self._well = error is None
            if error is None:
                self._backoff.forget(self._host)
            else:
                delay = self._backoff.after_failure(self._host)
                log.warning("%s: %s; again in %.1f s", self._host, error, delay)
        self._queue.add(self._host, after=delay)

    def _listen(self, store: Store) -> None:
        while not self._stopping.is_set():
            if store.changed(_LISTEN_SECONDS):
                self.wake()


def until_done(what: str, attempt: Callable[[], bool], stopping: threading.Event) -> bool:
    """Try until it succeeds, waiting longer each time; False if the agent is stopped first."""
    backoff: Backoff[str] = Backoff()
    while not stopping.is_set():
        if attempt():
            return True
        stopping.wait(backoff.after_failure(what))
    return False
