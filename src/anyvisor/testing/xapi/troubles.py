# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the way to a pool, and when it does."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["refuse", "half", "cut-before", "cut-after", "late", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Strikes the call number `at` (from 1) of those that fit `method`, and the `times` - 1 after it.

    ``refuse`` answers with `code` and does nothing; ``half`` writes the database as XAPI does before it acts, and then
    answers with `code`; ``cut-before`` and ``cut-after`` close the connection before anything is done, or instead of
    the answer; ``late`` waits `seconds` before the answer; ``ended`` ends all sessions first.
    """

    kind: Kind
    at: int = 1
    times: int = 1
    method: str = ""
    """A regular expression that fits the whole name; empty: all."""
    code: tuple[str, ...] = ("INTERNAL_ERROR", "trouble")
    seconds: float = 0.0


class Troubles:
    """Counts calls for all troubles at once; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Trouble, int]] = []

    def add(self, trouble: Trouble) -> None:
        """From now on."""
        with self._lock:
            self._waiting.append((trouble, 0))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._waiting.clear()

    def of(self, method: str) -> Trouble | None:
        """What strikes this call."""
        struck: Trouble | None = None
        with self._lock:
            for number, (trouble, seen) in enumerate(self._waiting):
                if not trouble.method or re.fullmatch(trouble.method, method):
                    self._waiting[number] = (trouble, seen + 1)
                    if trouble.at <= seen + 1 < trouble.at + trouble.times:
                        struck = struck or trouble
        return struck
