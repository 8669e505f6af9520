# SPDX-License-Identifier: Apache-2.0
"""What sysfs says of network devices that stand for ports of a card's switch (sysfs-class-net in the kernel's ABI)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from anyvisor.drivers.smartnic import port_name
from anyvisor.model.card import Eswitch, Representor, SwitchingCard

SYSFS = Path("/sys")


def cards(root: Path = SYSFS) -> tuple[SwitchingCard, ...]:
    """The cards whose ports have a switch in common, for kernels whose drivers have no devlink ports.

    Devices of one switch have the same ``phys_switch_id``; what each is says its ``phys_port_name``. A card is called
    ``switch/ID``. Only a switch in switchdev mode has such an id.
    """
    physical: defaultdict[str, list[str]] = defaultdict(list)
    functions: defaultdict[str, list[Representor]] = defaultdict(list)
    for device, switch, name in _ports(root):
        if port_name.is_physical(name):
            physical[switch].append(device)
        elif (found := port_name.representor(device, name)) is not None:
            functions[switch].append(found)
    return tuple(
        SwitchingCard(
            address=f"switch/{switch}",
            driver=next((driver_of(device, root) for device in physical.get(switch, ())), ""),
            eswitch=Eswitch.SWITCHDEV,
            ports=tuple(sorted(physical.get(switch, ()))),
            representors=tuple(
                sorted(functions.get(switch, ()), key=lambda r: (r.controller, r.pf, r.number or 0))
            ),
        )
        for switch in sorted(physical.keys() | functions.keys())
    )


def driver_of(device: str, root: Path = SYSFS) -> str:
    """The kernel's driver of a device; empty for one that has none."""
    link = root / "class/net" / device / "device/driver"
    return link.resolve().name if link.exists() else ""


def _ports(root: Path) -> Iterator[tuple[str, str, str]]:
    folder = root / "class/net"
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        switch, name = _read(entry / "phys_switch_id"), _read(entry / "phys_port_name")
        if switch and name:
            yield entry.name, switch, name


def _read(path: Path) -> str:
    try:
        # A device whose driver has no such thing answers with an error, not with an empty file.
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
