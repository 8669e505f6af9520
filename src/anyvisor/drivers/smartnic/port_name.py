# SPDX-License-Identifier: Apache-2.0
"""What a driver calls the port of a card's switch that a device stands for: ``phys_port_name`` in sysfs.

The names are those that the kernel's devlink gives by itself (networking/representors.rst): ``p0`` a physical port,
``pf0``, ``pf0vf3``, ``pf0sf88`` functions, with ``c1`` before them where they are another machine's.
"""

from __future__ import annotations

import re

from anyvisor.model.card import FunctionKind, Representor

_FUNCTION = re.compile(r"(?:c(?P<controller>\d+))?pf(?P<pf>\d+)(?:(?P<kind>vf|sf)(?P<number>\d+))?")
_PHYSICAL = re.compile(r"p\d+(?:s\d+)?")


def is_physical(name: str) -> bool:
    """It is a port with a cable."""
    return _PHYSICAL.fullmatch(name) is not None


def representor(device: str, name: str) -> Representor | None:
    """What the device stands for; None where the name is that of no function."""
    found = _FUNCTION.fullmatch(name)
    if found is None:
        return None
    kind = {"vf": FunctionKind.VF, "sf": FunctionKind.SF, None: FunctionKind.PF}[found["kind"]]
    return Representor(
        device=device,
        kind=kind,
        pf=int(found["pf"]),
        number=int(found["number"]) if found["number"] is not None else None,
        controller=int(found["controller"] or 0),
    )
