# SPDX-License-Identifier: Apache-2.0
"""What is found of a lab, site file by site file: planned, applied, asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from anyvisor.lab import session, verify
from anyvisor.lab.checks import Check, Plan
from anyvisor.lab.conformance.asker import Asker
from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.foretold import Foretold, foretold
from anyvisor.lab.conformance.verdict import Verdict, judge
from anyvisor.lab.crash import Crash
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import Topology
from anyvisor.lab.verify import Pace
from anyvisor.model.kinds import Hypervisor

APPLY_SECONDS = "90"
_SAID = 10
"""How many mistakes of a round are told at once; the outcome has all."""


@dataclass(slots=True)
class Trial:
    """What has been found so far. With `only` other hypervisors' cells are but the peers of those that are tried."""

    place: Place
    topology: Topology
    product: Product
    say: Say
    only: Hypervisor | None = None
    wait_seconds: str = APPLY_SECONDS
    pace: Pace = field(default_factory=Pace)
    verdicts: list[Verdict] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All that were tried."""
        return tuple(dict.fromkeys(verdict.cell for verdict in self.verdicts))

    def round(self, site: Path) -> None:
        """Plan, apply, and try the cells that no earlier round had."""
        # First what the plan foretells: it must not know what came of it.
        told = foretold(self.product.json("plan", "-f", str(site)))
        self.product.run("apply", "-f", str(site), "--wait", self.wait_seconds, quiet=True)
        if self.topology.esxi_hosts:
            centre.await_settled(self.place, seconds=session.SETTLE_SECONDS)
        asker = Asker(self.topology, session.state_of(self.place))
        had = {cell.title for cell in self.cells}
        new = [cell for cell in asker.cells if cell.title not in had and self.only in {None, cell.hypervisor}]
        self.say(f"applied; to be tried: {', '.join(cell.title for cell in new)}")
        self.verdicts += self._tried(asker, new, told)

    def _tried(self, asker: Asker, cells: Collection[Cell], told: Foretold) -> list[Verdict]:
        asked: dict[tuple[Cell, str], list[Check]] = {
            (cell, case.name): list(case.ask(asker, cell)) for cell in cells for case in CASES
        }
        # Cases may have a question in common; it is asked once.
        checks = tuple(dict.fromkeys(check for listed in asked.values() for check in listed))
        plan = Plan(topology=self.topology, picture=asker.picture, checks=checks)
        report = verify.verify(self.place, plan, self.say, self.pace)
        self.crashes += report.crashes
        self.say(f"{len(checks)} probes, {len(report.failures)} of them not as predicted")
        results = {result.check: result for result in report.results}
        verdicts = [
            judge(cell, case, [results[check] for check in listed], told)
            for (cell, case), listed in asked.items()
        ]
        for words in islice((f"{v.cell.title}: {words}" for v in verdicts for words in v.mistakes), _SAID):
            self.say(words)
        return verdicts
