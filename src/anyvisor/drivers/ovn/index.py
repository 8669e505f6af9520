# SPDX-License-Identifier: Apache-2.0
"""Finds northbound rows by what they are and by name, at a cost that does not grow with the database.

Kept up to date by row events, so it lives in the thread of its connection like the rows themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from anyvisor.drivers.ovn.row import Ref
from anyvisor.drivers.ovn.tables import NORTHBOUND
from anyvisor.model.names import ObjectKey
from anyvisor.ovsdb import columns

OWNER = "anyvisor:owner"
KEY = "anyvisor:key"
PART = "anyvisor:part"
PARENT = "anyvisor:parent"
GROUPS = "anyvisor:groups"


def marks(ref: Ref, owner: str) -> dict[str, str]:
    """The external_ids that say whose a row is and which."""
    return {OWNER: owner, KEY: str(ref.key), PART: ref.part}


def marks_of(row: Any) -> Mapping[str, str]:
    """The external_ids of a row."""
    return columns.mapping(row, "external_ids")


def ref_of(table: str, row: Any, owner: str) -> Ref | None:
    """What a row is; None for one that somebody else owns: such a row is never written, never pruned."""
    external_ids = marks_of(row)
    if external_ids.get(OWNER) != owner:
        return None
    kind, _, name = external_ids.get(KEY, "").partition("/")
    if not name:
        return None
    return Ref(table, ObjectKey(kind, name), external_ids.get(PART, ""))  # type: ignore[arg-type]


class NorthboundIndex:
    """Rows by key and by name. Rows are the database library's own, and never leave the connection's thread."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._by_key: defaultdict[ObjectKey, dict[Ref, Any]] = defaultdict(dict)
        self._by_name: defaultdict[tuple[str, str], dict[Any, Any]] = defaultdict(dict)
        self._known: dict[Any, tuple[Ref | None, tuple[str, str] | None]] = {}

    def add(self, table: str, row: Any) -> None:
        """A row appeared or changed."""
        ref = ref_of(table, row, self._owner)
        name = (table, columns.one(row, "name") or "") if "name" in NORTHBOUND[table] else None
        known = self._known.get(row.uuid)
        if known == (ref, name):
            return
        if known is not None:
            self.remove(row.uuid)
        self._known[row.uuid] = (ref, name)
        if ref is not None:
            self._by_key[ref.key][ref] = row
        if name is not None:
            self._by_name[name][row.uuid] = row

    def remove(self, uuid: Any) -> None:
        """A row is gone."""
        ref, name = self._known.pop(uuid, (None, None))
        if ref is not None:
            held = self._by_key.get(ref.key, {})
            if ref in held and held[ref].uuid == uuid:
                del held[ref]
            if not held:
                self._by_key.pop(ref.key, None)
        if name is not None:
            held_names = self._by_name.get(name, {})
            held_names.pop(uuid, None)
            if not held_names:
                self._by_name.pop(name, None)

    def of(self, key: ObjectKey) -> Mapping[Ref, Any]:
        """All rows of one object of ours."""
        return self._by_key.get(key, {})

    def row(self, ref: Ref) -> Any | None:
        """One row of ours, None if it is not there."""
        return self._by_key.get(ref.key, {}).get(ref)

    def foreign(self, table: str, name: str) -> Iterator[Any]:
        """The rows of that name that are not ours."""
        for row in self._by_name.get((table, name), {}).values():
            if ref_of(table, row, self._owner) is None:
                yield row

    def ref(self, uuid: Any) -> Ref | None:
        """What the row of that UUID is; None for one that is gone or not ours."""
        return self._known.get(uuid, (None, None))[0]

    @property
    def keys(self) -> frozenset[ObjectKey]:
        """Every object of ours that has a row."""
        return frozenset(self._by_key)
