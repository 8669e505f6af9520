# SPDX-License-Identifier: Apache-2.0
"""Asking a database server for a schema: what comes before a replica."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import ovs.jsonrpc
import ovs.stream
from ovs.db.idl import SchemaHelper

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.ovsdb import tls
from anyvisor.ovsdb.poller import Waiter

BACKOFF_MS = (1000, 1000)
"""First and longest pause between attempts to connect. The eight seconds that `ovs` goes up to would keep a client
away from a cluster long after it has a leader again."""

_TLS_HINT = (
    "each side's ca_certificate must be the authority that signed the other side's certificate; "
    "openssl verify -CAfile CA CERTIFICATE tells"
)

Session: TypeAlias = Any
SchemaChoice: TypeAlias = Any


def split_remotes(remote: str) -> list[str]:
    """``tcp:A:1,tcp:B:1`` is two remotes. A part without a colon belongs to the one before it (a path with a comma)."""
    remotes: list[str] = []
    for part in remote.split(","):
        if remotes and ":" not in part:
            remotes[-1] += "," + part
        else:
            remotes.append(part)
    for each in remotes:
        if not ovs.stream.Stream.is_valid_name(each):
            raise TerminalError(
                f"{each!r} is not an OVSDB remote", hint="write unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT"
            )
    return remotes


def fetch_schema(remote: str, database: str, timeout_seconds: float) -> dict[str, Any]:
    """The schema of `database` in its JSON form, from the first of the remotes that has it.

    Raises:
        UnreachableError: none of them answered in time.
        TerminalError: the only one there is answered that it has no such database; or TLS cannot be had with any.
    """
    remotes = split_remotes(remote)
    tls.refuse_without_files(remotes)
    tls.forget(remotes)
    session = ovs.jsonrpc.Session.open_multiple(remotes)
    session.reconnect.set_backoff(*BACKOFF_MS)
    try:
        return _ask(session, remotes, database, time.monotonic() + timeout_seconds)
    finally:
        session.close()


def _ask(session: Session, remotes: list[str], database: str, deadline: float) -> dict[str, Any]:
    names = ", ".join(sorted(remotes))
    asked_on = None
    reason = "no answer"
    while time.monotonic() < deadline:
        session.run()
        if session.is_connected() and session.get_seqno() != asked_on:
            asked_on = session.get_seqno()
            session.send(ovs.jsonrpc.Message.create_request("get_schema", [database]))
        message = session.recv()
        if message is not None and message.type == ovs.jsonrpc.Message.T_REPLY:
            schema: dict[str, Any] = message.result
            return schema
        if message is not None and message.type == ovs.jsonrpc.Message.T_ERROR:
            reason = f"it has no database {database}"
            if len(remotes) == 1:
                raise TerminalError(f"{names}: {reason}", hint="is this the right socket or port?")
            session.force_reconnect()  # a member that has not joined its cluster yet; ask another
        refused = tls.refusals(remotes)
        if len([each for each in refused.values() if each.lasting]) == len(remotes):
            raise TerminalError(_told(refused), hint=_TLS_HINT)
        _pause(session, deadline)
    if refused := tls.refusals(remotes):
        reason = f"{reason}; {_told(refused)}"
    raise UnreachableError(f"{names} does not answer: {reason}")


def _told(refused: Mapping[str, tls.Refusal]) -> str:
    return "; ".join(f"{remote}: {refused[remote].reason}" for remote in sorted(refused))


def _pause(session: Session, deadline: float) -> None:
    waiter = Waiter()
    session.wait(waiter)
    session.recv_wait(waiter)
    waiter.timer_wait_until(deadline * 1000)
    waiter.block()


def select_columns(schema: dict[str, Any], tables: Mapping[str, Sequence[str]]) -> SchemaChoice:
    """What `ovs` wants to know of the schema: the columns of `tables` alone.

    No columns stands for all of them. A column written as ``name?`` is left out where the server does not have it.

    Raises:
        TerminalError: the server's schema lacks a table or column.
    """
    helper = SchemaHelper(schema_json=schema)
    for table, columns in tables.items():
        there = schema["tables"].get(table, {}).get("columns")
        wanted = [column.removesuffix("?") for column in columns]
        if there is None:
            raise _lacks(schema, f"table {table}")
        needed = [column for column in columns if not column.endswith("?")]
        if missing := sorted(set(needed) - set(there)):
            raise _lacks(schema, f"column {table}.{missing[0]}")
        if columns:
            helper.register_columns(table, [column for column in wanted if column in there])
        else:
            helper.register_table(table)
    return helper


def _lacks(schema: dict[str, Any], what: str) -> TerminalError:
    version = schema.get("version", "without version")
    return TerminalError(
        f"the database {schema['name']} has schema {version}, which lacks {what}",
        hint="it is older than this program: upgrade it first (`ovsdb-client convert`; anyvisord does so by itself "
        "with a database of its own)",
    )
