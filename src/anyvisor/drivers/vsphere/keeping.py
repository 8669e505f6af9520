# SPDX-License-Identifier: Apache-2.0
"""Putting away what there is by key, so that what did not change is seen not to have changed."""

from __future__ import annotations

from typing import TypeVar

from anyvisor.model.parts import Part

K = TypeVar("K")
V = TypeVar("V")


def put(held: dict[K, V], key: K, value: V | None) -> V | None:
    """Set or remove; what was there before."""
    old = held.pop(key, None)
    if value is not None:
        held[key] = value
    return old


def share(held: Part[K, V], key: K, value: V | None) -> None:
    """Put or remove; what is the same already stays the same object, so that nobody takes it for a change."""
    if value is None:
        if key in held:
            held.remove(key)
    elif held.get(key) != value:
        held.put(key, value)
