# SPDX-License-Identifier: Apache-2.0
"""Waiting for the world, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable

from anyvisor.errors import RetryableError

_POLL_SECONDS = 0.05


class Patience:
    """How long one step may take to show its effect. `clock` and `sleep` are replaced in tests."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._sleep = sleep

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Ask until the answer is yes. What cannot be answered now (RetryableError) is not yes yet.

        Raises:
            RetryableError: it was never yes; the message is `otherwise`, with what kept the last answer away.
        """
        deadline = self._clock() + self.seconds
        while True:
            failure: RetryableError | None = None
            try:
                if holds():
                    return
            except RetryableError as error:
                failure = error
            if self._clock() >= deadline:
                why = f": {failure}" if failure is not None else ""
                raise RetryableError(f"{otherwise} within {self.seconds:g} s{why}") from failure
            self._sleep(_POLL_SECONDS)
