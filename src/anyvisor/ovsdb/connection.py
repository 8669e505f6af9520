# SPDX-License-Identifier: Apache-2.0
"""A connection to one OVSDB database: a replica in memory that one thread owns, and writes through it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Self, TypeVar

from anyvisor.errors import UnreachableError
from anyvisor.ovsdb import parser
from anyvisor.ovsdb.handshake import fetch_schema, select_columns
from anyvisor.ovsdb.jobs import Commit, ConditionChange, View
from anyvisor.ovsdb.poller import Waiter, WakeUp
from anyvisor.ovsdb.replica import Replica, Row, RowEvent
from anyvisor.ovsdb.transaction import Transaction, listen_to_complaints

__all__ = ["Connection", "Replica", "Row", "RowEvent", "Transaction"]

log = logging.getLogger(__name__)
T = TypeVar("T")
J = TypeVar("J")
Condition = list[Any]
"""In OVSDB notation: ``[["host", "==", "kvm1"], …]`` (any of them), ``[True]`` for all rows, ``[]`` for none."""


class Connection:
    """One replica, owned by one daemon thread. Every method may be called from any thread and blocks for at most
    `timeout_seconds`; the replica reconnects by itself.

    `remote`: one remote or several with commas between (the members of a cluster).
    `tables`: the columns to replicate per table; none stands for all; ``name?`` for one that may be missing.
    `conditions`: which rows to replicate, per table; all where nothing is said.
    `lock`: the name of an OVSDB lock that every write shall need. Locks count per server: use `leader_only` with it.
    """

    def __init__(
        self,
        remote: str,
        *,
        schema_name: str,
        tables: Mapping[str, Sequence[str]],
        conditions: Mapping[str, Condition] | None = None,
        leader_only: bool = True,
        timeout_seconds: float = 30.0,
        lock: str | None = None,
    ) -> None:
        self.remote = remote
        self._schema_name = schema_name
        self._tables = dict(tables)
        self._conditions = dict(conditions or {})
        self._leader_only = leader_only
        self._timeout = timeout_seconds
        self._lock = lock
        self._callbacks: list[Callable[[RowEvent], None]] = []
        self._settled: list[Callable[[], None]] = []
        self._views: deque[View[Any]] = deque()
        self._commits: deque[Commit[Any]] = deque()
        self._changes: deque[ConditionChange] = deque()
        self._state = threading.Condition()
        self._status = (0, False, False)
        self._eventful = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._wake: WakeUp | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and read the first snapshot.

        Raises:
            UnreachableError: nothing usable answers at `remote` within the time-out.
            TerminalError: the server has no such database, or its schema lacks a column.
        """
        if self._thread is not None:
            return
        parser.install()
        listen_to_complaints()
        self._closing = False
        self._status = (0, False, False)
        deadline = time.monotonic() + self._timeout
        schema = fetch_schema(self.remote, self._schema_name, self._timeout)
        replica = Replica(
            self.remote,
            select_columns(schema, self._tables),
            leader_only=self._leader_only,
            deliver=self._deliver,
        )
        for table, condition in self._conditions.items():
            replica.cond_change(table, condition)
        self._wake = wake = WakeUp()
        self._thread = threading.Thread(
            target=self._serve, args=(replica, wake), name=f"ovsdb {self.remote}", daemon=True
        )
        self._thread.start()
        if not self._wait_until(lambda: self.change_seqno > 0, deadline):
            self.close()
            raise UnreachableError(
                f"{self.remote}: no snapshot of {self._schema_name} within {self._timeout:g} s"
            )

    def close(self) -> None:
        """End the thread and the connection. Calls that wait get an UnreachableError."""
        with self._state:
            thread, wake = self._thread, self._wake
            self._thread = self._wake = None
            self._closing = True
            if wake is not None:
                wake.signal()  # under the lock: the thread, which may end at any moment, closes it under the same
        if thread is not None and threading.current_thread() is not thread:
            thread.join(self._timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def change_seqno(self) -> int:
        """Another number after each change of the replica; 0 before the first snapshot."""
        return self._status[0]

    @property
    def connected(self) -> bool:
        """Whether the server keeps the replica up to date now. Without, reads see the last known state."""
        return self._status[1]

    @property
    def has_lock(self) -> bool:
        """Whether this connection holds its lock."""
        return self._status[2]

    def wait_for_lock(self, timeout_seconds: float) -> bool:
        """Wait until the lock is held; False after the time-out."""
        return self._wait_until(lambda: self.has_lock, time.monotonic() + timeout_seconds)

    def wait_for_change(self, seqno: int, timeout_seconds: float) -> bool:
        """Wait until `change_seqno` differs from `seqno`; False after the time-out."""
        return self._wait_until(lambda: self.change_seqno != seqno, time.monotonic() + timeout_seconds)

    def _wait_until(self, holds: Callable[[], bool], deadline: float) -> bool:
        with self._state:
            return self._state.wait_for(holds, max(0.0, deadline - time.monotonic()))

    # --- work -------------------------------------------------------------------------------------------------------

    def read(self, view: Callable[[Replica], T]) -> T:
        """Call `view` with the replica in its thread, between two updates, and return its result.

        Rows must not leave `view`; values may. It works on the last known state while there is no connection.
        """
        if threading.current_thread() is self._thread:
            return view(self.replica)
        job = View(view)
        self._submit(self._views, job)
        return self._result(job.future)

    def write(self, build: Callable[[Transaction], T], *, comment: str = "") -> T:
        """Let `build` compose a transaction in the replica's thread, commit it, and return what `build` returned.

        When this returns, the replica shows the change. One commit is under way at a time; reads go on meanwhile.
        Nothing is retried. What `build` raises comes out unchanged, and nothing is written then.

        Raises:
            ConflictError: a verified column or the lock was lost to somebody else, or an index is taken.
            UnreachableError: not connected, or no answer in time (then the change may have been made).
            TerminalError: the server refuses, in its own words; or a value does not fit its column.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write from the replica's own thread would wait for itself")
        job = Commit(build, comment, self.remote, time.monotonic() + self._timeout)
        self._submit(self._commits, job)
        return self._result(job.future)

    def set_conditions(self, conditions: Mapping[str, Condition]) -> None:
        """Replicate other rows from now on; returns when the replica has them. Tables not named keep theirs."""
        job = ConditionChange(dict(conditions))
        self._submit(self._changes, job)
        self._result(job.future)

    @property
    def replica(self) -> Replica:
        """The replica, for code that runs in its thread already: inside `read`, `write` and callbacks."""
        if self._replica is None or threading.current_thread() is not self._serving:
            raise RuntimeError("the replica belongs to its connection's thread; use read or write")
        return self._replica

    def subscribe(
        self, callback: Callable[[RowEvent], None], settled: Callable[[], None] | None = None
    ) -> None:
        """Call `callback` in the replica's thread for each difference, and `settled` after each group of them.

        A subscriber first gets every row there is as created. Between two calls of `settled` the replica may be in
        the middle of a transaction; at `settled` it never is. Callbacks must be short and must not write.
        """

        def join(replica: Replica | None) -> None:
            if replica is not None:
                replica.replay(_guarded(callback))
                self._eventful = True
            self._callbacks.append(_guarded(callback))
            if settled is not None:
                self._settled.append(settled)

        if self._thread is None:
            join(None)
        else:
            self.read(join)

    def _submit(self, queue: deque[J], job: J) -> None:
        with self._state:
            if self._wake is None:
                raise UnreachableError(f"{self.remote}: the connection is closed")
            queue.append(job)
            self._wake.signal()

    def _result(self, future: Future[T]) -> T:
        try:
            return future.result(self._timeout + 1.0)
        except (FutureTimeoutError, CancelledError) as error:
            future.cancel()
            raise UnreachableError(f"{self.remote}: no answer within {self._timeout:g} s") from error

    # --- the thread -------------------------------------------------------------------------------------------------

    _replica: Replica | None = None
    _serving: threading.Thread | None = None
    """The thread that is at work; after `close` it still is for a moment."""

    def _serve(self, replica: Replica, wake: WakeUp) -> None:
        self._replica, self._serving = replica, threading.current_thread()
        try:
            while not self._closing:
                self._round(replica, wake)
        finally:
            self._replica = self._serving = None
            replica.close()
            self._fail_all()
            self._publish((self.change_seqno, False, False))
            with self._state:
                if self._wake is wake:
                    self._wake = None
                wake.close()

    def _round(self, replica: Replica, wake: WakeUp) -> None:
        try:
            wake.clear()
            replica.run()
            replica.settle()
            if self._lock is not None and replica.in_sync:
                replica.want_lock(self._lock)
        except (
            Exception
        ):  # a message that ovs cannot digest must not end the thread; a fresh start is the cure
            log.exception("%s: starting the session anew", self.remote)
            replica.force_reconnect()
        self._tell_settled()  # before an answer to a write is given out: who wrote sees the effect everywhere
        busy = self._work(replica)
        self._tell_settled()
        self._publish((replica.change_seqno, replica.in_sync, bool(replica.in_sync and replica.has_lock)))
        # `close` may have signalled before `clear` above.
        if not busy and not self._closing:
            self._wait(replica, wake)

    def _work(self, replica: Replica) -> bool:
        """Serve what can be served now; True if a next round should follow at once."""
        while self._changes and self._changes[0].advance(replica):
            self._changes.popleft()
        while self._views:
            self._views.popleft().run(replica)
        if self._commits and self._commits[0].advance(replica):
            self._commits.popleft()
            return True
        return False

    def _wait(self, replica: Replica, wake: WakeUp) -> None:
        waiter = Waiter()
        replica.wait(waiter)
        wake.wait(waiter)
        if self._commits:
            waiter.timer_wait_until(self._commits[0].deadline * 1000)
        waiter.block()

    def _deliver(self, event: RowEvent) -> None:
        self._eventful = True
        for callback in self._callbacks:
            callback(event)

    def _tell_settled(self) -> None:
        if self._eventful:
            self._eventful = False
            for settled in self._settled:
                try:
                    settled()
                except Exception:
                    log.exception("a subscriber failed")

    def _publish(self, status: tuple[int, bool, bool]) -> None:
        if status == self._status:
            return
        if status[1] != self._status[1]:
            log.info("%s: %s", self.remote, "connected" if status[1] else "connection lost")
        with self._state:
            self._status = status
            self._state.notify_all()

    def _fail_all(self) -> None:
        error = UnreachableError(f"{self.remote}: the connection is closed")
        for queue in (self._views, self._commits, self._changes):
            while queue:
                queue.popleft().fail(error)


def _guarded(callback: Callable[[RowEvent], None]) -> Callable[[RowEvent], None]:
    def call(event: RowEvent) -> None:
        try:
            callback(event)
        except Exception:  # one subscriber's fault must not cost the others their events
            log.exception("a subscriber failed on %s %s", event.kind, event.table)

    return call
