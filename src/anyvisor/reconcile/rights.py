# SPDX-License-Identifier: Apache-2.0
"""Which rights we lack on a manager: asked for now and then, and said before a step needs them. It stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from anyvisor.contracts.estate import EstateDriver
from anyvisor.errors import AnyvisorError
from anyvisor.model.condition import Condition
from anyvisor.model.estate import MissingRight

log = logging.getLogger(__name__)

RIGHTS = "Rights"
ASK_SECONDS = 300.0
"""How often it is asked: somebody may change our role at any time, and what it costs is one call."""
AGAIN_SECONDS = 60.0
"""How soon after a question without an answer."""


class RightsCheck:
    """Of one manager. `clock` gives seconds."""

    def __init__(self, manager: str, driver: EstateDriver, clock: Callable[[], float]) -> None:
        self._manager = manager
        self._driver = driver
        self._clock = clock
        self._next: float | None = None
        self.said: tuple[Condition, ...] = ()
        """A condition where some are missing, as was answered last."""

    def ask(self) -> None:
        """If it is time. No answer is no error: what was answered last counts on."""
        now = self._clock()
        if self._next is not None and now < self._next:
            return
        try:
            self.said = lacking(self._driver.missing_rights())
        except AnyvisorError as error:
            log.info("%s: it is not known which rights are missing: %s", self._manager, error)
            self._next = now + AGAIN_SECONDS
        else:
            self._next = now + ASK_SECONDS


def lacking(missing: Sequence[MissingRight]) -> tuple[Condition, ...]:
    """What is said of them; nothing where all are there."""
    if not missing:
        return ()
    listed = ", ".join(str(right) for right in missing)
    return (Condition(kind=RIGHTS, true=False, reason="Missing", message=f"our account lacks {listed}"),)
