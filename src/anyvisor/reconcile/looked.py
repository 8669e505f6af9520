# SPDX-License-Identifier: Apache-2.0
"""What one look at a manager came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from anyvisor.errors import AnyvisorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The steps that were carried out, and what kept the rest from it. `again_seconds`: look again that soon; None: not
    before something happens, or the next resync.
    """

    steps: tuple[object, ...] = ()
    error: AnyvisorError | None = None
    again_seconds: float | None = None


class ManagerReconciler(Protocol):
    """What an attendant runs."""

    def reconcile(self) -> Looked:
        """Look, change what differs, say how it is. What goes wrong is in the result."""

    def measure(self) -> None:
        """Read what is counted there. Raises AnyvisorError."""
