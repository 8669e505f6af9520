# SPDX-License-Identifier: Apache-2.0
"""What differs between two pictures of the same things: missing, surplus, changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import eq
from typing import Any, Generic, TypeVar

K = TypeVar("K")
D = TypeVar("D")
O = TypeVar("O")  # noqa: E741 - desired and observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Generic[K]):
    """Keys only, each group in the order of their texts, so that two runs say the same."""

    missing: tuple[K, ...] = ()
    surplus: tuple[K, ...] = ()
    changed: tuple[K, ...] = ()

    @property
    def empty(self) -> bool:
        """True if the two pictures are the same."""
        return not (self.missing or self.surplus or self.changed)


def compare(
    desired: Mapping[K, D], observed: Mapping[K, O], same: Callable[[D, O], bool] = eq
) -> Difference[K]:
    """What `observed` lacks, what it has too much, and where both have something that is not the `same`."""
    return Difference(
        missing=tuple(sorted((key for key in desired if key not in observed), key=str)),
        surplus=tuple(sorted((key for key in observed if key not in desired), key=str)),
        changed=tuple(
            sorted(
                (
                    key
                    for key, wanted in desired.items()
                    if key in observed and not same(wanted, observed[key])
                ),
                key=str,
            )
        ),
    )


def changed_fields(before: Any, after: Any) -> tuple[str, ...]:
    """The names of the fields in which two instances of one dataclass differ, in the order of the class."""
    return tuple(
        field.name for field in fields(after) if getattr(before, field.name) != getattr(after, field.name)
    )
