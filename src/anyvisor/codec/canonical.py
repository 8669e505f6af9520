# SPDX-License-Identifier: Apache-2.0
"""Values of the model as canonical JSON, the form in which database columns hold them.

Equal values have equal text: keys are sorted, there is no white space, and a field that has its default is left out.
So a set column never holds the same value twice, and a field that is added later does not change what is stored.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from anyvisor.errors import TerminalError

T = TypeVar("T")


def encode(value: object) -> str:
    """The canonical JSON text of a dataclass of the model."""
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def decode(cls: type[T], text: str) -> T:
    """The value that `encode` made `text` from. Raises `TerminalError`, which names the field, for anything else."""
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise TerminalError(f"{cls.__name__}: not JSON: {error}") from error
    return from_plain(cls, plain)


def to_plain(value: Any) -> dict[str, Any]:
    """Dicts, lists, strings, numbers and booleans only; fields that have their default are left out."""
    cls: Any = type(value)
    hints = _hints(cls)
    return {
        field.name: _plain(getattr(value, field.name), hints[field.name])
        for field in fields(value)
        if getattr(value, field.name) != _default(field)
    }


def from_plain(cls: type[T], data: object) -> T:
    """The dataclass `cls` that `to_plain` took apart. Raises `TerminalError` where `data` does not fit exactly."""
    try:
        value: T = _dataclass(cls, data, cls.__name__)
    except _MisfitError as misfit:
        raise TerminalError(str(misfit)) from misfit
    return value


class _MisfitError(ValueError):
    """`data` does not have the shape of the type; the text begins with the place."""


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default  # MISSING for a required field: equal to nothing else


def _plain(value: Any, hint: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case None | bool() | str() | float():
            return value
        case int():
            return float(value) if _resolved(hint) == (float,) else value
        case Mapping():
            inner = (get_args(hint) or (str, object))[1]
            return {str(key): _plain(item, inner) for key, item in value.items()}
        case tuple():
            inner = get_args(hint)[0] if get_args(hint) else object
            return [_plain(item, inner) for item in value]
        case _ if is_dataclass(value):
            return to_plain(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _resolved(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint, NewTypes looked through and None left out."""
    if isinstance(hint, NewType):
        return _resolved(hint.__supertype__)
    if get_origin(hint) in {Union, types.UnionType}:
        return tuple(inner for part in get_args(hint) for inner in _resolved(part))
    return () if hint is type(None) else (hint,)


def _dataclass(cls: Any, data: object, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise _MisfitError(f"{place}: expected an object, got {_kind(data)}")
    hints = _hints(cls)
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(set(data) - set(known)):
        raise _MisfitError(f"{place}: unknown field {', '.join(map(str, unknown))}")
    for name, field in known.items():
        if name not in data and _default(field) is MISSING:
            raise _MisfitError(f"{place}.{name}: missing")
    given = {name: _value(hints[name], item, f"{place}.{name}") for name, item in data.items()}
    try:
        return cls(**given)
    except ValueError as error:
        raise _MisfitError(f"{place}: {error}") from error


def _value(hint: Any, data: object, place: str) -> Any:
    if data is None and _allows_none(hint):
        return None
    alternatives = _resolved(hint)
    if len(alternatives) > 1:  # only scalars are ever alternatives
        if type(data) in alternatives:
            return data
        raise _MisfitError(
            f"{place}: expected {' or '.join(a.__name__ for a in alternatives)}, got {_kind(data)}"
        )
    return _single(alternatives[0], data, place)


def _allows_none(hint: Any) -> bool:
    return get_origin(hint) in {Union, types.UnionType} and type(None) in get_args(hint)


def _single(hint: Any, data: object, place: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return _tuple(get_args(hint), data, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _MisfitError(f"{place}: expected an object, got {_kind(data)}")
        return {key: _value(get_args(hint)[1], item, f"{place}.{key}") for key, item in data.items()}
    if is_dataclass(hint):
        return _dataclass(hint, data, place)
    if issubclass(hint, Enum):
        return _member(hint, data, place)
    if hint is float and type(data) is int:
        return float(data)
    if type(data) is not hint:
        raise _MisfitError(f"{place}: expected {hint.__name__}, got {_kind(data)}")
    return data


def _tuple(inner: tuple[Any, ...], data: object, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise _MisfitError(f"{place}: expected a list, got {_kind(data)}")
    if inner[-1] is not Ellipsis and len(data) != len(inner):
        raise _MisfitError(f"{place}: expected {len(inner)} items, got {len(data)}")
    return tuple(_value(inner[0], item, f"{place}[{index}]") for index, item in enumerate(data))


def _member(enum: type[Enum], data: object, place: str) -> Enum:
    try:
        return enum(data)
    except ValueError as error:
        words = ", ".join(str(member.value) for member in enum)
        raise _MisfitError(f"{place}: {data!r} is none of {words}") from error


def _kind(data: object) -> str:
    return "null" if data is None else type(data).__name__
