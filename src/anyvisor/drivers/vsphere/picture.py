# SPDX-License-Identifier: Apache-2.0
"""The estate, put together from updates: what a change does not concern is not made anew. Pure.

`take` notes which hosts and VMs a change concerns; `estate` makes those again and leaves the others as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from anyvisor.drivers.vsphere import cards, groups, hosts, shown, store
from anyvisor.drivers.vsphere.index import Index
from anyvisor.drivers.vsphere.keeping import put, share
from anyvisor.drivers.vsphere.pinned import ClusterPins, cluster_pins, pin_names
from anyvisor.drivers.vsphere.records import (
    CardRecord,
    GroupRecord,
    HostRecord,
    Licence,
    Place,
    SwitchRecord,
    TaskRecord,
    VmRecord,
)
from anyvisor.drivers.vsphere.store import Item, RawStore
from anyvisor.model.estate import Appliance, Backing, Card, CardId, Estate, Group, InnerSwitch
from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.model.parts import Part

GroupId: TypeAlias = tuple[SwitchName, str]


class Picture:
    """Records by key, and the estate made of them. `vcenter` is False for an ESXi host without one."""

    def __init__(self, owner: str, manager: str, *, vcenter: bool, version: str = "") -> None:
        self.owner = owner
        self._manager = manager
        self.vcenter = vcenter
        self._version = version
        self._raw = RawStore()
        self.hosts: dict[str, HostRecord] = {}
        self.vms: dict[str, VmRecord] = {}
        self.switches: dict[str, SwitchRecord] = {}
        self.groups: dict[str, GroupRecord] = {}
        self.tasks: dict[str, TaskRecord] = {}
        self.licences: dict[str, Licence] = {}
        self.destinations: dict[str, str] = {}
        """The host that a task takes its VM to."""
        self._pins: dict[str, ClusterPins] = {}
        self._unpinnable: set[str] = set()
        self.index = Index()
        self._stale_hosts: set[str] = set()
        self._stale_vms: set[str] = set()
        self._stale_groups: set[str] = set()
        self._stale_switches = False
        self._shown_hosts: dict[str, Host] = {}
        self._shown_cards: dict[str, tuple[Card, ...]] = {}
        self._shown_groups: dict[str, tuple[Group, ...]] = {}
        self._cards: Part[CardId, Card] = Part()
        self._groups: Part[GroupId, Group] = Part()
        self._claims: defaultdict[GroupId, dict[str, Group]] = defaultdict(dict)
        """Groups by who shows them; more than one where switches have the same name."""
        self._claimed: set[str] = set()
        """VMs that were appliances of ours when the estate was made."""
        self._estate = Estate()

    # Taking changes in

    def take(self, updates: Iterable[Any]) -> None:
        """Changes as the property collector reports them."""
        for kind, key in self._raw.update(updates):
            values = self._raw.values(Item(kind, key))
            match kind:
                case store.HOST:
                    self._host(key, None if values is None else hosts.host_record(key, values))
                case store.VM:
                    self._vm(key, None if values is None else cards.vm_record(key, values, self.owner))
                case store.SWITCH:
                    self._switch(
                        key, None if values is None else groups.switch_record(key, values, self.owner)
                    )
                case store.GROUP:
                    self._group(key, None if values is None else groups.group_record(key, values, self.owner))
                case store.TASK:
                    self._task(key, None if values is None else cards.task_record(key, values))
                case _:
                    self._pinning(key, values)

    def learn(self, licences: Mapping[str, Licence], destinations: Mapping[str, str]) -> None:
        """What had to be asked for apart: licences by host, where migrations lead by task."""
        self._stale_hosts |= {host for host, told in licences.items() if self.licences.get(host) != told}
        self.licences.update(licences)
        self.destinations.update(destinations)
        self._stale_vms |= {
            self.index.vm_of_task[task] for task in destinations if task in self.index.vm_of_task
        }

    def _pinning(self, key: str, values: Mapping[str, Any] | None) -> None:
        clustered = values is not None and values.get(store.CLUSTERED)
        put(self._pins, key, cluster_pins(values.get(store.CONFIG)) if values and clustered else None)
        self._unpinnable.discard(key)
        self._stale_hosts |= self._members(key)

    def cannot_pin(self, cluster: str) -> None:
        """It refuses rules, and moves nothing by itself: what is there counts as pinned until it is changed."""
        self._unpinnable.add(cluster)
        self._stale_hosts |= self._members(cluster)

    def _members(self, parent: str) -> set[str]:
        return {host for host, record in self.hosts.items() if record.parent == parent}

    def unlicensed(self) -> set[str]:
        """Hosts whose licence was not asked for yet."""
        return self.hosts.keys() - self.licences.keys()

    def undirected(self) -> list[tuple[str, TaskRecord]]:
        """Migrations under way of which it is not known where they lead, with their VMs."""
        return [
            (vm, task)
            for key, task in self.tasks.items()
            if task.migrates and task.running and key not in self.destinations
            if (vm := self.index.vm_of_task.get(key)) is not None
        ]

    def _host(self, key: str, record: HostRecord | None) -> None:
        old = put(self.hosts, key, record)
        if old == record:
            return
        if record is None:
            self.licences.pop(key, None)
        self._stale_hosts.add(key)
        self._stale_groups.add(key)
        self._stale_switches = True
        if old is None or record is None or _seen_by_vms(old) != _seen_by_vms(record):
            self._stale_vms |= self.index.on_host[key]

    def _vm(self, key: str, record: VmRecord | None) -> None:
        old = put(self.vms, key, record)
        if old == record:
            return
        self.index.move(key, old, record)
        self._stale_vms.add(key)
        self._stale_hosts |= {vm.host for vm in (old, record) if vm is not None}

    def _switch(self, key: str, record: SwitchRecord | None) -> None:
        old = put(self.switches, key, record)
        if old == record:
            return
        self._stale_switches = True
        self.index.switch_by_uuid.pop(old.uuid if old else "", None)
        if record is not None:
            self.index.switch_by_uuid[record.uuid] = key
        for switch in (old, record):
            self._stale_hosts |= set(switch.members) if switch is not None else set()
        if old is None or record is None or (old.name, old.mark) != (record.name, record.mark):
            for group in self.index.groups_of[key]:
                self._stale_groups.add(group)
                self._stale_vms |= self.index.in_group[group]

    def _group(self, key: str, record: GroupRecord | None) -> None:
        old = put(self.groups, key, record)
        if old == record:
            return
        self.index.enter_group(key, old, record)
        self._stale_groups.add(key)
        self._stale_vms |= self.index.in_group[key]
        if (old is not None and old.nsx) or (record is not None and record.nsx):
            self._stale_hosts |= self.hosts.keys()

    def _task(self, key: str, record: TaskRecord | None) -> None:
        if put(self.tasks, key, record) == record:
            return
        if record is None or not record.running:
            self.destinations.pop(key, None)
        if (vm := self.index.vm_of_task.get(key)) is not None:
            self._stale_vms.add(vm)

    # Giving the estate

    def estate(self) -> Estate:
        """The estate as it is now; the same object as long as nothing changed."""
        if not (self._stale_hosts or self._stale_vms or self._stale_groups or self._stale_switches):
            return self._estate
        for key in self._stale_groups:
            self._show_groups(key)
        for key in self._stale_hosts:
            put(self._shown_hosts, key, self._host_from(key))
        for key in self._stale_vms:
            self._show_cards(key)
        before = self._estate
        self._estate = Estate(
            hosts=(
                {host.name: host for host in self._shown_hosts.values()}
                if self._stale_hosts
                else before.hosts
            ),
            cards=self._cards.snapshot(),
            groups=self._groups.snapshot(),
            switches=self._inner_switches() if self._stale_switches else before.switches,
            appliances=self._shown_appliances(before),
        )
        self._stale_hosts, self._stale_vms, self._stale_groups = set(), set(), set()
        self._stale_switches = False
        return self._estate

    def _shown_appliances(self, before: Estate) -> Mapping[str, Appliance]:
        """All that an appliance is shown by makes its VM stale, or its host: that, or its cluster, pins it."""
        claimed = {vm for claimants in self.index.appliances.values() for vm in claimants}
        hosts = {self.vms[vm].host for vm in claimed}
        if self._stale_vms.isdisjoint(claimed | self._claimed) and self._stale_hosts.isdisjoint(hosts):
            return before.appliances
        self._claimed = claimed
        return dict(self._appliances())

    def _show_groups(self, key: str) -> None:
        old, new = self._shown_groups.get(key, ()), self._groups_from(key) or ()
        put(self._shown_groups, key, new or None)
        for group in old:
            self._claims[group.identity].pop(key, None)
        for group in new:
            self._claims[group.identity][key] = group
        for identity in {group.identity for group in (*old, *new)}:
            claims = self._claims[identity]
            if not claims:
                del self._claims[identity]
            share(self._groups, identity, next(reversed(claims.values()), None))

    def in_cluster(self, host: HostRecord) -> bool:
        """Whether the host is in a cluster, not alone."""
        parent = self._raw.values(Item(store.COMPUTE, host.parent)) or {}
        return bool(parent.get(store.CLUSTERED))

    def shown_group(self, key: str) -> Group | None:
        """A distributed group of ours as the estate has it."""
        return next(iter(self._groups_from(key) or ()), None)

    def _show_cards(self, key: str) -> None:
        old, new = self._shown_cards.pop(key, ()), self._cards_from(key)
        if new:
            self._shown_cards[key] = new
        fresh = {card.id: card for card in new}
        for card in old:
            if card.id not in fresh:
                share(self._cards, card.id, None)
        for card in new:
            share(self._cards, card.id, card)

    def _groups_from(self, key: str) -> tuple[Group, ...] | None:
        host, record = self.hosts.get(key), self.groups.get(key)
        if host is not None:
            return tuple(shown.standard_groups(self.owner, host)) or None
        switch = self.switches.get(record.switch) if record is not None else None
        made = shown.group_of(record, switch) if record is not None and switch is not None else None
        return None if made is None else (made,)

    def _host_from(self, key: str) -> Host | None:
        record = self.hosts.get(key)
        if record is None:
            return None
        parent = self._raw.values(Item(store.COMPUTE, record.parent)) or {}
        member_of = [switch for switch in self.switches.values() if key in switch.members]
        offload = any(switch.offload for switch in member_of)
        nsx = bool(record.opaque) or any(
            self.groups[group].nsx for switch in member_of for group in self.index.groups_of[switch.key]
        )
        return shown.host_of(
            record,
            owner=self.owner,
            manager=self._manager,
            cluster=hosts.plain(parent.get("name")) if parent.get(store.CLUSTERED) else None,
            distributed=member_of,
            facts={
                "vcenter": self.vcenter,
                **({"vcenter_version": self._version} if self.vcenter and self._version else {}),
                "connection": record.connection,
                "maintenance": record.maintenance,
                "nsx": nsx,
                **({"vds_offload": True} if offload else {}),
                **({"dpu_owner": "esxi"} if any(nic.dpu for nic in record.nics) else {}),
                **shown.licence_facts(self.licences.get(key, Licence())),
                **hosts.load_facts(record, (self.vms[vm] for vm in self.index.on_host[key])),
            },
        )

    def _cards_from(self, key: str) -> tuple[Card, ...]:
        vm = self.vms.get(key)
        host = self.hosts.get(vm.host) if vm is not None else None
        if vm is None or host is None or vm.template:
            return ()
        leads_to = self._leads_to(vm)
        return tuple(
            shown.card_of(
                vm,
                card,
                host=host.name,
                moving_to=leads_to,
                backing=self.backing(card.place, host),
                on_nsx=self._on_nsx(card.place),
            )
            for card in vm.cards
        )

    def _leads_to(self, vm: VmRecord) -> str | None:
        for key in vm.tasks:
            task = self.tasks.get(key)
            target = (
                self.destinations.get(key) if task is not None and task.migrates and task.running else None
            )
            if target is not None and target != vm.host and target in self.hosts:
                return self.hosts[target].name
        return None

    def backing(self, place: Place | None, host: HostRecord) -> Backing | None:
        """Where a card is plugged, in our words; None if it is plugged nowhere that the host knows."""
        if place is None:
            return None
        if place.opaque:
            return Backing(switch=shown.NSX, kind=SwitchKind.NSX, group=place.network or "")
        if place.switch is not None:
            switch = self.switches.get(self.index.switch_by_uuid.get(place.switch, ""))
            group = self.groups.get(place.group or "")
            if switch is None or group is None:
                return None
            return Backing(
                switch=SwitchName(switch.name), kind=SwitchKind.VDS, group=group.name, port=place.port or None
            )
        standard = host.groups.get(place.network or "")
        if standard is None:
            return None
        return Backing(
            switch=shown.standard_switch_name(self.owner, standard.switch),
            kind=SwitchKind.VSS,
            group=shown.standard_group_name(self.owner, standard.name),
        )

    def _on_nsx(self, place: Place | None) -> bool:
        group = self.groups.get(place.group or "") if place is not None else None
        # In a segment of ours it is where it belongs.
        return place is not None and (
            place.opaque or (group is not None and group.nsx and group.mark is None)
        )

    def _inner_switches(self) -> dict[SwitchName, InnerSwitch]:
        made: dict[SwitchName, InnerSwitch] = {}
        for switch in self.switches.values():
            if switch.mark is not None:
                members = [self.hosts[host].name for host in switch.members if host in self.hosts]
                made[SwitchName(switch.name)] = shown.inner_switch(switch, members)
        standard: defaultdict[SwitchName, list[tuple[HostName, int]]] = defaultdict(list)
        for host in self.hosts.values():
            for own in host.switches.values():
                name = shown.own_switch_name(self.owner, own.name)
                if name is not None:
                    standard[name].append((HostName(host.name), own.mtu))
        for name, held in standard.items():
            made.setdefault(name, shown.standard_inner_switch(name, held))
        return made

    def _appliances(self) -> Iterable[tuple[str, Appliance]]:
        for key, claimants in self.index.appliances.items():
            for vm in sorted(claimants):
                record = self.vms[vm]
                host = self.hosts.get(record.host)
                if host is not None and not record.template:
                    trunk, pinned = self.trunk_of(record), self._pinned(record, host)
                    yield key, shown.appliance_of(key, record, host, trunk, pinned=pinned)
                    break

    def _pinned(self, vm: VmRecord, host: HostRecord) -> bool:
        """Whether the cluster holds it on that host, or the host starts it."""
        if not self.in_cluster(host):
            return host.autostart is None or vm.key in host.starts
        pins = self._pins.get(host.parent, ClusterPins())
        held = pins.hold(vm.key, host.key, pin_names(self.owner, host.name))
        return held or host.parent in self._unpinnable

    def trunk_of(self, vm: VmRecord) -> CardRecord | None:
        """The card of a VM that is in a trunk group of ours."""
        host = self.hosts.get(vm.host)
        for card in vm.cards:
            group = self.groups.get(card.place.group or "") if card.place is not None else None
            if group is not None and group.mark is not None and group.trunk:
                return card
            name = card.place.network if card.place is not None else None
            own = host.groups.get(name or "") if host is not None else None
            if own is not None and own.vlan == hosts.TRUNK_VLAN and shown.is_own_group(self.owner, own.name):
                return card
        return None


def _seen_by_vms(host: HostRecord) -> tuple[object, ...]:
    return (host.name, host.groups, host.connection)
