# SPDX-License-Identifier: Apache-2.0
"""`lab status`: what of a lab is there, alive or dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anyvisor.errors import AnyvisorError
from anyvisor.lab import manifest, namespace, process, rootless, vm
from anyvisor.lab.esxi import appliance
from anyvisor.lab.place import Place


def names(root: Path) -> tuple[str, ...]:
    """Every lab in that folder."""
    return tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir())) if root.is_dir() else ()


def status(place: Place) -> dict[str, Any]:
    """The lab as plain data; `state` is absent, broken (not its manifest's, or cut off half-way) or up."""
    if not place.folder.exists():
        return {"name": place.name, "state": "absent", "namespaces": [], "processes": []}
    try:
        listed = manifest.read(place.manifest)
    except AnyvisorError as error:
        return {"name": place.name, "state": "broken", "why": str(error), "namespaces": [], "processes": []}
    # Appliances come and go while the lab is up: one that is off has no processes, one that is deleted is nothing.
    appliances = {part: appliance.is_on(place, part) for part in appliance.parts(place)}
    processes = [
        {"part": one.part, "what": one.what, "pid": pid, "alive": alive}
        for one in listed.processes
        for pid, alive in [_now(place, one)]
        if place.part(one.part).exists() and appliances.get(one.part, True)
    ]
    # A plain user's namespaces have names inside of them alone; outside the same names may be another lab's.
    visible = listed.keeper is None or rootless.inside(place)
    namespaces = [
        {"name": name, "there": visible and namespace.inode(name) is not None}
        for name in listed.namespaces
        if not listed.complete or place.part(_part(place, name)).exists()
    ]
    whole = listed.complete and all(one["there"] for one in namespaces)
    parts = dict.fromkeys(one.part for one in listed.processes if one.what == vm.DHCP)
    return {
        "name": place.name,
        "state": "up" if whole else "broken",
        "topology": listed.topology,
        "folder": str(place.folder),
        "namespaces": namespaces,
        "processes": processes,
        "appliances": {part: "on" if on else "off" for part, on in appliances.items()},
        "leases": {part: vm.lease(place, part).get("ip") for part in parts},
    }


def _now(place: Place, one: manifest.Process) -> tuple[int, bool]:
    """The pid of a recorded process, and whether it runs; a daemon's monitor may have started it again since."""
    if process.alive(one.pid, one.start):
        return one.pid, True
    try:
        pid = int((place.part(one.part) / "run" / f"{one.what}.pid").read_text())
    except (OSError, ValueError):
        return one.pid, False
    return pid, pid != one.pid and process.name(pid) == one.what


def _part(place: Place, namespace_name: str) -> str:
    return namespace_name.removeprefix(place.namespace(""))


def to_text(found: dict[str, Any]) -> Iterator[str]:
    """Lines for a terminal."""
    yield f"lab {found['name']}: {found['state']}" + (f" ({found['why']})" if "why" in found else "")
    if "topology" not in found:
        return
    there = sum(one["there"] for one in found["namespaces"])
    yield f"  topology {found['topology']}, files in {found['folder']}"
    yield f"  {there} of {len(found['namespaces'])} namespaces"
    alive = [one for one in found["processes"] if one["alive"]]
    yield f"  {len(alive)} of {len(found['processes'])} processes"
    yield from (
        f"    {one['part']}: {one['what']} (pid {one['pid']}) is dead"
        for one in found["processes"]
        if not one["alive"]
    )
    leased = [part for part, address in found["leases"].items() if address]
    yield from (f"  appliance {part}: {state}" for part, state in found.get("appliances", {}).items())
    yield f"  {len(leased)} of {len(found['leases'])} VMs have an address"
