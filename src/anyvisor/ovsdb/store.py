# SPDX-License-Identifier: Apache-2.0
"""The store over OVSDB: the Anyvisor database as anyvisord, the agents and the command line use it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import ConflictError
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, ObjectKey
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.ovsdb.connection import Condition, Connection, Transaction
from anyvisor.ovsdb.picture import Picture
from anyvisor.ovsdb.schemas import schema_columns
from anyvisor.ovsdb.store_writes import StoreWrites

if TYPE_CHECKING:
    from anyvisor.contracts.store import Store

DATABASE = "Anyvisor"
_ALL_TABLES = (
    "Global", "Manager", "Host", "Network", "Router", "Security_Group", "Port", "Attachment", "Tag", "Move",
)  # fmt: skip
_AGENT_TABLES = ("Global", "Host", "Network", "Attachment")


_STATIONS: Condition = [["kind", "==", str(kind)] for kind in AttachmentKind if kind.is_station]
"""Any chassis may have to count the frames of vNICs behind native switches."""


class OvsdbStore:
    """Implements `anyvisor.contracts.store.Store`.

    With `host` it is the store of that host's agent: it replicates the networks, that host, its attachments and those
    of kind ``external`` alone, and `changed` tells of what users and anyvisord write. Without, it replicates
    everything, and `changed` tells of what users and agents write.

    With `lock` every write needs the lock of that name (a ConflictError without); reading does not.
    """

    def __init__(
        self,
        remote: str,
        *,
        host: HostName | None = None,
        lock: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._remote = remote
        self._host = host
        self._timeout = timeout_seconds
        conditions: dict[str, Condition] = {
            "Host": [["name", "==", host]],
            "Attachment": [["host", "==", host], ["staged", "==", host], *_STATIONS],
        }
        # By their names: an older database, which lacks one, is refused instead of being read by halves.
        named = schema_columns(DATABASE)
        self._connection = Connection(
            remote,
            schema_name=DATABASE,
            tables={table: named[table] for table in (_ALL_TABLES if host is None else _AGENT_TABLES)},
            conditions=None if host is None else conditions,
            timeout_seconds=timeout_seconds,
            lock=lock,
        )
        self._picture = Picture(lambda: self._connection.replica, host)
        self._writes = StoreWrites(self._picture)
        self._connection.subscribe(self._picture.follow, self._picture.settle)

    def start(self) -> None:
        """Connect and read everything. A database that is new gets its row of `Global`, with a new owner.

        Raises:
            UnreachableError: the database does not answer in time.
            TerminalError: it is not an Anyvisor database, or an older one.
        """
        self._connection.start()
        self._connection.read(lambda _: self._picture.loaded())
        if self._host is None and not self._picture.snapshot().owner:
            self._claim()

    def _claim(self) -> None:
        """Write the row of `Global`, lock or no lock: everybody needs the owner, and only one such row can be."""
        with (
            contextlib.suppress(ConflictError),
            Connection(
                self._remote,
                schema_name=DATABASE,
                tables={"Global": ["owner", "policy"]},
                timeout_seconds=self._timeout,
            ) as claim,
        ):
            claim.write(_insert_global, comment="anyvisor: first use")
        seen = self._connection.change_seqno
        while not self._picture.snapshot().owner:
            if not self._connection.wait_for_change(seen, self._timeout):
                return
            seen = self._connection.change_seqno

    def close(self) -> None:
        """End the connection. The last snapshot can still be read."""
        self._connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the snapshot is kept up to date now."""
        return self._connection.connected

    @property
    def has_lock(self) -> bool:
        """Whether this store holds its lock."""
        return self._connection.has_lock

    def wait_for_lock(self, timeout_seconds: float) -> bool:
        """Wait for the lock; False after the time-out."""
        return self._connection.wait_for_lock(timeout_seconds)

    def snapshot(self) -> State:
        """See `Store`."""
        return self._picture.snapshot()

    def changed(self, timeout_seconds: float) -> frozenset[ObjectKey]:
        """See `Store`."""
        return self._picture.changed(timeout_seconds)

    def write_site(self, site: Site) -> tuple[ObjectKey, ...]:
        """See `Store`."""
        return self._connection.write(
            lambda txn: self._writes.write_site(txn, site), comment="anyvisor: intent"
        )

    def decide(self, decision: Decision) -> None:
        """See `Store`."""
        if not decision.empty:
            self._connection.write(
                lambda txn: self._writes.decide(txn, decision), comment="anyvisor: decision"
            )

    def report(self, report: HostReport) -> None:
        """See `Store`. Raises TerminalError for a host that the intent does not have."""
        self._connection.write(
            lambda _: self._writes.report(report), comment=f"anyvisor: agent of {report.host}"
        )

    def forget(self, keys: Iterable[ObjectKey]) -> None:
        """See `Store`. Resting tags stay: their rest does not end because nobody remembers who held them."""
        forgotten = frozenset(keys)
        self._connection.write(lambda _: self._writes.forget(forgotten), comment="anyvisor: forget")


def _insert_global(transaction: Transaction) -> None:
    table = transaction.idl.tables["Global"]
    if not table.rows:
        transaction.insert(table).owner = str(uuid4())


if TYPE_CHECKING:
    _conforms: type[Store] = OvsdbStore
