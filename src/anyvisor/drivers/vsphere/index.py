# SPDX-License-Identifier: Apache-2.0
"""Which objects a change of another concerns, found without looking at all of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from anyvisor.drivers.vsphere.records import GroupRecord, VmRecord


class Index:
    """Keys by keys. Of VMs: on a host, in a group, by UUID, by task, by the appliance they are."""

    def __init__(self) -> None:
        self.on_host: defaultdict[str, set[str]] = defaultdict(set)
        self.in_group: defaultdict[str, set[str]] = defaultdict(set)
        self.by_uuid: dict[str, str] = {}
        self.vm_of_task: dict[str, str] = {}
        self.appliances: dict[str, set[str]] = {}
        """More than one where somebody cloned an appliance."""
        self.switch_by_uuid: dict[str, str] = {}
        self.groups_of: defaultdict[str, set[str]] = defaultdict(set)
        """Of a distributed switch."""
        self.groups_named: defaultdict[str, set[str]] = defaultdict(set)
        """Distributed groups."""

    def move(self, key: str, old: VmRecord | None, new: VmRecord | None) -> None:
        """A VM was `old` and is `new`."""
        if old is not None:
            self._forget(key, old)
        if new is not None:
            self._enter(key, new)

    def enter_group(self, key: str, old: GroupRecord | None, new: GroupRecord | None) -> None:
        """A distributed group was `old` and is `new`."""
        if old is not None:
            self.groups_of[old.switch].discard(key)
            self.groups_named[old.name].discard(key)
            if not self.groups_named[old.name]:
                del self.groups_named[old.name]
        if new is not None:
            self.groups_of[new.switch].add(key)
            self.groups_named[new.name].add(key)

    def _forget(self, key: str, vm: VmRecord) -> None:
        self.on_host[vm.host].discard(key)
        for group in _groups_of(vm):
            self.in_group[group].discard(key)
        if self.by_uuid.get(vm.uuid) == key:
            del self.by_uuid[vm.uuid]
        for task in vm.tasks:
            self.vm_of_task.pop(task, None)
        if vm.appliance is not None:
            claimants = self.appliances.get(vm.appliance, set())
            claimants.discard(key)
            if not claimants:
                self.appliances.pop(vm.appliance, None)

    def _enter(self, key: str, vm: VmRecord) -> None:
        self.on_host[vm.host].add(key)
        for group in _groups_of(vm):
            self.in_group[group].add(key)
        self.by_uuid[vm.uuid] = key
        self.vm_of_task.update(dict.fromkeys(vm.tasks, key))
        if vm.appliance is not None:
            self.appliances.setdefault(vm.appliance, set()).add(key)


def _groups_of(vm: VmRecord) -> Iterator[str]:
    for card in vm.cards:
        if card.place is not None and card.place.group is not None:
            yield card.place.group
