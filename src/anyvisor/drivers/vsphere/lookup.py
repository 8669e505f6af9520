# SPDX-License-Identifier: Apache-2.0
"""Finding in the picture what a step speaks of, or saying why it cannot be carried out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.records import CardRecord, GroupRecord, HostRecord, SwitchRecord, VmRecord
from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.estate import CardId
from anyvisor.model.names import HostName, SwitchName


def known_host(picture: Picture, name: HostName) -> HostRecord:
    """The host, whether it answers or not.

    Raises:
        TerminalError: there is none.
    """
    found = next((host for host in picture.hosts.values() if host.name == name), None)
    if found is None:
        raise TerminalError(f"there is no host {name}")
    return found


def host_named(picture: Picture, name: HostName) -> HostRecord:
    """The host.

    Raises:
        TerminalError: there is none.
        RetryableError: it does not answer.
    """
    return answering(known_host(picture, name))


def answering(host: HostRecord) -> HostRecord:
    """The host.

    Raises:
        RetryableError: it does not answer.
    """
    if not host.answers:
        raise RetryableError(f"{host.name} does not answer: {host.connection}")
    return host


def switch_named(picture: Picture, name: SwitchName) -> SwitchRecord | None:
    """The distributed switch; one of ours, if there are several of that name."""
    found = [switch for switch in picture.switches.values() if switch.name == name]
    return min(found, key=lambda switch: (switch.mark is None, switch.key), default=None)


def native_switch(picture: Picture, host: HostRecord, name: SwitchName) -> str | None:
    """What a standard switch of that name is really called on the host; None if it has none."""
    for native in host.switches:
        if native == name or names.read_standard_switch(picture.owner, native) == name:
            return native
    return None


def native_group(picture: Picture, host: HostRecord, switch: SwitchName, name: str) -> str | None:
    """Likewise for a group of ours on it."""
    native = native_switch(picture, host, switch)
    for group in host.groups.values():
        told = names.read_standard_group(picture.owner, group.name)
        if told is not None and told[0] == name and group.switch == native:
            return group.name
    return None


def groups_named(picture: Picture, name: str) -> Iterator[GroupRecord]:
    """The distributed groups of that name."""
    return (picture.groups[key] for key in sorted(picture.index.groups_named.get(name, ())))


def group_on(picture: Picture, switch: SwitchRecord, name: str) -> GroupRecord | None:
    """The group of that name on that switch."""
    return next((group for group in groups_named(picture, name) if group.switch == switch.key), None)


def vm_of(picture: Picture, card: CardId) -> VmRecord:
    """The VM of a card.

    Raises:
        RetryableError: there is none; who asked has an old picture.
    """
    key = picture.index.by_uuid.get(card.vm)
    if key is None:
        raise RetryableError(f"there is no VM {card.vm}")
    return picture.vms[key]


def card_of(vm: VmRecord, card: CardId) -> CardRecord:
    """The card.

    Raises:
        RetryableError: the VM has it no more.
    """
    found = next((each for each in vm.cards if each.key == card.card), None)
    if found is None:
        raise RetryableError(f"VM {vm.name} has no card {card.card}")
    return found


def appliance(picture: Picture, key: str) -> VmRecord | None:
    """The VM that is that appliance; of several that say so the one that the estate shows."""
    for vm in sorted(picture.index.appliances.get(key, ())):
        record = picture.vms[vm]
        if not record.template and record.host in picture.hosts:
            return record
    return None


def users(picture: Picture, group: GroupRecord) -> list[VmRecord]:
    """The VMs and templates with a card in a distributed group."""
    return [picture.vms[vm] for vm in sorted(picture.index.in_group[group.key])]


def standard_users(picture: Picture, host: HostRecord, native: str) -> list[VmRecord]:
    """The VMs on a host with a card in a standard group."""
    on_host = (picture.vms[vm] for vm in sorted(picture.index.on_host[host.key]))
    return [vm for vm in on_host if any(card.place and card.place.network == native for card in vm.cards)]
