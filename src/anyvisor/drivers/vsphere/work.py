# SPDX-License-Identifier: Apache-2.0
"""Carrying jobs out: begun together, waited for together, begun again from what is there if somebody interfered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.faults import translated
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.session import Open, Session
from anyvisor.errors import AnyvisorError, ConflictError, RetryableError, UnreachableError

_ATTEMPTS = 3
_AT_ONCE = 32
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One change. `start` reads what there is, and gives the task; None if there is nothing to do, or all is done."""

    doing: str
    start: Callable[[Open], Any]


@dataclass(slots=True)
class _Started:
    job: Job
    task: str | None = None
    error: AnyvisorError | None = None


class Work:
    """What steps are carried out with. `refresh` brings the picture up to date."""

    def __init__(
        self,
        session: Session,
        picture: Callable[[], Picture],
        refresh: Callable[[], None],
        *,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.session = session
        self._picture = picture
        self.refresh = refresh
        self._patience = patience_seconds
        self._clock = clock
        self._sleep = sleep

    @property
    def picture(self) -> Picture:
        """As it was at the last `refresh`."""
        return self._picture()

    @property
    def owner(self) -> str:
        """Whose marks are ours."""
        return self.picture.owner

    def run(self, jobs: Iterable[Job]) -> None:
        """All of them, several at once. The first that is refused ends it; those before it are done.

        Raises:
            ConflictError: somebody else changed the same thing each time.
            AnyvisorError: as the fault says.
        """
        pending = list(jobs)
        refusal: AnyvisorError | None = None
        conflicts: list[_Started] = []
        for _ in range(_ATTEMPTS):
            conflicts = []
            waiting = iter(pending)
            while refusal is None and (batch := list(islice(waiting, _AT_ONCE))):
                for done in self._batch(batch):
                    if isinstance(done.error, ConflictError):
                        conflicts.append(done)
                    else:
                        refusal = refusal or done.error
            if not conflicts or refusal is not None:
                break
            pending = [done.job for done in conflicts]
        if refusal is not None:
            raise refusal
        if conflicts and conflicts[0].error is not None:
            raise conflicts[0].error

    def _batch(self, jobs: Sequence[Job]) -> list[_Started]:
        started: list[_Started] = []
        for job in jobs:
            begun = _Started(job)
            started.append(begun)
            try:
                begun.task = key_of(self.session.write(job.start, job.doing))
            except ConflictError as error:
                begun.error = error
            except AnyvisorError as error:
                begun.error = error
                break
        self._wait(started)
        return started

    def _wait(self, started: Sequence[_Started]) -> None:
        open_tasks = {begun.task: begun for begun in started if begun.task is not None}
        deadline = self._clock() + self._patience
        pause = _FIRST_PAUSE
        while open_tasks:
            for key, values in self._states(list(open_tasks)).items():
                state = str(values.get("info.state"))
                if state == "error":
                    open_tasks[key].error = self._fault(open_tasks[key].job, values.get("info.error"))
                if state in ("error", "success"):
                    del open_tasks[key]
            if not open_tasks:
                return
            if self._clock() >= deadline:
                self._give_up(open_tasks.values())
                return
            self._sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _states(self, keys: list[str]) -> dict[str, dict[str, Any]]:
        found = self.session.read(
            lambda opened: properties(opened, vim.Task, keys, ("info.state", "info.error")),
            "waiting for a task",
        )
        gone = set(keys) - found.keys()
        if gone:
            raise UnreachableError(f"{self.session.name}: a task is gone: whether it was done is not known")
        return found

    def _fault(self, job: Job, fault: Any) -> AnyvisorError:
        if isinstance(fault, Exception):
            return translated(self.session.name, job.doing, fault)
        return RetryableError(f"{self.session.name}: {job.doing}: it failed, without a reason")

    def _give_up(self, started: Iterable[_Started]) -> None:
        for begun in started:
            begun.error = RetryableError(
                f"{self.session.name}: {begun.job.doing}: the task runs for more than {self._patience:.0f} s"
            )
