# SPDX-License-Identifier: Apache-2.0
"""Everything that a run of the suite has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.elsewhere import Elsewhere
from anyvisor.lab.conformance.verdict import Verdict
from anyvisor.lab.crash import Crash


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Verdicts cell by cell, case by case; what was not run; the versions of what carried the packets by name.

    `crashes` lists daemons that died of themselves meanwhile; what did not arrive then was asked again.
    """

    verdicts: tuple[Verdict, ...]
    elsewhere: tuple[Elsewhere, ...] = ()
    versions: Mapping[str, str]
    crashes: tuple[Crash, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All that were tried."""
        return tuple(dict.fromkeys(verdict.cell for verdict in self.verdicts))

    @property
    def mistakes(self) -> tuple[str, ...]:
        """What nobody foretold, each once and with its cell."""
        found = (f"{one.cell.title}: {words}" for one in self.verdicts for words in one.mistakes)
        return tuple(dict.fromkeys(found))

    @property
    def tried(self) -> int:
        """All probes."""
        return sum(verdict.tried for verdict in self.verdicts)
