# SPDX-License-Identifier: Apache-2.0
"""How values lie in the columns of our own databases.

A missing value is an empty column. A sequence is a map from position to text, because OVSDB sets have no order. What
is more than a text (a subnet, a rule, the policy) is canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from anyvisor.codec import canonical
from anyvisor.errors import TerminalError
from anyvisor.model.condition import Condition
from anyvisor.model.host import Fact
from anyvisor.ovsdb import columns
from anyvisor.ovsdb.replica import Row

T = TypeVar("T")
Cell: TypeAlias = str | int | Mapping[str, str] | Mapping[int, str] | None
Cells: TypeAlias = Mapping[str, Cell]


def put(row: Row, cells: Cells) -> bool:
    """Assign the columns that differ; True if there were any."""
    different = False
    for column, cell in cells.items():
        if not holds(row, column, cell):
            setattr(row, column, [] if cell is None else cell)
            different = True
    return different


def fill(row: Row, cells: Cells) -> None:
    """Assign all columns of a row that is being inserted."""
    for column, cell in cells.items():
        if cell is not None:
            setattr(row, column, cell)


def holds(row: Row, column: str, cell: Cell) -> bool:
    """Whether the column has that value now."""
    if isinstance(cell, Mapping):
        return columns.mapping(row, column) == cell
    return bool(columns.one(row, column) == cell)


def sequence(texts: Iterable[str]) -> Mapping[int, str]:
    """The cell for texts in that order."""
    return dict(enumerate(texts))


def texts(row: Row, column: str) -> tuple[str, ...]:
    """The texts of a sequence, in order."""
    held = columns.mapping(row, column)
    return tuple(held[position] for position in sorted(held))


def documents(values: Iterable[object]) -> Mapping[int, str]:
    """The cell for values of the model in that order."""
    return sequence(canonical.encode(value) for value in values)


def values(row: Row, column: str, cls: type[T]) -> tuple[T, ...]:
    """The values that `documents` made the column from."""
    return tuple(canonical.decode(cls, text) for text in texts(row, column))


def facts_cell(facts: Mapping[str, Fact]) -> Mapping[str, str]:
    """The cell for a host's facts: JSON scalars."""
    return {name: json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()}


def facts(row: Row, column: str) -> Mapping[str, Fact]:
    """The facts that `facts_cell` made the column from."""
    return {name: _fact(name, text) for name, text in columns.mapping(row, column).items()}


def _fact(name: str, text: str) -> Fact:
    try:
        fact = json.loads(text)
    except ValueError as error:
        raise TerminalError(f"the fact {name} is not JSON: {text!r}") from error
    if not isinstance(fact, str | int | float | bool):
        raise TerminalError(f"the fact {name} is not a single value: {text}")
    return fact


def conditions_cell(conditions: Iterable[Condition]) -> Mapping[int, str]:
    """The cell for conditions: each as ``KIND true|false REASON MESSAGE``."""
    return sequence(
        f"{each.kind} {'true' if each.true else 'false'} {each.reason} {each.message}".rstrip()
        for each in conditions
    )


def conditions(row: Row, column: str) -> tuple[Condition, ...]:
    """The conditions that `conditions_cell` made the column from."""
    return tuple(_condition(text) for text in texts(row, column))


def _condition(text: str) -> Condition:
    kind, true, reason, message = (*text.split(" ", 3), "", "", "")[:4]
    return Condition(kind=kind, true=true == "true", reason=reason, message=message)
