# SPDX-License-Identifier: Apache-2.0
"""What a clone of the appliance's template is told: its cards, its marks, what cloud-init reads. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.api import Card, vim
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.plugging import backing_for
from anyvisor.drivers.vsphere.records import Place
from anyvisor.model.estate import Deploy
from anyvisor.model.names import Mac

_ROOM = 10 << 30
"""An appliance's disk is smaller."""


def location(host: Any, *, pool: Any, datastore: Any) -> Any:
    """Where the clone is put."""
    return vim.vm.RelocateSpec(host=host, pool=pool, datastore=datastore)


def datastore(of_host: Mapping[str, Any], of_template: Iterable[Any]) -> Any:
    """Where its disk is put: a datastore that only this host has, so that nothing can move it; else the template's if
    the host has that; else the one with the most room. None leaves it to vCenter.
    """
    usable = {key: summary for key, summary in of_host.items() if summary.accessible is not False}
    roomy = {key: summary for key, summary in usable.items() if (summary.freeSpace or 0) >= _ROOM}
    beside = {key_of(each) for each in of_template}

    def rank(item: tuple[str, Any]) -> tuple[bool, bool, int]:
        key, summary = item
        return (not summary.multipleHostAccess, key in beside, summary.freeSpace or 0)

    best = max((roomy or usable).items(), key=rank, default=None)
    return None if best is None else best[1].datastore


def card_changes(
    devices: Iterable[Any], places: Sequence[Place], macs: Sequence[Mac | None] = ()
) -> list[Any]:
    """The template's cards are plugged in where the appliance's belong, in order; more are added, the rest removed.

    A MAC that is set by hand may be any; one by the manager's choice is not known before the first boot.
    Source: vSphere Networking, Static MAC Addresses.
    """
    held = [device for device in devices if isinstance(device, Card)]
    return [
        _card_change(device, place, number, mac)
        for number, (device, place, mac) in enumerate(zip_longest(held, places, macs))
    ]


def _card_change(device: Any, place: Place | None, number: int, mac: Mac | None) -> Any:
    if place is None:
        return vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)
    operation = "edit"
    if device is None:
        device, operation = vim.vm.device.VirtualVmxnet3(key=-1 - number), "add"
    device.backing = backing_for(place)
    device.addressType, device.macAddress = ("assigned", None) if mac is None else ("manual", str(mac))
    device.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=True, connected=True, allowGuestControl=False
    )
    return vim.vm.device.VirtualDeviceSpec(operation=operation, device=device)


def clone_spec(owner: str, step: Deploy, where: Any, cards: list[Any], *, managed: bool) -> Any:
    """The whole order. The clone stays off: it is pinned first."""
    managed_by = vim.ext.ManagedByInfo(extensionKey=names.EXTENSION, type="appliance") if managed else None
    config = vim.vm.ConfigSpec(
        deviceChange=cards,
        extraConfig=[
            vim.option.OptionValue(key=key, value=value) for key, value in _options(owner, step).items()
        ],
        managedBy=managed_by,
        annotation=f"An appliance of anyvisor for {step.host}: it switches the frames of this host's VMs.",
    )
    return vim.vm.CloneSpec(location=where, powerOn=False, template=False, config=config)


def _options(owner: str, step: Deploy) -> dict[str, str]:
    meta = step.metadata or f"instance-id: {step.vm}\nlocal-hostname: {step.vm}\n"
    return {
        names.OWNER_OPTION: owner,
        names.KEY_OPTION: step.key,
        "guestinfo.metadata": _base64(meta),
        "guestinfo.metadata.encoding": "base64",
        "guestinfo.userdata": _base64(step.user_data),
        "guestinfo.userdata.encoding": "base64",
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
