# SPDX-License-Identifier: Apache-2.0
"""Keeping a picture of the pool: ``event.from`` with the token of the last answer, or everything anew.

An empty token asks for everything that there is. A token is worth nothing after another login (the master may be
another host), after ``EVENTS_LOST``, and if the numbers of objects that come with every answer are not ours.

Source: xen-api, ocaml/xapi/xapi_event.ml.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from anyvisor.drivers.xapi.faults import code_of
from anyvisor.drivers.xapi.pool import CLASSES, Pool, Record
from anyvisor.drivers.xapi.session import Session
from anyvisor.errors import AnyvisorError

log = logging.getLogger(__name__)

_STALE = frozenset({"EVENTS_LOST", "EVENT_FROM_TOKEN_PARSE_FAILURE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is new. With `anew` the events are all that there is, and what was known before is worth nothing."""

    events: tuple[Record, ...] = ()
    anew: bool = False


class Feed:
    """Of one session. `pool` is kept up to date; another `Pool` after everything was asked for anew."""

    def __init__(self, session: Session) -> None:
        self.pool = Pool()
        self._session = session
        self._token = ""
        self._generation = 0

    def changes(self, wait_seconds: float = 0.0) -> Heard:
        """What changed since the last call; waits that long for it.

        Raises:
            AnyvisorError: as `Session.read`. What was known stays known.
        """
        answer = self._asked(wait_seconds)
        anew = not self._token
        pool = Pool() if anew else self.pool
        pool.take(answer["events"])
        if not anew and pool.lacks(answer["valid_ref_counts"]):
            log.debug("%s: something was missed; everything is asked for anew", self._session.name)
            self._token = ""
            return self.changes()
        self.pool, self._token = pool, str(answer["token"])
        return Heard(events=tuple(answer["events"]), anew=anew)

    def _asked(self, wait_seconds: float) -> Any:
        try:
            answer = self._from(wait_seconds)
        except AnyvisorError as error:
            if code_of(error.__cause__) not in _STALE or not self._token:
                raise
            log.debug("%s: %s", self._session.name, error)
            self._token = ""
            answer = self._from(0.0)
        if self._generation != self._session.generation and self._token:
            # It was asked in another login than the one before, with a token of that.
            self._token = ""
            answer = self._from(0.0)
        self._generation = self._session.generation
        return answer

    def _from(self, wait_seconds: float) -> Any:
        wait = wait_seconds if self._token else 0.0
        return self._session.read("event.from", list(CLASSES), self._token, wait, doing="asking what changed")
