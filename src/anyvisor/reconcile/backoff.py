# SPDX-License-Identifier: Apache-2.0
"""How long a key that failed waits before it is tried again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Backoff(Generic[K]):
    """Doubles from `first` to `ceiling` (seconds) per consecutive failure of a key.

    The ceiling is low on purpose: an operator who has mended the cause should not wait minutes for us to notice.
    """

    def __init__(self, first: float = 0.5, ceiling: float = 30.0) -> None:
        self._first = first
        self._ceiling = ceiling
        self._failures: dict[K, int] = {}

    def after_failure(self, key: K) -> float:
        """The delay in seconds before the next try of that key."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(self._ceiling, self._first * 2.0 ** min(failures, 30))

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts from `first` again."""
        self._failures.pop(key, None)
