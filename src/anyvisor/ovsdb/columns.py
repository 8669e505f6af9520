# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - `ovs` offers no other way to a column's value without copying and sorting it
"""Reading columns of a row quickly.

``row.column`` of `ovs` checks, copies and sorts the whole value each time: for a set of 10,000 references a tenth of a
second. These functions look at the value where it lies. They see what the transaction at hand has assigned to the
column, but not its `addvalue`, `delvalue`, `setkey` and `delkey`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from uuid import UUID

from ovs.db.data import Atom

from anyvisor.ovsdb.replica import Row

AtomicType: TypeAlias = Any
Value: TypeAlias = Any
"""str, int, float, bool or UUID, as the column's type has it."""


def one(row: Row, column: str) -> Value:
    """The value of a scalar or optional column; None where it is empty."""
    for atom in _values(row, column):
        return atom.value
    return None


def several(row: Row, column: str) -> tuple[Value, ...]:
    """The members of a set, in no particular order; references are UUIDs."""
    return tuple(atom.value for atom in _values(row, column))


def contains(row: Row, column: str, member: Value) -> bool:
    """Whether that is a member of the set (or a key of the map). The cost does not depend on the size."""
    return Atom(_type(row, column), member) in _values(row, column)


def size(row: Row, column: str) -> int:
    """How many members or keys there are."""
    return len(_values(row, column))


def mapping(row: Row, column: str) -> dict[Value, Value]:
    """A map as a plain dictionary."""
    return {key.value: value.value for key, value in _values(row, column).items()}


def entry(row: Row, column: str, key: Value) -> Value:
    """The value of one key of a map; None where it is missing."""
    value = _values(row, column).get(Atom(_type(row, column), key))
    return None if value is None else value.value


def changed(row: Row | None) -> Iterator[str]:
    """The columns that the `old` row of an event holds; none for None."""
    return iter(()) if row is None else iter(row._data)


def referenced(row: Row, column: str) -> list[Row]:
    """The rows that a column refers to, as far as they are replicated."""
    table = row._table.columns[column].type.key.ref_table.name
    rows = row._idl.tables[table].rows
    found = (rows.get(uuid) for uuid in several(row, column))
    return [row for row in found if row is not None]


def refers(row: Row, column: str, to: Row | UUID) -> bool:
    """Whether the column refers to that row. The cost does not depend on the size."""
    return contains(row, column, to if isinstance(to, UUID) else to.uuid)


def _type(row: Row, column: str) -> AtomicType:
    return row._table.columns[column].type.key.type  # (Atom.new chokes on UUIDs)


def _values(row: Row, column: str) -> Mapping[Atom, Atom]:
    assigned = row._changes
    datum = assigned[column] if assigned and column in assigned else row._data[column]
    values: Mapping[Atom, Atom] = datum.values
    return values
