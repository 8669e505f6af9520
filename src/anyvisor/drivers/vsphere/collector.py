# SPDX-License-Identifier: Apache-2.0
"""Hearing of changes: one property filter over one view of everything, read version by version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.drivers.vsphere import cards, groups, hosts
from anyvisor.drivers.vsphere.api import vim, vmodl
from anyvisor.drivers.vsphere.session import Open, Session

_Collector: Any = vmodl.query.PropertyCollector
_BROKEN = (vmodl.query.InvalidCollectorVersion, vmodl.fault.ManagedObjectNotFound)

EVERYTHING: Mapping[Any, tuple[str, ...]] = {
    vim.HostSystem: hosts.PATHS,
    vim.VirtualMachine: cards.PATHS,
    vim.DistributedVirtualSwitch: groups.PATHS,
    vim.dvs.DistributedVirtualPortgroup: groups.PATHS,
    vim.ComputeResource: ("name", "configurationEx"),
    vim.Task: cards.TASK_PATHS,
}
"""What the picture is made of."""

SIGNS: Mapping[Any, tuple[str, ...]] = {
    vim.HostSystem: (
        "name",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "config.network.vswitch",
        "config.network.portgroup",
        "config.autoStart",
    ),
    vim.VirtualMachine: (
        "name",
        "runtime.host",
        "runtime.powerState",
        "runtime.connectionState",
        "config.changeVersion",
        "config.template",
        "guest.toolsRunningStatus",
        "network",
        "recentTask",
    ),
    vim.DistributedVirtualSwitch: ("config.configVersion", "summary.hostMember"),
    vim.dvs.DistributedVirtualPortgroup: ("config.configVersion",),
    vim.ComputeResource: ("configurationEx",),
    vim.Task: ("info.state",),
}
"""What is enough to notice that something changed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Changes since the last time. With `anew` they are everything that there is, and what was known counts no more."""

    updates: tuple[Any, ...] = ()
    anew: bool = False


class Collector:
    """What it knows is gone with the session; then it begins anew by itself. Used by one thread."""

    def __init__(self, session: Session, paths: Mapping[Any, tuple[str, ...]]) -> None:
        self._session = session
        self._paths = paths
        self._generation: int | None = None
        self._collector: Any = None
        self._version = ""

    def changes(self, wait_seconds: int = 0) -> Heard:
        """What changed, as soon as anything did, at the latest after that time; nothing then.

        Raises:
            UnreachableError: no answer.
        """
        try:
            return self._session.read(
                lambda opened: self._heard(opened, wait_seconds), "looking at the inventory"
            )
        except Exception:
            self._generation = None  # what was read half-way is read again
            raise

    def _heard(self, opened: Open, wait_seconds: int) -> Heard:
        try:
            return self._read(opened, wait_seconds)
        except _BROKEN:
            self._generation = None
            return self._read(opened, wait_seconds)

    def _read(self, opened: Open, wait_seconds: int) -> Heard:
        anew = self._generation != opened.generation
        if anew:
            self._begin(opened)
        updates: list[Any] = []
        more = True
        while more:
            options = _Collector.WaitOptions(maxWaitSeconds=0 if anew else wait_seconds)
            answer = self._collector.WaitForUpdatesEx(self._version, options)
            if answer is None:
                break
            self._version = answer.version
            for part in answer.filterSet or ():
                updates.extend(part.objectSet or ())
            more = bool(answer.truncated)
        self._generation = opened.generation
        return Heard(tuple(updates), anew)

    def _begin(self, opened: Open) -> None:
        self._generation = None
        content = opened.content
        view = content.viewManager.CreateContainerView(
            content.rootFolder, [kind for kind in self._paths if kind is not vim.Task], True
        )
        self._collector = content.propertyCollector.CreatePropertyCollector()
        self._collector.CreateFilter(filter_spec(view, self._paths), False)
        self._version = ""


def filter_spec(view: Any, paths: Mapping[Any, tuple[str, ...]]) -> Any:
    """All objects of a view, and of its VMs the tasks."""
    tasks = _Collector.TraversalSpec(name="tasks", type=vim.VirtualMachine, path="recentTask", skip=False)
    through = _Collector.TraversalSpec(
        name="view", type=vim.view.ContainerView, path="view", skip=False, selectSet=[tasks]
    )
    return _Collector.FilterSpec(
        objectSet=[_Collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[
            _Collector.PropertySpec(type=kind, all=False, pathSet=list(names))
            for kind, names in paths.items()
        ],
    )


def properties(opened: Open, kind: Any, keys: list[str], paths: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Some properties of some objects, read now, by key. An object that is gone is left out."""
    if not keys:
        return {}
    spec = _Collector.FilterSpec(
        objectSet=[_Collector.ObjectSpec(obj=opened.object(kind, key), skip=False) for key in keys],
        propSet=[_Collector.PropertySpec(type=kind, all=False, pathSet=list(paths))],
        reportMissingObjectsInResults=True,
    )
    collector = opened.content.propertyCollector
    answer = collector.RetrievePropertiesEx([spec], _Collector.RetrieveOptions())
    found: dict[str, dict[str, Any]] = {}
    while answer is not None:
        for item in answer.objects or ():
            found[str(hosts.key_of(item.obj))] = {each.name: each.val for each in item.propSet or ()}
        answer = collector.ContinueRetrievePropertiesEx(answer.token) if answer.token else None
    return found
