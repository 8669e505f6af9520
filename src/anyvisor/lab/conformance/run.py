# SPDX-License-Identifier: Apache-2.0
"""A run of the suite: a lab of its own, what the plan says, what is applied, what packets do.

The product is driven by its own commands. A second round has one tag per network behind appliances, which is a policy
of the whole site; there only the cells that are new are tried.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from anyvisor.lab import down, session, topology_file, up, verify
from anyvisor.lab.checks import Check, Plan
from anyvisor.lab.conformance.asker import Asker
from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.elsewhere import elsewhere
from anyvisor.lab.conformance.foretold import Foretold, foretold
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.verdict import Verdict, judge
from anyvisor.lab.conformance.version import versions
from anyvisor.lab.crash import Crash
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import Topology
from anyvisor.lab.up import Options
from anyvisor.model.kinds import AttachmentKind, TagPer

TOPOLOGY = "conformance"
APPLY_SECONDS = "90"


def run(place: Place, options: Options, say: Say) -> Outcome:
    """Build the lab, try every case in every cell, delete the lab.

    Raises:
        TerminalError: there is a lab of that name already, or a step of it or of the product failed.
    """
    topology = topology_file.load(TOPOLOGY)
    up.up(place, topology, options, say)
    try:
        product = Product(place)
        with product.serving():
            found = _Trial(place, topology, product, say)
            found.round(place.site())
            if any(AttachmentKind.VLAN_ACCESS in cell.kinds and not cell.shared for cell in found.cells):
                found.round(_with_shared_tags(place))
        tried = {(cell.hypervisor, cell.scheme) for cell in found.cells}
        return Outcome(
            verdicts=tuple(found.verdicts),
            elsewhere=elsewhere(product, place.folder, tried),
            versions=versions(up.programs_of(place, options.chroot)),
            crashes=tuple(found.crashes),
        )
    finally:
        down.down(place)


def _with_shared_tags(place: Place) -> Path:
    site = yaml.safe_load(place.site().read_text(encoding="utf-8"))
    site["policy"]["appliance"]["tags"] = TagPer.NETWORK.value
    path = place.site("shared")
    path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
    return path


@dataclass(slots=True)
class _Trial:
    """What has been found so far."""

    place: Place
    topology: Topology
    product: Product
    say: Say
    verdicts: list[Verdict] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(dict.fromkeys(verdict.cell for verdict in self.verdicts))

    def round(self, site: Path) -> None:
        """Plan, apply, and try the cells that no earlier round had."""
        # First what the plan foretells: it must not know what came of it.
        told = foretold(self.product.json("plan", "-f", str(site)))
        self.product.run("apply", "-f", str(site), "--wait", APPLY_SECONDS, quiet=True)
        if self.topology.esxi_hosts:
            centre.await_settled(self.place, seconds=session.SETTLE_SECONDS)
        asker = Asker(self.topology, session.state_of(self.place))
        had = {cell.title for cell in self.cells}
        new = [cell for cell in asker.cells if cell.title not in had]
        self.say(f"applied; to be tried: {', '.join(cell.title for cell in new)}")
        self.verdicts += self._tried(asker, new, told)

    def _tried(self, asker: Asker, cells: Collection[Cell], told: Foretold) -> list[Verdict]:
        asked: dict[tuple[Cell, str], list[Check]] = {
            (cell, case.name): list(case.ask(asker, cell)) for cell in cells for case in CASES
        }
        # Cases may have a question in common; it is asked once.
        checks = tuple(dict.fromkeys(check for listed in asked.values() for check in listed))
        plan = Plan(topology=self.topology, picture=asker.picture, checks=checks)
        report = verify.verify(self.place, plan, self.say)
        self.crashes += report.crashes
        self.say(f"{len(checks)} probes, {len(report.failures)} of them not as predicted")
        results = {result.check: result for result in report.results}
        return [
            judge(cell, case, [results[check] for check in listed], told)
            for (cell, case), listed in asked.items()
        ]
