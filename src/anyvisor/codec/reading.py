# SPDX-License-Identifier: Apache-2.0
"""How objects, lists and tables of a document are taken apart, each mistake noted and the rest still read.

A reader is a function of a `Spot`. It raises `WrongError` if the value as a whole is unusable; then the value is
left out and nothing that depends on it is checked, so that one mistake makes one fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeAlias, TypeVar

import yaml

from anyvisor.codec.document import Spot

T = TypeVar("T")
Reader: TypeAlias = Callable[[Spot], T]


class WrongError(Exception):
    """A value is unusable; the text is one sentence that says what would be right."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an object: how its value is read, whether it must be there."""

    read: Reader[Any]
    required: bool = False


Grammar: TypeAlias = Mapping[str, Key]


@dataclass(slots=True)
class Draft:
    """An object as far as it could be read. `values` has what is right, `broken` the keys of what is not."""

    spot: Spot
    values: dict[str, Any] = field(default_factory=dict)
    spots: dict[str, Spot] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = None) -> Any:
        """The value; `default` if it is not there or wrong."""
        return self.values.get(key, default)

    def lacks(self, key: str) -> bool:
        """Whether the key is not in the document at all: absent is not the same as wrong."""
        return key not in self.values and key not in self.broken

    def blame(self, key: str, message: str) -> None:
        """Note a mistake at that key, and forget its value."""
        if key in self.spots:
            self.spots[key].blame(message)
        else:
            self.spot.blame_child(key, message)
        self.values.pop(key, None)
        self.broken.add(key)


@dataclass(slots=True)
class Listed(Generic[T]):
    """The usable items of a list or table. `complete` is False if some item is missing here for being wrong."""

    items: list[tuple[Spot, T]] = field(default_factory=list)
    complete: bool = True

    def __iter__(self) -> Iterator[tuple[Spot, T]]:
        return iter(self.items)

    @property
    def values(self) -> tuple[T, ...]:
        """Without their places."""
        return tuple(value for _, value in self.items)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Which of `known` was probably meant by `word`."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.65)), None)


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` where one of `known` is like `word`, else nothing."""
    close = nearest(word, known)
    return f"; did you mean {close}?" if close else ""


def shape(spot: Spot) -> str:
    """What stands there, in words, for "… expected, but here is …"."""
    match spot.tag:
        case "map":
            return "a mapping"
        case "seq":
            return "a list"
        case "null":
            return "nothing"
        case "str":
            return "text"
        case "bool":
            return f"{spot.raw}, which YAML reads as true or false"
        case "int" | "float":
            return f"{spot.raw}, which YAML reads as a number"
        case "timestamp":
            return f"{spot.raw}, which YAML reads as a date"
    return f"something tagged {spot.tag}"


def object_of(grammar: Grammar, what: str) -> Reader[Draft]:
    """Reads a mapping with the keys of `grammar`; `what` names it in messages, e.g. ``a port``."""

    def read(spot: Spot) -> Draft:
        pairs = _pairs(spot, f"{what} is a mapping of keys to values")
        draft = Draft(spot)
        for name, child in pairs:
            if name not in grammar:
                child.blame(f"unknown key{suggestion(name, grammar)}")
                draft.broken |= {nearest(name, grammar) or name}  # so its absence is no second mistake
            else:
                draft.spots[name] = child
                _take(draft, name, grammar[name])
        for name, key in grammar.items():
            if key.required and name not in draft.spots and name not in draft.broken:
                draft.blame(name, f"{what} needs this key")
        return draft

    return read


def list_of(read_item: Reader[T], what: str) -> Reader[Listed[T]]:
    """Reads a sequence; `what` names its items in messages, e.g. ``ports``."""

    def read(spot: Spot) -> Listed[T]:
        if not isinstance(spot.node, yaml.SequenceNode) or spot.tag != "seq":
            raise WrongError(f"a list of {what} is expected, but here is {shape(spot)}")
        listed: Listed[T] = Listed()
        for index, node in enumerate(spot.node.value):
            _append(listed, spot.child(node, f"[{index}]"), read_item)
        return listed

    return read


def table_of(read_item: Reader[T], read_key: Reader[str], what: str) -> Reader[Listed[tuple[str, T]]]:
    """Reads a mapping whose keys are free words; each item is (key, value)."""

    def read(spot: Spot) -> Listed[tuple[str, T]]:
        listed: Listed[tuple[str, T]] = Listed()
        for name, child in _pairs(spot, f"a mapping of {what} is expected", read_key):

            def item(place: Spot, name: str = name) -> tuple[str, T]:
                return name, read_item(place)

            _append(listed, child, item)
        return listed

    return read


def _take(draft: Draft, name: str, key: Key) -> None:
    child = draft.spots[name]
    if child.tag == "null" and not key.required:
        return  # `dpu: null` says the same as no `dpu`
    try:
        draft.values[name] = key.read(child)
    except WrongError as wrong:
        draft.blame(name, str(wrong))


def _append(listed: Listed[T], spot: Spot, read_item: Reader[T]) -> None:
    before = len(spot.faults.found)
    try:
        listed.items.append((spot, read_item(spot)))
    except WrongError as wrong:
        spot.blame(str(wrong))
    if len(spot.faults.found) > before:
        listed.complete = False


def _pairs(spot: Spot, expected: str, read_key: Reader[str] | None = None) -> list[tuple[str, Spot]]:
    """The keys and the places of their values; keys that are no words or stand twice are noted and left out."""
    if not isinstance(spot.node, yaml.MappingNode) or spot.tag != "map":
        raise WrongError(f"{expected}, but here is {shape(spot)}")
    seen: dict[str, int] = {}
    pairs: list[tuple[str, Spot]] = []
    for key_node, value_node in spot.node.value:
        key = spot.child(key_node, f".{getattr(key_node, 'value', '')}")
        if not isinstance(key_node, yaml.ScalarNode):
            spot.blame("a key must be one word")
        elif key.raw in seen:
            key.blame(f"the key stands twice, first in line {seen[key.raw]}")
        elif key.tag == "merge":
            key.blame("merge keys are not understood here; write the keys out")
        else:
            seen[key.raw] = key.line
            if read_key is None or _is_readable(key, read_key):
                pairs.append((key.raw, spot.child(value_node, key.step)))
    return pairs


def _is_readable(key: Spot, read_key: Reader[str]) -> bool:
    try:
        read_key(key)
    except WrongError as wrong:
        key.blame(str(wrong))
        return False
    return True
