# SPDX-License-Identifier: Apache-2.0
"""A run of the suite: a lab of its own, what the plan says, what is applied, what packets do.

The product is driven by its own commands. A second round has one tag per network behind appliances, which is a policy
of the whole site; there only the cells that are new are tried.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from anyvisor.lab import down, topology_file, up
from anyvisor.lab.conformance.elsewhere import elsewhere
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.trial import Trial
from anyvisor.lab.conformance.version import versions
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.up import Options
from anyvisor.model.kinds import AttachmentKind, TagPer

TOPOLOGY = "conformance"


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
            found = Trial(place, topology, product, say)
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
