# SPDX-License-Identifier: Apache-2.0
"""Plays an operator with a client of his own, in a process of its own: puts cards where they do not belong.

Reads lines from standard input, ``VM SWITCH GROUP`` (key, uuid, key), and prints ``ready`` once it is so. Ends when the
input does. Arguments: the address and the certificate.
"""

from __future__ import annotations

import sys
from typing import Any

from anyvisor.access.credentials import Login
from anyvisor.access.trust import trust
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.endpoint import endpoint
from anyvisor.drivers.vsphere.plugging import backing_for
from anyvisor.drivers.vsphere.records import Place
from anyvisor.drivers.vsphere.session import Open, Session

_Ethernet: Any = vim.vm.device.VirtualEthernetCard
_Change: Any = vim.vm.device.VirtualDeviceSpec


def put(opened: Open, vm: str, place: Place) -> None:
    """The first card of a VM goes to that place. The task is done when the call returns."""
    machine = opened.object(vim.VirtualMachine, vm)
    card = next(device for device in machine.config.hardware.device if isinstance(device, _Ethernet))
    card.backing = backing_for(place)
    machine.ReconfigVM_Task(
        vim.vm.ConfigSpec(deviceChange=[_Change(operation=_Change.Operation.edit, device=card)])
    )


def main() -> None:
    """Serve standard input."""
    url, certificate = sys.argv[1:]
    session = Session("hand", endpoint(url, trust(certificate), 60.0), lambda: Login("operator", "any"))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        vm, switch, group = line.split()
        place = Place(switch=switch, group=group)
        session.write(lambda opened, vm=vm, place=place: put(opened, vm, place), "putting a card elsewhere")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    session.close()


if __name__ == "__main__":
    main()
