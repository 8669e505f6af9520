# SPDX-License-Identifier: Apache-2.0
"""What `FakeEstate` does for each step, and what it refuses as a real manager would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import (
    Backing,
    Card,
    CardId,
    Deploy,
    DropGroup,
    DropSwitch,
    EstateStep,
    Fence,
    Giveback,
    Group,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Pin,
    Plugin,
    Remove,
    Start,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.planner.facts.version import Version, parse
from anyvisor.testing.estate_world import EstateWorld, FakeVm, GroupKey

_NEWEST_SWITCH = (
    ((9, 0, 0), "9.0.0"),
    ((8, 0, 3), "8.0.3"),
    ((8, 0, 0), "8.0.0"),
    ((7, 0, 3), "7.0.3"),
    ((7, 0, 2), "7.0.2"),
    ((7, 0, 0), "7.0.0"),
    ((6, 7, 0), "6.6.0"),
    ((6, 5, 0), "6.5.0"),
)
"""The newest distributed switch that a host takes part in, by the host's version."""


class FakeSteps:
    """Changes the world; each step answers with the hosts of whom something changed."""

    def __init__(self, world: EstateWorld) -> None:
        self.world = world

    def carry_out(self, step: EstateStep) -> set[HostName]:
        """One step."""
        match step:
            case MakeSwitch(switch=switch):
                return self._make_switch(switch)
            case DropSwitch(name=name):
                return self._drop_switch(name)
            case MakeGroup(group=group):
                return self._make_group(group)
            case DropGroup(switch=switch, name=name, host=host):
                return self._drop_group((switch, name, host))
            case Plugin(card=card, switch=switch, group=name):
                return self._plug(card, switch, name)
            case Giveback(card=card):
                return self._give_back(card)
            case Deploy():
                return self._deploy(step)
            case Pin(key=key):
                return self._pin(key)
            case Start(key=key):
                return self._start(key)
            case Remove(key=key):
                return self._remove(key)
            case Fence(key=key, off=off):
                return self._fence(key, off=off)

    def _make_switch(self, switch: InnerSwitch) -> set[HostName]:
        world = self.world
        held = world.switches[switch.name].hosts if switch.name in world.switches else ()
        for host in switch.hosts:
            if host not in held:
                self._reached(host)
            if any(s.name == switch.name for s in world.hosts[host].switches):
                raise ForeignObjectError(f"{host} has a switch {switch.name} that is not ours")
        old = world.switches.get(switch.name)
        if old is not None and old.kind is not switch.kind:
            raise TerminalError(f"{switch.name} is a switch of another kind")
        hosts = (*(old.hosts if old else ()), *(h for h in switch.hosts if old is None or h not in old.hosts))
        version = ""
        if switch.kind is SwitchKind.VDS:
            version = old.version if old else switch.version or self._newest_for(hosts)
            self._can_all(hosts, version)
        world.switches[switch.name] = replace(switch, hosts=hosts, version=version)
        return set(hosts)

    def _newest_for(self, hosts: Iterable[HostName]) -> str:
        oldest = min(self._version(host) for host in hosts)
        return next((text for version, text in _NEWEST_SWITCH if oldest >= version), "6.0.0")

    def _can_all(self, hosts: Iterable[HostName], version: str) -> None:
        for host in hosts:
            if (parse(self._newest_for([host])) or (0,)) < (parse(version) or (0,)):
                raise TerminalError(f"{host} is too old for a distributed switch of version {version}")

    def _version(self, host: HostName) -> Version:
        return parse(self.world.hosts[host].version) or (8, 0, 3)

    def _drop_switch(self, name: SwitchName) -> set[HostName]:
        world = self.world
        if name not in world.switches:
            return set()
        used = [card for card, backing in world.plugs() if backing.switch == name]
        if used:
            raise RetryableError(f"{name} is in use by VM {used[0].vm}")
        if any(key[0] == name for key in world.foreign):
            raise ForeignObjectError(f"{name} has groups that are not ours")
        world.groups = {key: group for key, group in world.groups.items() if group.switch != name}
        return set(world.switches.pop(name).hosts)

    def _make_group(self, group: Group) -> set[HostName]:
        world = self.world
        hosts = self._hosts_of(group.switch)
        if not hosts or (group.host is not None and group.host not in hosts):
            raise RetryableError(f"there is no switch {group.switch} for {group.name}")
        kind = world.kind_of(group.switch, group.host or hosts[0])
        if (kind is SwitchKind.VSS) != (group.host is not None):
            raise TerminalError(f"{group.name}: a group has a host on a standard switch, and only there")
        if group.mac_learning and not self._learns(group.switch, kind):
            raise TerminalError(f"{group.name}: {group.switch} cannot learn MAC addresses")
        if (group.vlan is None) is not group.trunk:
            raise TerminalError(f"{group.name}: a group is a trunk or has a VLAN")
        key = (group.switch, group.name, group.host)
        if group.entity:
            raise TerminalError(f"{group.name}: a segment is made in its own controller")
        taken = [k for k in (*world.foreign, *world.groups) if k[1:] == key[1:] and k != key]
        if key in world.foreign or (kind is SwitchKind.VDS and taken):
            raise ForeignObjectError(f"there is a group {group.name} already")
        world.groups[key] = group
        return {card.host for card in world.users(key)}

    def _learns(self, switch: SwitchName, kind: SwitchKind | None) -> bool:
        inner = self.world.switches.get(switch)
        known = (s.version for h in self.world.hosts.values() for s in h.switches if s.name == switch)
        version = inner.version if inner is not None else next(known, "")
        return kind is SwitchKind.VDS and (parse(version) or (6, 6, 0)) >= (6, 6, 0)

    def _hosts_of(self, switch: SwitchName) -> list[HostName]:
        return [host for host in self.world.hosts if self.world.kind_of(switch, host) is not None]

    def _drop_group(self, key: GroupKey) -> set[HostName]:
        if key in self.world.foreign:
            raise ForeignObjectError(f"{key[1]} on {key[0]} is not ours")
        if key in self.world.groups and self.world.groups[key].entity:
            raise TerminalError(f"{key[1]}: a segment is removed in its own controller")
        if users := self.world.users(key):
            raise RetryableError(f"{key[1]} on {key[0]} is in use by VM {users[0].vm}")
        self.world.groups.pop(key, None)
        return set()

    def _plug(self, card: CardId, switch: SwitchName, name: str) -> set[HostName]:
        world = self.world
        held = world.card(card)
        key = world.group_key(switch, name, held.host)
        if key in world.foreign:
            raise ForeignObjectError(f"{name} on {switch} is not ours")
        if held.problem is not None and held.problem.blocks(world.groups.get(key)):
            raise TerminalError(f"VM {held.vm}: card {card.card} cannot be plugged: {held.problem}")
        if held.backing is not None and (held.backing.switch, held.backing.group) == (switch, name):
            return set()
        self._reached(held.host)
        place = Backing(switch=switch, kind=SwitchKind.VDS, group=name)
        placed = world.placed(place, held.host)
        before = world.vms[card.vm].before
        if card.card not in before or not self._ours(held):
            before[card.card] = held.backing
        connected = held.connected or held.homeless
        world.set_card(replace(held, backing=placed, connected=connected, homeless=False))
        return {held.host}

    def _ours(self, card: Card) -> bool:
        place = card.backing
        return place is not None and (
            self.world.group_key(place.switch, place.group, card.host) in self.world.groups
        )

    def _give_back(self, card: CardId) -> set[HostName]:
        world = self.world
        held = world.card(card)
        before = world.vms[card.vm].before
        if not self._ours(held):
            return set()
        self._reached(held.host)
        place = before.get(card.card)
        if place is None or not world.exists(place, held.host):
            world.set_card(replace(held, connected=False, homeless=True))
            return set() if held.homeless else {held.host}
        del before[card.card]
        placed = world.placed(replace(place, port=None), held.host)
        connected = held.connected or held.homeless
        world.set_card(replace(held, backing=placed, connected=connected, homeless=False))
        return {held.host}

    def _deploy(self, step: Deploy) -> set[HostName]:
        world = self.world
        if any(vm.appliance == step.key for vm in world.vms.values()):
            return self._pin(step.key) | self._start(step.key)
        template = world.named(step.template)
        if template is None or not template.template:
            raise TerminalError(f"there is no template {step.template}")
        if world.named(step.vm) is not None:
            raise ForeignObjectError(f"there is a VM {step.vm} already")
        self._can_start(step.host)
        trunk = Backing(switch=step.switch, kind=SwitchKind.VDS, group=step.trunk_group)
        places = [*(self._operators(name, step.host) for name in step.networks.values()), trunk]
        for place in places:
            world.placed(place, step.host)
        vm = world.new_vm(step.vm, step.host, places)
        vm.appliance, vm.user_data, vm.pinned = step.key, step.user_data, True
        return {step.host}

    def _operators(self, name: str, host: HostName) -> Backing:
        found = (key for key in self.world.foreign if key[1] == name and key[2] in (None, host))
        key = next((key for key in found if self.world.kind_of(key[0], host) is not None), None)
        if key is None:
            raise TerminalError(f"there is no group {name} on {host}")
        return Backing(switch=key[0], kind=SwitchKind.VDS, group=name)

    def _pin(self, key: str) -> set[HostName]:
        vm = self.by_key(key)
        self._reached(vm.host)
        changed = set() if vm.pinned else {vm.host}
        vm.pinned = True
        return changed

    def _start(self, key: str) -> set[HostName]:
        vm = self.by_key(key)
        if vm.running:
            return set()
        self._can_start(vm.host)
        self.power(vm, on=True)
        return {vm.host}

    def _remove(self, key: str) -> set[HostName]:
        found = [vm for vm in self.world.vms.values() if vm.appliance == key]
        for vm in found:
            self._reached(vm.host)
            del self.world.vms[vm.uuid]
        return {vm.host for vm in found}

    def _fence(self, key: str, *, off: bool) -> set[HostName]:
        if off and not any(vm.appliance == key for vm in self.world.vms.values()):
            return set()
        vm = self.by_key(key)
        self._reached(vm.host)
        trunk = self.trunk_of(vm)
        if trunk is None:
            raise TerminalError(f"appliance {key} has no trunk")
        self.world.set_card(replace(trunk, connected=not off))
        return {vm.host}

    def trunk_of(self, vm: FakeVm) -> Card | None:
        """The card of that VM in a trunk group of ours."""
        for card in vm.cards.values():
            place = card.backing
            key = self.world.group_key(place.switch, place.group, vm.host) if place else None
            if key is not None and key in self.world.groups and self.world.groups[key].trunk:
                return card
        return None

    def _reached(self, host: HostName) -> None:
        if host not in self.world.hosts:
            raise TerminalError(f"there is no host {host}")
        if host in self.world.lost:
            raise RetryableError(f"{host} does not answer")

    def _can_start(self, host: HostName) -> None:
        self._reached(host)
        if host in self.world.refuses:
            raise RetryableError(f"{host} is in maintenance")

    def by_key(self, key: str) -> FakeVm:
        """The appliance of that key."""
        for vm in self.world.vms.values():
            if vm.appliance == key:
                return vm
        raise RetryableError(f"there is no appliance {key}")

    def power(self, vm: FakeVm, *, on: bool) -> None:
        """Switch it on or off."""
        vm.running = on
        vm.cards = {key: replace(card, running=on) for key, card in vm.cards.items()}
