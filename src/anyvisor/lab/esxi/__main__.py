# SPDX-License-Identifier: Apache-2.0
"""``python -m anyvisor.lab.esxi LAB [ROOT]``: the emulator of a lab's ESXi hosts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from anyvisor.lab import manifest, topology_file, up
from anyvisor.lab.esxi import centre
from anyvisor.lab.esxi.appliance import Machines
from anyvisor.lab.esxi.bridges import Switches
from anyvisor.lab.esxi.emulator import Emulator
from anyvisor.lab.esxi.population import Population
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place


def main(argv: Sequence[str]) -> int:
    """Follow vCenter until killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    place = Place(name=argv[0], root=Path(argv[1]))
    build(place).follow(Event())
    return 0


def build(place: Place) -> Emulator:
    """The emulator of a lab that is up, or about to be."""
    topology = topology_file.parse(place.topology.read_text(encoding="utf-8"), source=str(place.topology))
    chroot = manifest.read(place.manifest).options.get("chroot")
    chosen = up.programs_of(place, Path(chroot) if chroot else None)
    hosts = topology.esxi_hosts
    machines = Machines(place, topology.underlay, chosen, Recorder(place.manifest))
    names = {host.name for host in hosts}
    population = Population(
        place,
        machines,
        known=[vm.name for vm in topology.vms if vm.host in names],
        taken=topology.parts,
    )
    switches = {host.name: Switches(place, host.name, chosen) for host in hosts}
    return Emulator(place, switches, population, centre.control(place))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
