# SPDX-License-Identifier: Apache-2.0
"""A JSON parser for the library `ovs` where its C extension is missing.

`pip install ovs` brings a parser in pure Python that reads half a megabyte per second. This one only finds where a
message ends (that is all a stream of JSON-RPC messages needs) and leaves the reading to the standard library.
"""

from __future__ import annotations

import json
import logging
import re

import ovs.json

log = logging.getLogger(__name__)

_SPACE = re.compile(r"[ \t\n\r]*")
# Unrolled, without possessive quantifiers: those of Python 3.11.2 lose matches (fixed in 3.11.5).
_OUTSIDE = re.compile(r'[^"{}\[\]]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"{}\[\]]*)*', re.DOTALL)
"""Everything up to the next bracket, or to the start of a string that does not end in this chunk."""
_INSIDE = re.compile(r"[^\"\\]*(?:\\.[^\"\\]*)*", re.DOTALL)
"""The rest of a string, up to its closing quote or to a backslash that ends the chunk."""
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_DEPTH_MAX = 500  # json.loads recurses; OVSDB messages are less than ten deep


class Parser:
    """Speaks the interface of `ovs.json.Parser`: `feed`, `is_done`, `finish`.

    `finish` returns the value, or a string that says what is wrong (a value is never a string: only an object or an
    array may stand at the top). With `check_trailer` the input is one whole document; without, it is a stream, and
    `feed` stops behind the first value.
    """

    def __init__(self, check_trailer: bool = False) -> None:  # noqa: FBT001, FBT002 - as ovs calls it
        self._check_trailer = check_trailer
        self._parts: list[str] = []
        self._depth = 0
        self._inside = False
        self._escaped = False
        self._closed = False
        self._error: str | None = None

    def feed(self, text: str) -> int:
        """Take as much of `text` as belongs to the value; returns how many characters that were."""
        start = position = self._skip_space(text)
        while position < len(text) and not self._closed and self._error is None:
            position = self._advance(text, position)
        self._parts.append(text[start:position])
        if self._closed and self._check_trailer:
            position = self._skip_trailer(text, position)
        return position

    def is_done(self) -> bool:
        """True if `feed` will take no more."""
        return self._error is not None or (self._closed and not self._check_trailer)

    def finish(self) -> object:
        """The value, or a string that says what is wrong with the input."""
        if self._error is not None:
            return self._error
        text = "".join(self._parts)
        if not text:
            return "line 0, column 0, byte 0: empty input stream"
        if not self._closed:
            return f"line {text.count(chr(10))}, byte {len(text)}: unexpected end of input"
        return _parse(text)

    def _skip_space(self, text: str) -> int:
        if self._depth or self._closed:
            return 0
        position = _end(_SPACE, text, 0)
        if position < len(text) and text[position] not in "{[":
            self._error = f"byte {position}: syntax error at beginning of input"
        return position

    def _skip_trailer(self, text: str, position: int) -> int:
        if _end(_SPACE, text, position) < len(text):
            self._error = "trailing garbage at end of input"
        return len(text)

    def _advance(self, text: str, position: int) -> int:
        """Take one piece of a string, or everything up to and with the next bracket."""
        if self._escaped:
            self._escaped = False
            return position + 1
        position = _end(_INSIDE if self._inside else _OUTSIDE, text, position)
        if position < len(text):
            self._take(text[position])
            position += 1
        return position

    def _take(self, mark: str) -> None:
        if self._inside:
            self._escaped = mark == "\\"
            self._inside = self._escaped
        elif mark == '"':
            self._inside = True
        elif mark in "{[":
            self._depth += 1
            if self._depth > _DEPTH_MAX:
                self._error = f"input exceeds maximum nesting depth {_DEPTH_MAX}"
        else:
            self._depth -= 1
            self._closed = self._depth == 0


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _parse(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse, parse_float=_number)
    except json.JSONDecodeError as error:
        return f"line {error.lineno - 1}, column {error.colno - 1}, byte {error.pos}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"byte 0: {error}"
    return (_bad_escape(text) or value) if "\\u" in text else value


def _refuse(constant: str) -> object:
    raise ValueError(f"invalid keyword '{constant}'")


def _number(digits: str) -> int | float:
    """As `ovs` has it: a real number without fraction is an integer."""
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number outside valid range")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _bad_escape(text: str) -> str | None:
    """OVSDB strings hold no zero bytes and no half surrogate pairs; the standard library lets both through."""
    leading = False
    position = 0
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0x20
        trailing = 0xDC00 <= code <= 0xDFFF
        if leading != trailing or (leading and escape.start() != position):
            return f"byte {escape.start()}: malformed escaped surrogate pair"
        if code == 0:
            return f"byte {escape.start()}: null bytes not supported in quoted strings"
        leading, position = 0xD800 <= code <= 0xDBFF, escape.end()
    return f"byte {position}: malformed escaped surrogate pair" if leading else None


def install() -> bool:
    """Give `ovs` this parser if it has no fast one of its own. Says so once. Returns whether it is in use."""
    if ovs.json.PARSER == ovs.json.PARSER_C:
        return False
    if ovs.json.Parser is not Parser:
        ovs.json.Parser = Parser
        log.info("the C parser of ovs is not there; JSON is parsed by the standard library")
    return True
