# SPDX-License-Identifier: Apache-2.0
"""What callers ask of a connection's thread: to look, to commit, to replicate other rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from anyvisor.errors import AnyvisorError, UnreachableError
from anyvisor.ovsdb.replica import Replica
from anyvisor.ovsdb.transaction import Transaction, failure

T = TypeVar("T")


class View(Generic[T]):
    """A look at the replica."""

    def __init__(self, view: Callable[[Replica], T]) -> None:
        self.future: Future[T] = Future()
        self._view = view

    def run(self, replica: Replica) -> None:
        """Take it, unless nobody waits for it any more."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._view(replica))
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who waits for it
            self.future.set_exception(error)

    def fail(self, error: AnyvisorError) -> None:
        """It will never be taken."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Commit(Generic[T]):
    """One transaction: composed in one round, answered in a later one."""

    def __init__(self, build: Callable[[Transaction], T], comment: str, where: str, deadline: float) -> None:
        self.future: Future[T] = Future()
        self.deadline = deadline
        self._build = build
        self._comment = comment
        self._where = where
        self._transaction: Transaction | None = None
        self._result: list[T] = []
        self._session = 0

    def advance(self, replica: Replica) -> bool:
        """Do the next bit; True when there is nothing left to do."""
        try:
            if self._transaction is None and not self._begin(replica):
                return True
            return self._continue(replica)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who waits for it
            self.future.set_exception(error)
            return True

    def _begin(self, replica: Replica) -> bool:
        if not self.future.set_running_or_notify_cancel():
            return False
        if not replica.in_sync:
            raise UnreachableError(f"{self._where}: not connected")
        self._session = replica.generation_of_session
        with Transaction(replica) as transaction:
            self._result = [self._build(transaction)]
            if self._comment:
                transaction.add_comment(self._comment)
        self._transaction = transaction
        return True

    def _continue(self, replica: Replica) -> bool:
        assert self._transaction is not None
        status = self._transaction.commit()
        if status == Transaction.INCOMPLETE:
            if time.monotonic() < self.deadline:
                return False
            raise UnreachableError(
                f"{self._where}: no answer in time; the change may or may not have been made"
            )
        reconnected = self._session != replica.generation_of_session or not replica.in_sync
        if error := failure(self._transaction, status, self._where, reconnected=reconnected):
            raise error
        self.future.set_result(self._result[0])
        return True

    def fail(self, error: AnyvisorError) -> None:
        """It will never be answered."""
        if self._transaction is not None or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class ConditionChange:
    """Other rows to replicate."""

    def __init__(self, conditions: dict[str, list[Any]]) -> None:
        self.future: Future[None] = Future()
        self._conditions = conditions
        self._asked = False

    def advance(self, replica: Replica) -> bool:
        """True once the server has put them into force."""
        try:
            if not self._asked:
                if not self.future.set_running_or_notify_cancel():
                    return True
                for table, condition in self._conditions.items():
                    replica.cond_change(table, condition)
                self._asked = True
            if not replica.conditions_settled:
                return False
            self.future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, who waits for it
            self.future.set_exception(error)
        return True

    def fail(self, error: AnyvisorError) -> None:
        """It will never be in force."""
        if self._asked or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
