# SPDX-License-Identifier: Apache-2.0
"""What vSphere has told us of each object, property by property, kept up to date by its updates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from anyvisor.drivers.vsphere.hosts import key_of

HOST, VM, SWITCH, GROUP, COMPUTE, TASK = "host", "vm", "switch", "group", "compute", "task"

_KINDS = {
    "HostSystem": HOST,
    "VirtualMachine": VM,
    "DistributedVirtualSwitch": SWITCH,
    "VmwareDistributedVirtualSwitch": SWITCH,
    "DistributedVirtualPortgroup": GROUP,
    "ComputeResource": COMPUTE,
    "ClusterComputeResource": COMPUTE,
    "Task": TASK,
}
CONFIG = "configurationEx"
"""What a compute resource says of its VMs."""
CLUSTERED = "clustered"
"""A property of our own making: whether a compute resource is a cluster."""


class Item(NamedTuple):
    """One object."""

    kind: str
    key: str


class RawStore:
    """Properties by object and path."""

    def __init__(self) -> None:
        self._values: dict[Item, dict[str, Any]] = {}

    def items(self) -> Iterable[Item]:
        """All objects."""
        return self._values.keys()

    def values(self, item: Item) -> Mapping[str, Any] | None:
        """The properties of an object, None if it is gone."""
        return self._values.get(item)

    def update(self, updates: Iterable[Any]) -> set[Item]:
        """Take updates in; which objects came, changed or went."""
        touched = set()
        for update in updates:
            item = item_of(update.obj)
            if item is None:
                continue
            touched.add(item)
            if update.kind == "leave":
                self._values.pop(item, None)
                continue
            if update.kind == "enter" or item not in self._values:
                self._values[item] = _beginning(update.obj)
            _change(self._values[item], update.changeSet or ())
        return touched


def item_of(reference: Any) -> Item | None:
    """Which object a managed object is; None for one that we do not look at."""
    kind = _KINDS.get(type(reference)._wsdlName)  # noqa: SLF001 - the name of its type in the API
    return None if kind is None else Item(kind, str(key_of(reference)))


def _beginning(reference: Any) -> dict[str, Any]:
    name = type(reference)._wsdlName  # noqa: SLF001 - see above
    return {CLUSTERED: name == "ClusterComputeResource"} if _KINDS[name] == COMPUTE else {}


def _change(values: dict[str, Any], changes: Iterable[Any]) -> None:
    for change in changes:
        if change.op in ("remove", "indirectRemove") or change.val is None:
            values.pop(change.name, None)
        else:
            values[change.name] = change.val
