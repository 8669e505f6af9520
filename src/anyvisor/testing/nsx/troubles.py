# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the way to a manager, and when it does."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "busy", "unavailable", "broken", "stale", "cut-before", "cut-after", "slow", "ended", "forbidden"
]

STATUS: dict[str, int] = {"busy": 429, "unavailable": 503, "broken": 500, "stale": 412, "forbidden": 403}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Strikes the request number `at` (from 1) of those that fit `method` and `path`, and the `times` - 1 after it.

    ``busy``, ``unavailable``, ``broken``, ``stale`` and ``forbidden`` are statuses; ``cut-before`` and ``cut-after``
    close the connection before anything is done, or instead of the answer; ``slow`` waits `seconds` before it
    answers; ``ended`` ends the session first.
    """

    kind: Kind
    at: int = 1
    times: int = 1
    method: str = ""
    path: str = ""
    """A regular expression that is searched for."""
    seconds: float = 0.0
    """Of ``slow``; of ``busy`` and ``unavailable``: what Retry-After says."""


class Troubles:
    """Counts requests for all troubles at once; threads may share it."""

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

    def of(self, method: str, path: str) -> Trouble | None:
        """What strikes this request."""
        struck: Trouble | None = None
        with self._lock:
            for number, (trouble, seen) in enumerate(self._waiting):
                if trouble.method in {"", method} and re.search(trouble.path, path):
                    self._waiting[number] = (trouble, seen + 1)
                    if trouble.at <= seen + 1 < trouble.at + trouble.times:
                        struck = struck or trouble
        return struck
