# SPDX-License-Identifier: Apache-2.0
"""Errors named by what the caller can do next.

Adapters translate the exceptions of their libraries into these, with ``from``; nothing above a driver
ever sees an exception of `ovs`, `libvirt` or `pyroute2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class AnyvisorError(Exception):
    """Everything that anyvisor raises on purpose. `str()` is one clear sentence for a person.

    `hint` says what to do about it, `""` where the sentence says it already.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RetryableError(AnyvisorError):
    """The world may be different soon; try the same key again.

    `after` is the delay in seconds that the other side asked for, None where it asked for none.
    """

    def __init__(self, message: str, *, hint: str = "", after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.after = after


class TerminalError(AnyvisorError):
    """Only a change of intent (or of the environment by a person) can fix this; do not retry, do report."""


class UnreachableError(RetryableError):
    """A database, daemon or management endpoint does not answer."""


class ConflictError(RetryableError):
    """Somebody else wrote the same row first; read again, decide again."""


class ForeignObjectError(TerminalError):
    """Something that is not ours stands where we would write. It is reported, never overwritten."""


class RolledBackError(TerminalError):
    """A change of the host failed half-way and was undone; the host is as it was before."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One mistake in what a user gave us: where it is and what is wrong with it."""

    place: str
    """A path into the document, e.g. ``site.yaml: ports[3].mac``."""
    message: str
    """One sentence, says what is wrong and what would be right."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class InputError(AnyvisorError):
    """Bad input. Carries every fault at once; the program exits with status 2 and changes nothing."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        super().__init__(f"{count} {'mistake' if count == 1 else 'mistakes'} in the input")
