# SPDX-License-Identifier: Apache-2.0
"""The in-memory copy of a database, with events that stay true across reconnections.

After a reconnection `ovs` empties its copy and reads everything anew: it reports rows as created that were there
before, and says nothing of rows that vanished meanwhile. Here only real differences come out.
"""

# ruff: noqa: SLF001 - what a subclass of `ovs` needs has no public name there
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

from ovs.db.idl import Idl
from ovs.db.idl import Row as OvsRow

from anyvisor.ovsdb.handshake import BACKOFF_MS

log = logging.getLogger(__name__)

SchemaChoice: TypeAlias = Any
Row: TypeAlias = Any
"""A row of `ovs` (columns are attributes). To be touched in the thread of its connection alone."""

EventKind: TypeAlias = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class RowEvent:
    """A row appeared, changed or vanished (or came into or out of the monitored condition).

    `old` holds the former values of just those columns that changed, as attributes; None but for ``update``.
    """

    table: str
    kind: EventKind
    row: Row
    old: Row | None = None


class Replica(Idl):  # type: ignore[misc]
    """An `ovs` replica that hands each difference to `deliver`."""

    def __init__(
        self, remote: str, helper: SchemaChoice, *, leader_only: bool, deliver: Callable[[RowEvent], None]
    ) -> None:
        super().__init__(remote, helper, leader_only=leader_only)
        self._session.reconnect.set_backoff(*BACKOFF_MS)
        self._deliver = deliver
        self._known: dict[str, dict[UUID, Row]] = {table: {} for table in self.tables}
        self._in_sync = False

    @property
    def in_sync(self) -> bool:
        """True while the server keeps this copy up to date."""
        return bool(self.state == Idl.IDL_S_MONITORING and self._session.is_connected())

    @property
    def generation_of_session(self) -> int:
        """Another number after each reconnection."""
        return int(self._session.get_seqno())

    @property
    def conditions_settled(self) -> bool:
        """True once the server has put all conditions into force."""
        states = [table.condition_state for table in self.tables.values()]
        return self.in_sync and all(state.new is None and state.requested is None for state in states)

    def notify(self, event: str, row: Row, updates: Row | None = None) -> None:
        """Called by `ovs` for each row of an update, after the whole update has been taken in."""
        table = row._table.name
        if event == "delete":
            self._known[table].pop(row.uuid, None)
            self._deliver(RowEvent(table, "delete", row))
        elif event == "create":
            before = self._known[table].get(row.uuid)
            self._known[table][row.uuid] = row
            self._created(table, row, before)
        else:
            self._deliver(RowEvent(table, "update", row, updates))

    def _created(self, table: str, row: Row, before: Row | None) -> None:
        if before is None:
            self._deliver(RowEvent(table, "create", row))
            return
        changed = {name: datum for name, datum in before._data.items() if row._data[name] != datum}
        if changed:
            self._deliver(RowEvent(table, "update", row, OvsRow(self, row._table, row.uuid, changed)))

    def settle(self) -> None:
        """To be called after each `run`: reports the rows that vanished while there was no connection."""
        was_in_sync, self._in_sync = self._in_sync, self.state == Idl.IDL_S_MONITORING
        if not self._in_sync or was_in_sync:
            return
        for table, known in self._known.items():
            rows = self.tables[table].rows
            for uuid in [uuid for uuid in known if uuid not in rows]:
                self._deliver(RowEvent(table, "delete", known.pop(uuid)))

    def replay(self, deliver: Callable[[RowEvent], None]) -> None:
        """Report every row as created, for a subscriber that comes late."""
        for table, known in self._known.items():
            for row in list(known.values()):
                deliver(RowEvent(table, "create", row))

    def want_lock(self, name: str) -> None:
        """Ask for the lock, unless that has been done on this connection."""
        if self.lock_name is None and not self._outstanding_txns:
            self.set_lock(name)
