# SPDX-License-Identifier: Apache-2.0
"""VMs, their cards and their migrations, from what vSphere reports of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.api import Card, vim
from anyvisor.drivers.vsphere.hosts import key_of, plain
from anyvisor.drivers.vsphere.records import CardRecord, Place, TaskRecord, VmRecord
from anyvisor.model.names import Mac

PATHS = (
    "name",
    "runtime.host",
    "runtime.powerState",
    "runtime.connectionState",
    "config.instanceUuid",
    "config.template",
    "config.hardware.device",
    "config.extraConfig",
    "config.cpuAllocation",
    "config.memoryAllocation",
    "config.memoryReservationLockedToMax",
    "config.hardware.memoryMB",
    "config.ftInfo",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
    "recentTask",
)
TASK_PATHS = ("info.state", "info.descriptionId", "info.eventChainId", "info.queueTime")

_MOVES = (
    "VirtualMachine.migrate",
    "VirtualMachine.relocate",
    "Drm.ExecuteVMotionLRO",
    "Drm.ExecuteVmPowerOnLRO",
)
_UNDER_WAY = ("queued", "running")
_SLACK = timedelta(seconds=2)
"""Events and tasks are dated in different places of the same vCenter."""


def vm_record(key: str, values: Mapping[str, Any], owner: str) -> VmRecord | None:
    """One VM; None as long as vCenter does not know enough of it (it is being made, or its files are out of reach)."""
    uuid, host = values.get("config.instanceUuid"), key_of(values.get("runtime.host"))
    if not uuid or host is None:
        return None
    options = own_options(values.get("config.extraConfig") or ())
    running = str(values.get("runtime.powerState")) == "poweredOn"
    devices = values.get("config.hardware.device") or ()
    return VmRecord(
        key=key,
        uuid=uuid,
        name=plain(values.get("name")),
        host=host,
        running=running,
        template=bool(values.get("config.template")),
        answers=str(values.get("runtime.connectionState") or "connected") == "connected",
        cards=tuple(
            _card(device, options, running=running) for device in devices if isinstance(device, Card)
        ),
        fault_tolerant=values.get("config.ftInfo") is not None,
        cpu_mhz=_reserved(values.get("config.cpuAllocation")),
        memory_mib=_memory(values),
        appliance=options.get(names.KEY_OPTION) if options.get(names.OWNER_OPTION) == owner else None,
        booting=running and _tools_are_awaited(values),
        tasks=tuple(str(key_of(task)) for task in values.get("recentTask") or ()),
    )


def own_options(options: Iterable[Any]) -> dict[str, str]:
    """Of a VM's extraConfig what is ours."""
    return {option.key: str(option.value) for option in options if option.key.startswith("anyvisor.")}


def task_record(key: str, values: Mapping[str, Any]) -> TaskRecord:
    """One task of a VM."""
    return TaskRecord(
        key=key,
        migrates=values.get("info.descriptionId") in _MOVES,
        running=str(values.get("info.state")) in _UNDER_WAY,
        chain=values.get("info.eventChainId") or 0,
        since=values.get("info.queueTime"),
    )


def destination(events: Iterable[Any], task: TaskRecord) -> str | None:
    """Where a migration under way leads: by the events of its chain, else by those since it was asked for."""
    told = [event for event in events if getattr(event, "destHost", None) is not None]
    own = [event for event in told if task.chain and event.chainId == task.chain]
    recent = [event for event in told if task.since is None or event.createdTime >= task.since - _SLACK]
    newest = max(own or recent, key=lambda event: event.key, default=None)
    return None if newest is None else key_of(newest.destHost.host)


def place_of(backing: Any) -> Place | None:
    """What a card's backing says."""
    if isinstance(backing, Card.DistributedVirtualPortBackingInfo):
        port = backing.port
        return Place(switch=port.switchUuid, group=port.portgroupKey, port=port.portKey)
    if isinstance(backing, Card.OpaqueNetworkBackingInfo):
        return Place(network=backing.opaqueNetworkId, opaque=True)
    if isinstance(backing, Card.NetworkBackingInfo):
        return Place(network=plain(backing.deviceName))
    return None


def _card(device: Any, options: Mapping[str, str], *, running: bool) -> CardRecord:
    connectable = device.connectable
    state = "connected" if running else "startConnected"
    before = options.get(names.before_option(str(device.key)))
    return CardRecord(
        key=str(device.key),
        mac=Mac((device.macAddress or "").lower()),
        connected=bool(getattr(connectable, state, False)),
        passthrough=isinstance(device, vim.vm.device.VirtualSriovEthernetCard),
        place=place_of(device.backing),
        homeless=is_homeless(before),
        taken=bool(before),
    )


def is_homeless(before: str | None) -> bool:
    """Whether the memory of a card says that its place was found to be gone."""
    try:
        told = json.loads(before) if before else None
    except ValueError:
        return False
    return isinstance(told, dict) and bool(told.get("homeless"))


def _reserved(allocation: Any) -> int:
    return int(getattr(allocation, "reservation", 0) or 0)


def _memory(values: Mapping[str, Any]) -> int:
    if values.get("config.memoryReservationLockedToMax"):
        return int(values.get("config.hardware.memoryMB") or 0)
    return _reserved(values.get("config.memoryAllocation"))


def _tools_are_awaited(values: Mapping[str, Any]) -> bool:
    installed = (
        str(values.get("guest.toolsVersionStatus2") or "guestToolsNotInstalled") != "guestToolsNotInstalled"
    )
    return installed and str(values.get("guest.toolsRunningStatus")) != "guestToolsRunning"
