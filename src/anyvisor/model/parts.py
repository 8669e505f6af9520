# SPDX-License-Identifier: Apache-2.0
"""Mappings of which a snapshot costs what has changed since the last one, and not what they hold.

A mapping lies in many small dictionaries, by the hash of the key. A snapshot shares them all; whoever writes first
copies the one that the key lies in. So one change among 10,000 entries copies forty. What differs between two
snapshots is found at the same cost.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import chain
from typing import Any, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
_SHARDS = 256
_MASK = _SHARDS - 1


class Shards(Mapping[K, V]):
    """A mapping that never changes, in no particular order."""

    __slots__ = ("_shards", "_size")

    def __init__(self, shards: list[dict[K, V]], size: int) -> None:
        self._shards = shards
        self._size = size

    def __getitem__(self, key: K) -> V:
        return self._shards[hash(key) & _MASK][key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """As a dictionary has it."""
        return self._shards[hash(key) & _MASK].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._shards[hash(key) & _MASK]

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._shards)

    def __len__(self) -> int:
        return self._size

    def items(self) -> ItemsView[K, V]:
        """As a dictionary has it."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """As a dictionary has it."""
        return _Values(self)

    def __repr__(self) -> str:
        return repr(dict(self))


class _Items(ItemsView[K, V]):
    """The one of `Mapping` looks every key up."""

    _mapping: Shards[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return chain.from_iterable(shard.items() for shard in self._mapping._shards)  # noqa: SLF001 - its own view


class _Values(ValuesView[V]):
    """The one of `Mapping` looks every key up."""

    _mapping: Shards[Any, V]

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(shard.values() for shard in self._mapping._shards)  # noqa: SLF001 - its own view


class Part(Shards[K, V]):
    """One that changes. Not safe to change in one thread while another reads it or takes a snapshot."""

    __slots__ = ("_own", "_snapshot")

    def __init__(self) -> None:
        super().__init__([{}] * _SHARDS, 0)
        self._own: set[int] = set()
        """The shards that no snapshot shares."""
        self._snapshot: Shards[K, V] | None = None

    def put(self, key: K, value: V) -> None:
        """Let the key have that value."""
        shard = self._writable(key)
        self._size += key not in shard
        shard[key] = value

    def remove(self, key: K) -> None:
        """Forget the key. Raises KeyError if it is not there."""
        del self._writable(key)[key]
        self._size -= 1

    def snapshot(self) -> Shards[K, V]:
        """What it holds now; the same object as long as nothing changes."""
        if self._snapshot is None:
            self._snapshot = Shards(self._shards.copy(), self._size)
            self._own.clear()
        return self._snapshot

    def _writable(self, key: K) -> dict[K, V]:
        self._snapshot = None
        index = hash(key) & _MASK
        if index not in self._own:
            self._shards[index] = self._shards[index].copy()
            self._own.add(index)
        return self._shards[index]


def changed_keys(before: Mapping[K, V], after: Mapping[K, V]) -> set[K]:
    """The keys that came, went or have another value. Between snapshots of one mapping it costs what changed."""
    if before is after:
        return set()
    if isinstance(before, Shards) and isinstance(after, Shards):
        pairs = zip(before._shards, after._shards, strict=True)  # noqa: SLF001 - its own kind
        return {key for old, new in pairs if old is not new for key in _differing(old, new)}
    return set(_differing(before, after))


def _differing(before: Mapping[K, V], after: Mapping[K, V]) -> Iterator[K]:
    for key, value in after.items():
        old = before.get(key)
        if old is not value and old != value:
            yield key
    yield from (key for key in before if key not in after)
