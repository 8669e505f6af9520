# SPDX-License-Identifier: Apache-2.0
"""Wanted rows against the rows there are: what to insert, update, delete. Reads rows, writes none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from anyvisor.contracts.controller import Change, Refusal
from anyvisor.drivers.ovn.index import GROUPS, KEY, PARENT, PART, NorthboundIndex, marks_of
from anyvisor.drivers.ovn.row import PORT_GROUP, Child, Ref, RowSpec, Value
from anyvisor.model.names import ObjectKey
from anyvisor.ovsdb import columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """A new row, held by its parent and its groups."""

    spec: RowSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Other values in some columns of a row, and other memberships."""

    ref: Ref
    uuid: UUID
    columns: Mapping[str, Value] = field(default_factory=dict)
    join: tuple[Ref, ...] = ()
    leave: tuple[Ref, ...] = ()
    groups: tuple[Ref, ...] | None = None
    """All memberships after the update; None if they stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A row goes, and its parent lets go of it."""

    ref: Ref
    uuid: UUID
    child_of: Child | None = None


RowChange = Insert | Update | Delete


def encode_parent(child: Child | None) -> str:
    """How a row remembers who holds it, so that letting go needs no search: ``TABLE KEY|PART COLUMN``."""
    return (
        "" if child is None else f"{child.parent.table} {child.parent.key}|{child.parent.part} {child.column}"
    )


def decode_parent(text: str) -> Child | None:
    """The inverse of `encode_parent`."""
    if not text:
        return None
    table, where, column = text.split(" ")
    key, _, part = where.partition("|")
    kind, _, name = key.partition("/")
    return Child(parent=Ref(table, ObjectKey(kind, name), part), column=column)  # type: ignore[arg-type]


def difference(
    key: ObjectKey, wanted: Iterable[RowSpec], index: NorthboundIndex
) -> Iterator[Change | Refusal]:
    """What turns the rows of one object into the wanted ones; a refusal if something foreign is in the way."""
    present = dict(index.of(key))
    changes: list[Change] = []
    for spec in wanted:
        row = present.pop(spec.ref, None)
        marked = {} if row is None else marks_of(row)
        if row is not None and marked.get(PARENT, "") != encode_parent(spec.child_of):
            # It hangs on another parent now (a port that changed networks): a new row, not a moved one.
            changes.append(_delete(spec.ref, row))
            row = None
        elif row is None and (refusal := _conflict(spec, index)) is not None:
            yield refusal
            return
        if row is None:
            changes.append(_change(key, "create", spec.ref, "", Insert(spec=spec)))
            continue
        update = _update(spec, row, marked, index)
        if update is not None:
            named = [*update.columns, *(["groups"] if update.groups is not None else [])]
            changes.append(_change(key, "update", spec.ref, ", ".join(named), update))
    changes.extend(_delete(ref, row) for ref, row in sorted(present.items()))
    yield from changes


def _conflict(spec: RowSpec, index: NorthboundIndex) -> Refusal | None:
    if spec.unique is None:
        return None
    for row in index.foreign(spec.ref.table, spec.unique):
        return Refusal(
            key=spec.ref.key,
            reason="ForeignRow",
            message=f"{spec.ref.table} {spec.unique!r} ({row.uuid}) exists in the northbound database and is not ours; "
            "it was left alone. Rename yours, or remove that row",
        )
    return None


def _update(spec: RowSpec, row: Any, marked: Mapping[str, str], index: NorthboundIndex) -> Update | None:
    different = {name: value for name, value in spec.columns.items() if not _holds(row, name, value)}
    held = _held_groups(marked)
    join = tuple(group for group in spec.groups if group not in held or _estranged(row, group, index))
    leave = tuple(group for group in held if group not in spec.groups)
    if not different and not join and not leave:
        return None
    groups = spec.groups if join or leave else None
    return Update(ref=spec.ref, uuid=row.uuid, columns=different, join=join, leave=leave, groups=groups)


def _estranged(row: Any, group: Ref, index: NorthboundIndex) -> bool:
    """Whether the row counts itself a member of a group that has lost it. One that is missing gathers them itself."""
    there = index.row(group)
    return there is not None and not columns.refers(there, "ports", row)


def encode_groups(groups: Iterable[Ref]) -> str:
    """How a row remembers its memberships, so that reading them costs nothing that grows with the groups."""
    return " ".join(str(group.key) for group in groups)


def _held_groups(marked: Mapping[str, str]) -> tuple[Ref, ...]:
    held = []
    for text in marked.get(GROUPS, "").split():
        kind, _, name = text.partition("/")
        held.append(Ref(PORT_GROUP, ObjectKey(kind, name)))  # type: ignore[arg-type]
    return tuple(held)


def _holds(row: Any, column: str, value: Value) -> bool:
    """Whether the column has that value now."""
    if isinstance(value, Mapping):
        return columns.mapping(row, column) == value
    wanted = set(value) if isinstance(value, tuple) else {value}
    if columns.size(row, column) != len(wanted):
        return False
    if any(isinstance(item, Ref) for item in wanted):
        return wanted == {_ref(held) for held in columns.referenced(row, column)}
    return wanted == set(columns.several(row, column))


def _ref(row: Any) -> Ref | None:
    """What a row is, whoever owns it."""
    marked = marks_of(row)
    kind, _, name = marked.get(KEY, "").partition("/")
    # The row object of the database library has no public name for its table.
    table = row._table.name  # noqa: SLF001
    return Ref(table, ObjectKey(kind, name), marked.get(PART, "")) if name else None  # type: ignore[arg-type]


def _delete(ref: Ref, row: Any) -> Change:
    gone = Delete(ref=ref, uuid=row.uuid, child_of=decode_parent(marks_of(row).get(PARENT, "")))
    return _change(ref.key, "delete", ref, "", gone)


def _change(key: ObjectKey, do: str, ref: Ref, detail: str, payload: RowChange) -> Change:
    part = f" {ref.part}" if ref.part else ""
    return Change(
        key=key,
        do=do,
        what=f"{ref.table} {ref.key.name}{part}" + (f": {detail}" if detail else ""),
        payload=payload,
    )
