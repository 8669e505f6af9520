# SPDX-License-Identifier: Apache-2.0
"""Whose rows are whose in a database that others use too: marks in `external_ids`, and an index over them."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from anyvisor.ovsdb import columns
from anyvisor.ovsdb.connection import Connection, Row, RowEvent

OWNER = "anyvisor:owner"
KEY = "anyvisor:key"


def marks(owner: str, key: str) -> dict[str, str]:
    """What belongs into `external_ids` of a row that installation `owner` writes for object `key`."""
    return {OWNER: owner, KEY: key}


class OwnershipIndex:
    """Finds the rows of one owner by their key, at a cost that does not grow with the tables.

    Kept up to date by the thread of the connection; to be asked there alone, that is inside `Connection.read` and
    `Connection.write`. It shows the committed state: a row inserted by the transaction at hand is not in it yet, one
    deleted by it is gone.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._connection: Connection | None = None
        self._uuids: defaultdict[str, defaultdict[str, set[UUID]]] = defaultdict(lambda: defaultdict(set))
        self._keys: dict[tuple[str, UUID], str] = {}

    def attach(self, connection: Connection) -> OwnershipIndex:
        """Follow that connection: all tables of which it replicates `external_ids`. Before or after its start."""
        self._connection = connection
        connection.subscribe(self._follow)
        return self

    def rows(self, table: str, key: str) -> list[Row]:
        """The owner's rows for that key, in no particular order."""
        if self._connection is None or key not in self._uuids[table]:
            return []
        rows = self._connection.replica.tables[table].rows
        found = (rows.get(uuid) for uuid in self._uuids[table][key])
        return [row for row in found if row is not None]

    def keys(self, table: str) -> frozenset[str]:
        """All keys that the owner has rows for."""
        return frozenset(self._uuids[table])

    def _follow(self, event: RowEvent) -> None:
        if "external_ids" not in event.row._table.columns:  # noqa: SLF001 - ovs has no public name for it
            return
        if event.kind == "update" and "external_ids" not in columns.changed(event.old):
            return
        self._forget(event.table, event.row.uuid)
        if event.kind != "delete" and columns.entry(event.row, "external_ids", OWNER) == self.owner:
            key = columns.entry(event.row, "external_ids", KEY)
            if key is not None:
                self._keys[event.table, event.row.uuid] = key
                self._uuids[event.table][key].add(event.row.uuid)

    def _forget(self, table: str, uuid: UUID) -> None:
        key = self._keys.pop((table, uuid), None)
        if key is not None:
            uuids = self._uuids[table][key]
            uuids.discard(uuid)
            if not uuids:
                del self._uuids[table][key]
