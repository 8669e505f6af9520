# SPDX-License-Identifier: Apache-2.0
"""The suite on a real Xen host under emulation, which goes through its schemes one after the other.

The VMs under test are the lab's; their frames pass through guests of the Xen host (`anyvisor.lab.xen.relay`).
"""

from __future__ import annotations

from pathlib import Path

from anyvisor.lab import down, topology_file, up
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.trial import Trial
from anyvisor.lab.conformance.version import versions
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.up import Options
from anyvisor.lab.xen.operator import PACE, READY_SECONDS, XenOperator
from anyvisor.lab.xen.stage import STAGES
from anyvisor.model.kinds import Hypervisor

TOPOLOGY = "conformance-xen"
HOST = "xen1"
APPLIANCE_IP = "192.168.77.42"


def run(place: Place, base: Path, say: Say) -> Outcome:
    """Build the lab and boot the Xen host, try every case in every stage, delete the lab. `base` is what
    ``tools/xen.sh`` has filled.

    Raises:
        TerminalError: there is a lab of that name already, or a step of it or of the product failed.
    """
    topology = topology_file.load(TOPOLOGY)
    up.up(place, topology, Options(emulated=True), say)
    try:
        product = Product(place)
        with product.serving():
            trial = Trial(
                place, topology, product, say, only=Hypervisor.XEN, wait_seconds=str(READY_SECONDS), pace=PACE
            )
            operator = XenOperator(place, topology, HOST, base, say, appliance_ip=APPLIANCE_IP)
            operator.boot()
            for stage in STAGES:
                operator.enter(stage)
                trial.round(operator.site(stage))
                operator.leave(stage)
        return Outcome(
            verdicts=tuple(trial.verdicts),
            versions=versions(up.programs_of(place, None)),
            crashes=tuple(trial.crashes),
        )
    finally:
        down.down(place)
