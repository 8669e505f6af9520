# SPDX-License-Identifier: Apache-2.0
"""The only place that decides whether a key is tried again, and when.

Serves `anyvisor serve`, which runs it for ever, and `anyvisor apply`, which runs it until nothing is left to do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from anyvisor.contracts.store import Store
from anyvisor.errors import ConflictError, RetryableError, TerminalError
from anyvisor.model.names import ObjectKey
from anyvisor.reconcile.backoff import Backoff
from anyvisor.reconcile.engine import Engine, Outcome
from anyvisor.reconcile.queue import KeyQueue

log = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0
"""How often everything is looked at, whatever events said: a lost event costs at most this long."""
_EVERYTHING = ObjectKey("policy", "everything")
_FEED_SECONDS = 0.5
_SETTLE_SECONDS = 0.01
"""A burst of changes becomes one transaction; a single one is not held up noticeably."""


class Runner:
    """Feeds the engine with keys from the store, the controller and its own timer."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        queue: KeyQueue[ObjectKey],
        *,
        resync_seconds: float = RESYNC_SECONDS,
        observe: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._queue = queue
        self._resync_seconds = resync_seconds
        self._observe = observe
        self._backoff: Backoff[ObjectKey] = Backoff()
        self._failing: set[ObjectKey] = set()
        self._fed = 0
        self._stopping = threading.Event()
        self._feed = threading.Thread(target=self._feed_keys, name="changes", daemon=True)

    def start(self) -> None:
        """Begin to listen; the first step looks at everything."""
        self._queue.add(_EVERYTHING)
        self._feed.start()

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        self._stopping.set()
        self._queue.close()

    def run(self, active: Callable[[], bool]) -> None:
        """Work until `stop`, or until `active` says that somebody else has taken over."""
        while not self._stopping.is_set() and active():
            self.step(1.0)

    def step(self, timeout_seconds: float) -> Outcome | None:
        """One round, if a key comes within the time-out."""
        keys = self._queue.take(timeout_seconds)
        # Read after the keys: those of this generation are among them, or still due, and then nothing is said.
        fed = self._fed
        if not keys:
            self._say_applied(fed)
            return None
        everything = _EVERYTHING in keys
        if everything:
            self._queue.add(_EVERYTHING, after=self._resync_seconds)
        outcome = self._attempt({key for key in keys if key != _EVERYTHING}, everything=everything)
        if outcome is None:
            return None
        self._say_applied(fed)
        if self._observe is not None:
            self._observe(outcome)
        return outcome

    def _say_applied(self, fed: int) -> None:
        """Everything that came in with generation `fed` has been looked at and nothing of it failed: say so."""
        if (
            self._failing
            or self._queue.due(within=2 * _SETTLE_SECONDS)
            or fed <= self._store.snapshot().applied
        ):
            return
        try:
            self._engine.say_applied(fed)
        except RetryableError as error:
            log.debug("generation %d is applied, but that could not be stored yet: %s", fed, error)

    def _attempt(self, keys: set[ObjectKey], *, everything: bool) -> Outcome | None:
        try:
            outcome = self._engine.round(keys, everything=everything)
        except TerminalError as error:
            log.error("%s: waits for a change of intent: %s", _named(keys), error)
            self._again(keys, everything=everything, after=None)
            return None
        except RetryableError as error:
            level = logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING
            log.log(level, "%s: will be tried again: %s", _named(keys), error)
            self._again(keys, everything=everything, after=error.after)
            return None
        except Exception:
            # A bug that one key uncovers must not end the daemon: the others go on, the log says what broke.
            log.exception("%s: unexpected failure", _named(keys))
            self._again(keys, everything=everything, after=None)
            return None
        for key in outcome.looked_at - outcome.retry.keys():
            self._backoff.forget(key)
        self._backoff.forget(_EVERYTHING)
        self._failing -= outcome.looked_at
        self._failing.discard(_EVERYTHING)
        for key, delay in outcome.retry.items():
            self._queue.add(key, after=self._backoff.after_failure(key) if delay is None else delay)
        return outcome

    def _again(self, keys: set[ObjectKey], *, everything: bool, after: float | None) -> None:
        waiting = {*keys, _EVERYTHING} if everything else keys
        self._failing |= waiting
        delay = max((self._backoff.after_failure(key) for key in waiting), default=0.5)
        self._queue.add_all(waiting, after=delay if after is None else after)

    def _feed_keys(self) -> None:
        while not self._stopping.is_set():
            try:
                keys = self._store.changed(_FEED_SECONDS)
            except RetryableError as error:
                log.warning("the database does not answer: %s", error)
                self._stopping.wait(_FEED_SECONDS)
                continue
            # What came in with the generation that is visible now is among the keys taken by the second call.
            generation = self._store.snapshot().generation
            keys |= self._store.changed(0.0)
            if keys:
                self._queue.add_all(keys, after=_SETTLE_SECONDS)
            self._fed = generation


def _named(keys: set[ObjectKey]) -> str:
    if len(keys) == 1:
        return str(next(iter(keys)))
    return f"{len(keys)} objects"
