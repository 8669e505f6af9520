# SPDX-License-Identifier: Apache-2.0
"""Plugging cards in and giving them back: all cards of a VM in one change of it, many VMs at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from anyvisor.drivers.vsphere import cards, lookup, memory, names
from anyvisor.drivers.vsphere.api import Card, vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.memory import Memory
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.records import HostRecord, Place, VmRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import AnyvisorError, ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import CardId, Giveback, Plugin
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import SwitchName

VM_PATHS = ("config.hardware.device", "config.extraConfig", "config.changeVersion")


@dataclass(slots=True)
class Change:
    """What is to be changed of a VM: devices, and options of its extraConfig (None: remove)."""

    devices: list[Any] = field(default_factory=list)
    options: dict[str, str | None] = field(default_factory=dict)

    def edit(self, device: Any) -> None:
        """The device is to be this."""
        self.devices.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))

    def spec(self, change_version: str | None) -> Any:
        """As vSphere wants it, or None if there is nothing to change."""
        if not self.devices and not self.options:
            return None
        options = [
            vim.option.OptionValue(key=key, value="" if value is None else value)
            for key, value in self.options.items()
        ]
        return vim.vm.ConfigSpec(deviceChange=self.devices, extraConfig=options, changeVersion=change_version)


Editor = Callable[[Any, Mapping[str, str], Change], None]
"""Given a card's device as it is and our options of its VM, says what to change."""


def plug(work: Work, steps: Sequence[Plugin]) -> None:
    """Those before one that is refused are plugged in."""
    _carry_out(work, [(step.card, partial(_plug_editor, work, step)) for step in steps])


def give_back(work: Work, steps: Sequence[Giveback]) -> None:
    """Likewise given back."""
    _carry_out(work, [(step.card, partial(_giveback_editor, work, step)) for step in steps])


def _carry_out(work: Work, orders: Sequence[tuple[CardId, Callable[[], Editor | None]]]) -> None:
    editors: defaultdict[str, dict[str, Editor]] = defaultdict(dict)
    refusal: AnyvisorError | None = None
    for card, editor_of in orders:
        try:
            editor = editor_of()
        except AnyvisorError as error:
            refusal = error
            break
        if editor is not None:
            editors[lookup.vm_of(work.picture, card).key][card.card] = editor
    work.run(edit_job(work.picture.vms[key], by_card) for key, by_card in editors.items())
    if refusal is not None:
        raise refusal


def edit_job(vm: VmRecord, editors: Mapping[str, Editor]) -> Job:
    """Change some cards of a VM, from what they are then."""

    def start(opened: Open) -> Any:
        values = properties(opened, vim.VirtualMachine, [vm.key], VM_PATHS).get(vm.key)
        if values is None:
            raise RetryableError(f"VM {vm.name} is gone")
        options = cards.own_options(values.get("config.extraConfig") or ())
        devices = {str(device.key): device for device in values.get("config.hardware.device") or ()}
        change = Change()
        for key, editor in editors.items():
            if key not in devices:
                raise RetryableError(f"VM {vm.name} has no card {key}")
            editor(devices[key], options, change)
        spec = change.spec(values.get("config.changeVersion"))
        return None if spec is None else opened.object(vim.VirtualMachine, vm.key).ReconfigVM_Task(spec)

    return Job(f"changing card {', '.join(editors)} of VM {vm.name}", start)


# --- plugging in ------------------------------------------------------------------------------------------------------


def _plug_editor(work: Work, step: Plugin) -> Editor | None:
    picture = work.picture
    vm = lookup.vm_of(picture, step.card)
    lookup.card_of(vm, step.card)
    shown = picture.estate().cards.get(step.card)
    if shown is None:
        raise RetryableError(f"there is no VM {step.card.vm} that runs on a known host")
    group = picture.estate().groups.get((step.switch, step.group))
    if shown.problem is not None and shown.problem.blocks(group):
        raise TerminalError(f"VM {vm.name}: card {step.card.card} cannot be plugged: {shown.problem}")
    target = target_place(picture, picture.hosts[vm.host], step.switch, step.group)
    there = shown.backing
    if there is not None and (there.switch, there.group) == (step.switch, step.group):
        return None
    lookup.answering(picture.hosts[vm.host])

    def edit(device: Any, options: Mapping[str, str], change: Change) -> None:
        option = names.before_option(str(device.key))
        before = memory.read(options.get(option))
        if before is None or not _is_ours(picture, vm, device.backing):
            change.options[option] = memory.write(memory.of(device.backing))
        elif before.homeless:
            change.options[option] = memory.write(replace(before, homeless=False))
            _reconnect(device, before)
        device.backing = backing_for(target)
        change.edit(device)

    return edit


def target_place(picture: Picture, host: HostRecord, switch: SwitchName, name: str) -> Place:
    """Where a card on a host goes to be in that group of ours.

    Raises:
        ForeignObjectError: the group is not ours.
        RetryableError: it is not there, or does not reach the host.
    """
    ours = picture.estate().switches.get(switch)
    distributed = lookup.switch_named(picture, switch)
    if distributed is not None and (ours is None or ours.kind is SwitchKind.VDS):
        group = lookup.group_on(picture, distributed, name)
        if group is not None and group.mark is None:
            raise ForeignObjectError(f"{name} on {switch} is not ours")
        if group is None or host.key not in distributed.members:
            raise RetryableError(f"{name} on {switch} does not reach {host.name}")
        return Place(switch=distributed.uuid, group=group.key)
    native = lookup.native_group(picture, host, switch, name)
    if native is None:
        if name in host.groups:
            raise ForeignObjectError(f"{name} on {switch} is not ours")
        raise RetryableError(f"{name} on {switch} does not reach {host.name}")
    return Place(network=native)


def backing_for(place: Place) -> Any:
    """What a card's device says of its place; vSphere chooses the port."""
    if place.switch is not None:
        port = vim.dvs.PortConnection(switchUuid=place.switch, portgroupKey=place.group)
        return Card.DistributedVirtualPortBackingInfo(port=port)
    return Card.NetworkBackingInfo(deviceName=place.network, useAutoDetect=False)


def _is_ours(picture: Picture, vm: VmRecord, backing: Any) -> bool:
    place = cards.place_of(backing)
    if place is None:
        return False
    if place.group is not None:
        group = picture.groups.get(place.group)
        return group is not None and group.mark is not None
    return (
        not place.opaque
        and place.network in picture.hosts[vm.host].groups
        and names.read_standard_group(picture.owner, place.network or "") is not None
    )


def _reconnect(device: Any, before: Memory) -> None:
    if device.connectable is not None:
        device.connectable.connected = before.connected
        device.connectable.startConnected = before.starts


# --- giving back ------------------------------------------------------------------------------------------------------


def _giveback_editor(work: Work, step: Giveback) -> Editor | None:
    picture = work.picture
    vm = lookup.vm_of(picture, step.card)
    lookup.card_of(vm, step.card)
    host = lookup.answering(picture.hosts[vm.host])

    def edit(device: Any, options: Mapping[str, str], change: Change) -> None:
        option = names.before_option(str(device.key))
        before = memory.read(options.get(option))
        if not _is_ours(picture, vm, device.backing):
            if option in options:
                change.options[option] = None
            return
        if before is not None and before.place is not None and _is_there(picture, host, before.place):
            if before.homeless:
                _reconnect(device, before)
            device.backing = backing_for(before.place)
            change.options[option] = None
            change.edit(device)
        elif before is None or not before.homeless:
            _make_homeless(device, before, option, change)

    return edit


def _make_homeless(device: Any, before: Memory | None, option: str, change: Change) -> None:
    connectable = device.connectable
    left = Memory(
        place=before.place if before is not None else None,
        homeless=True,
        connected=bool(getattr(connectable, "connected", True)),
        starts=bool(getattr(connectable, "startConnected", True)),
    )
    if connectable is not None:
        connectable.connected = connectable.startConnected = False
    change.options[option] = memory.write(left)
    change.edit(device)


def _is_there(picture: Picture, host: HostRecord, place: Place) -> bool:
    if place.switch is not None:
        switch = picture.switches.get(picture.index.switch_by_uuid.get(place.switch, ""))
        return switch is not None and host.key in switch.members and place.group in picture.groups
    return place.network in host.groups
