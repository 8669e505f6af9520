# SPDX-License-Identifier: Apache-2.0
"""One transaction from its first statement to the server's verdict, and what that verdict means to the caller."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Self, TypeAlias

import ovs.db.idl
import ovs.jsonrpc
from ovs.db.idl import Transaction as OvsTransaction

from anyvisor.errors import AnyvisorError, ConflictError, TerminalError, UnreachableError

log = logging.getLogger(__name__)

_CONFLICTS = ("identical values", "schema-defined limit")
"""In a constraint violation: an index is taken already, or a table is full. Both are lost races."""
_building = threading.local()
Message: TypeAlias = Any


class Transaction(OvsTransaction):  # type: ignore[misc]
    """As in `ovs`, but it keeps what the server said when it refused the whole request, and takes no bad value."""

    refusal: str | None = None

    def _process_reply(self, message: Message) -> None:
        super()._process_reply(message)
        if message.type == ovs.jsonrpc.Message.T_ERROR:
            error = message.error
            self.refusal = error if isinstance(error, str) else json.dumps(error, sort_keys=True)

    def __enter__(self) -> Self:
        _building.refuse = True
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _building.refuse = False
        if error is not None:
            self.abort()


def failure(transaction: Transaction, status: str, where: str, *, reconnected: bool) -> AnyvisorError | None:
    """What to raise for the final `status` of a transaction; None if it was carried out."""
    if status in (OvsTransaction.SUCCESS, OvsTransaction.UNCHANGED):
        return None
    if status == OvsTransaction.TRY_AGAIN:
        if reconnected:
            return UnreachableError(
                f"{where}: the connection broke; the change may or may not have been made"
            )
        return ConflictError(f"{where}: somebody else changed the same rows first")
    if status == OvsTransaction.NOT_LOCKED:
        return ConflictError(f"{where}: another process holds the lock {transaction.idl.lock_name}")
    if transaction.refusal is not None:
        return _of_refusal(transaction.refusal, where)
    return _of_operation(transaction.get_error(), where)


def _of_refusal(refusal: str, where: str) -> AnyvisorError:
    if "canceled" in refusal:  # the schema was being converted
        return ConflictError(f"{where}: the database was being converted; try again")
    if "unknown database" in refusal:
        return UnreachableError(f"{where}: the server does not serve the database now")
    return TerminalError(f"{where}: {refusal}")


def _of_operation(text: str, where: str) -> AnyvisorError:
    try:
        answer = json.loads(text)
        error, details = str(answer["error"]), str(answer.get("details", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return TerminalError(f"{where}: {text}")
    sentence = f"{where}: {error}: {details}" if details else f"{where}: {error}"
    if error == "constraint violation" and any(mark in details for mark in _CONFLICTS):
        return ConflictError(sentence)
    if error == "referential integrity violation":  # a row that this change points to has just gone
        return ConflictError(sentence)
    return TerminalError(sentence)


class _Complaints:
    """Stands in for the log of `ovs.db.idl`, which writes nowhere by default.

    `ovs` only logs a value that does not fit its column, and goes on without it. In our transactions that is an
    error.
    """

    def err(self, message: str, **_: object) -> None:
        if getattr(_building, "refuse", False) and message.startswith("attempting to"):
            raise TerminalError(message)
        log.error("%s", message)

    def warn(self, message: str, **_: object) -> None:
        if getattr(_building, "refuse", False) and message.startswith("attempting to"):
            raise TerminalError(message)
        log.warning("%s", message)

    def info(self, message: str, **_: object) -> None:
        log.debug("%s", message)

    def dbg(self, message: str, **_: object) -> None:
        log.debug("%s", message)


def listen_to_complaints() -> None:
    """Install that for this process, once."""
    if not isinstance(ovs.db.idl.vlog, _Complaints):
        ovs.db.idl.vlog = _Complaints()
