# SPDX-License-Identifier: Apache-2.0
"""Writes row changes into one northbound transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyvisor.drivers.ovn.difference import Delete, Insert, RowChange, Update, encode_groups, encode_parent
from anyvisor.drivers.ovn.index import GROUPS, OWNER, PARENT, NorthboundIndex, marks, marks_of
from anyvisor.drivers.ovn.row import PORT_GROUP, SWITCH_PORT, Ref, Value
from anyvisor.errors import ConflictError


class RowWriter:
    """Carries row changes out in a transaction that the caller commits.

    Inserted rows are made first and filled in afterwards, so that they may refer to each other in any order.
    """

    def __init__(self, txn: Any, tables: Any, index: NorthboundIndex, owner: str) -> None:
        self._txn = txn
        self._tables = tables
        self._index = index
        self._owner = owner
        self._inserted: dict[Ref, Any] = {}

    def write(self, changes: Iterable[RowChange]) -> None:
        """Write them all.

        Raises:
            ConflictError: a row that the changes rest on is gone; compare again.
        """
        ordered = list(changes)
        for change in ordered:
            match change:
                case Insert(spec=spec):
                    self._inserted[spec.ref] = self._txn.insert(self._tables[spec.ref.table])
                case Delete():
                    self._delete(change)
        for change in ordered:
            match change:
                case Insert():
                    self._fill(change)
                case Update():
                    self._update(change)

    def _fill(self, change: Insert) -> None:
        spec = change.spec
        row = self._inserted[spec.ref]
        for column, value in spec.columns.items():
            setattr(row, column, self._native(value))
        row.external_ids = {
            **marks(spec.ref, self._owner),
            PARENT: encode_parent(spec.child_of),
            **({GROUPS: encode_groups(spec.groups)} if spec.groups else {}),
        }
        if spec.child_of is not None:
            self._resolve(spec.child_of.parent).addvalue(spec.child_of.column, row.uuid)
        for group in spec.groups:
            self._resolve(group).addvalue("ports", row.uuid)
        if spec.ref.table == PORT_GROUP:
            self._gather(spec.ref, row)

    def _gather(self, group: Ref, row: Any) -> None:
        """A port group that was missing takes in the ports that already count themselves among its members."""
        wanted = str(group.key)
        fresh = {inserted.uuid for inserted in self._inserted.values()}
        for port in self._tables[SWITCH_PORT].rows.values():
            if port.uuid in fresh:
                continue
            marked = marks_of(port)
            if wanted in marked.get(GROUPS, "").split() and marked.get(OWNER) == self._owner:
                row.addvalue("ports", port.uuid)

    def _update(self, change: Update) -> None:
        row = self._existing(change.ref, change.uuid)
        for column, value in change.columns.items():
            setattr(row, column, self._native(value))
        for group in change.join:
            self._resolve(group).addvalue("ports", row.uuid)
        for group in change.leave:
            held = self._index.row(group)
            if held is not None:
                held.delvalue("ports", row.uuid)
        if change.groups is not None:
            row.setkey("external_ids", GROUPS, encode_groups(change.groups))

    def _delete(self, change: Delete) -> None:
        row = self._existing(change.ref, change.uuid)
        if change.child_of is None:
            row.delete()
            return
        # The server drops a child that nothing holds, but only after it has checked references: what the child holds
        # strongly must be let go of first, or deleting that in the same transaction is refused.
        if change.ref.table == SWITCH_PORT:
            row.ha_chassis_group = []
        parent = self._index.row(change.child_of.parent)
        if parent is not None:
            parent.delvalue(change.child_of.column, row.uuid)

    def _existing(self, ref: Ref, uuid: Any) -> Any:
        row = self._tables[ref.table].rows.get(uuid)
        if row is None:
            raise ConflictError(f"{ref} changed in the northbound database while it was being compared")
        return row

    def _resolve(self, ref: Ref) -> Any:
        row = self._inserted.get(ref) or self._index.row(ref)
        if row is None:
            raise ConflictError(f"{ref} is not in the northbound database yet")
        return row

    def _native(self, value: Value) -> Any:
        if isinstance(value, Ref):
            return self._resolve(value).uuid
        if isinstance(value, tuple):
            return [self._resolve(item).uuid if isinstance(item, Ref) else item for item in value]
        return dict(value) if not isinstance(value, str | int | bool) else value
