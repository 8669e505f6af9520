# SPDX-License-Identifier: Apache-2.0
"""Single words of the site file: text, numbers, truth, names and choices. Nothing is converted in silence.

YAML 1.1 takes ``on`` for true, ``010`` for eight and ``52:54:00:00:00:01`` for a number; each is refused with a
sentence that says how to write what was meant.
"""

from __future__ import annotations

import re
from enum import Enum
from math import isfinite
from typing import TypeVar

from anyvisor.codec.document import Spot
from anyvisor.codec.reading import Reader, WrongError, shape, suggestion

E = TypeVar("E", bound=Enum)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?")
TRUTH = {"true": True, "false": False}


def text(spot: Spot) -> str:
    """Any text that is not blank and has no control characters."""
    if spot.tag != "str":
        quote = f'; put it in quotes: "{spot.raw}"' if spot.raw and _is_plain_scalar(spot) else ""
        raise WrongError(f"text is expected, but here is {shape(spot)}{quote}")
    if not spot.raw.strip():
        raise WrongError("text is expected, but this is blank")
    if not spot.raw.isprintable():
        raise WrongError("text must not have control characters")
    return spot.raw


def name(spot: Spot) -> str:
    """A name that anyvisor uses in databases, on switches and in paths."""
    word = text(spot)
    if not NAME.fullmatch(word):
        raise WrongError(
            f"{word!r} is no name: 1 to 63 letters, digits, '.', '_' and '-', the first one a letter or digit"
        )
    return word


def truth(spot: Spot) -> bool:
    """``true`` or ``false``, and no other word for it."""
    if spot.tag == "bool" and spot.raw.lower() in TRUTH:
        return TRUTH[spot.raw.lower()]
    if spot.tag == "bool":
        raise WrongError(f"write true or false instead of {spot.raw}")
    raise WrongError(f"true or false is expected, but here is {shape(spot)}")


def whole(first: int, last: int) -> Reader[int]:
    """A whole number between the two, both included."""

    def read(spot: Spot) -> int:
        value = _whole(spot)
        if not first <= value <= last:
            raise WrongError(f"{value} is outside {first}-{last}")
        return value

    return read


def decimal(first: float, last: float) -> Reader[float]:
    """A number between the two, both included."""

    def read(spot: Spot) -> float:
        value = _decimal(spot)
        if not first <= value <= last:
            raise WrongError(f"{spot.raw} is outside {first:g}-{last:g}")
        return value

    return read


def choice(words: type[E], what: str) -> Reader[E]:
    """One word of a closed vocabulary; `what` names it, e.g. ``a scheme``."""
    known = {str(member.value): member for member in words}

    def read(spot: Spot) -> E:
        return known[one_of(tuple(known), what)(spot)]

    return read


def one_of(words: tuple[str, ...], what: str) -> Reader[str]:
    """One of the words."""

    def read(spot: Spot) -> str:
        word = text(spot)
        if word not in words:
            raise WrongError(f"{word!r} is not {what}; one of {', '.join(words)}{suggestion(word, words)}")
        return word

    return read


def fact(spot: Spot) -> str | int | float | bool:
    """A fact about a host, with the type that it is written in."""
    match spot.tag:
        case "bool":
            return _fact_of_truth(spot)
        case "int":
            return _whole(spot)
        case "float":
            return _decimal(spot)
    return text(spot)


def _fact_of_truth(spot: Spot) -> bool:
    if spot.raw.lower() in TRUTH:
        return truth(spot)
    raise WrongError(
        f'YAML reads {spot.raw} as true or false; write true or false, or text in quotes: "{spot.raw}"'
    )


def _whole(spot: Spot) -> int:
    if spot.tag != "int":
        quotes = "; leave out the quotes" if spot.tag == "str" and WHOLE.fullmatch(spot.raw) else ""
        raise WrongError(f"a whole number is expected, but here is {shape(spot)}{quotes}")
    return int(_checked(spot, WHOLE))


def _decimal(spot: Spot) -> float:
    if spot.tag not in {"int", "float"}:
        quotes = "; leave out the quotes" if spot.tag == "str" and DECIMAL.fullmatch(spot.raw) else ""
        raise WrongError(f"a number is expected, but here is {shape(spot)}{quotes}")
    value = float(_checked(spot, DECIMAL))
    if not isfinite(value):
        raise WrongError(f"{spot.raw} is too large")
    return value


def _checked(spot: Spot, pattern: re.Pattern[str]) -> str:
    """Refuse octal, hexadecimal, sexagesimal and underscored numbers, infinity and what is absurdly long."""
    if not pattern.fullmatch(spot.raw) or len(spot.raw) > 40:
        raise WrongError(
            f"write {spot.raw[:40]} as a plain decimal number, or as text in quotes if it is no number"
        )
    return spot.raw


def _is_plain_scalar(spot: Spot) -> bool:
    return spot.tag in {"int", "float", "bool", "timestamp"}
