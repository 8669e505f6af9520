# SPDX-License-Identifier: Apache-2.0
"""What a manager of many hosts must be able to do for us: report its estate, change its native switches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from anyvisor.model.estate import CardId, Estate, EstateStep, Health, MissingRight
from anyvisor.model.names import HostName
from anyvisor.model.vnic import Counters


class EstateDriver(Protocol):
    """The adapter to one manager. Safe to call from one thread; `watch` has its own."""

    def estate(self) -> Estate:
        """The newest picture; frozen, cheap to take.

        Raises:
            UnreachableError: the manager does not answer; nobody may conclude that anything is gone.
        """

    def apply(self, steps: Iterable[EstateStep]) -> None:
        """Carry the steps out in order. One that already holds is not an error; when this returns, `estate` shows it.

        Raises:
            ConflictError: somebody else changed the object meanwhile; look again.
            ForeignObjectError: something that is not ours has the name or the place.
            RetryableError: the manager is busy with it (a task in progress, a host that does not answer).
            TerminalError: the manager refuses: rights, licence, a limit.
        """

    def counters(self, cards: Iterable[CardId]) -> Mapping[CardId, Counters]:
        """What the native switch counted on these cards, seen from the VM; a card it does not know is left out."""

    def healths(self) -> Mapping[str, Health]:
        """How our appliances stand, by key, as the watch heard last. From any thread, and it never blocks.

        One of which nothing is known now (the manager does not answer, nobody watches) is left out. A VM that runs is
        ``running``, whether or not it has booted.
        """

    def missing_rights(self) -> tuple[MissingRight, ...]:
        """The rights that we need and do not have; empty if all are there. It is a call: not for every look.

        Raises:
            UnreachableError: the manager does not answer.
            TerminalError: it does not tell.
        """

    def watch(self, notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """Call `notify` from another thread with the hosts of whom something changed, while the context lasts."""
