# SPDX-License-Identifier: Apache-2.0
"""Managers: what an NSX needs, and which vCenter it stands beside."""

from __future__ import annotations

from anyvisor.codec.checks.sections import Sections
from anyvisor.codec.reading import Draft

NSX_ONLY = ("transport_zone", "vcenter")


def check(site: Sections) -> None:
    """Note all faults of managers."""
    beside: dict[str, str] = {}
    for manager in site.managers.drafts:
        driver = manager.get("driver")
        if driver == "nsx":
            _check_nsx(site, manager, beside)
        elif driver is not None:
            for key in NSX_ONLY:
                if not manager.lacks(key):
                    manager.blame(key, f"only a manager with driver nsx has this, not one with {driver}")


def _check_nsx(site: Sections, manager: Draft, beside: dict[str, str]) -> None:
    if manager.lacks("url"):
        manager.blame("url", "an NSX needs its address: https://HOST")
    if manager.lacks("transport_zone"):
        manager.blame("transport_zone", "an NSX needs the VLAN transport zone in which segments are made")
    vcenter = manager.get("vcenter")
    if vcenter is not None:
        _check_vcenter(site, manager, vcenter)
    elif manager.lacks("vcenter"):
        vcenter = _only_vcenter(site, manager)
    if vcenter is not None and "vcenter" not in manager.broken:
        first = beside.setdefault(vcenter, manager.spot.path)
        if first != manager.spot.path:
            manager.blame("vcenter", f"the hosts of {vcenter!r} are switched by {first} already")


def _check_vcenter(site: Sections, manager: Draft, vcenter: str) -> None:
    named = site.managers.check_reference(manager.spots["vcenter"], vcenter)
    driver = None if named is None else named.get("driver")
    if driver not in {None, "vsphere"}:
        manager.blame("vcenter", f"manager {vcenter!r} is no vSphere one: its driver is {driver}")


def _only_vcenter(site: Sections, manager: Draft) -> str | None:
    """The one vSphere manager that there is; a fault where that is not one."""
    if not site.managers.certain or any("driver" in each.broken for each in site.managers.drafts):
        return None
    found = [
        name
        for each in site.managers.drafts
        if each.get("driver") == "vsphere" and (name := each.get("name"))
    ]
    if len(found) == 1:
        return str(found[0])
    many = f"there are several vSphere managers: name one of {', '.join(found)}"
    manager.blame(
        "vcenter", many if found else "an NSX stands beside a manager with driver vsphere: there is none"
    )
    return None
