# SPDX-License-Identifier: Apache-2.0
"""From our records of vSphere's objects to what the rest of anyvisor knows: hosts, cards, groups, appliances. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.drivers.vsphere import hosts, names
from anyvisor.drivers.vsphere.records import (
    CardRecord,
    GroupRecord,
    HostRecord,
    Licence,
    StandardGroup,
    SwitchRecord,
    VmRecord,
)
from anyvisor.model.estate import (
    Appliance,
    Backing,
    Card,
    CardId,
    CardProblem,
    Group,
    Health,
    InnerSwitch,
)
from anyvisor.model.host import Fact, Host, NativeSwitch
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName, SwitchName

NSX = SwitchName("nsx")
"""What a card on an opaque network is plugged into; nothing more is known of it."""


def standard_switch_name(owner: str, native: str) -> SwitchName:
    """What we call a host's own switch: our name if it is ours, else its own."""
    return SwitchName(names.read_standard_switch(owner, native) or native)


def standard_group_name(owner: str, native: str) -> str:
    """Likewise for a group on it."""
    told = names.read_standard_group(owner, native)
    return native if told is None else told[0]


def own_switch_name(owner: str, native: str) -> SwitchName | None:
    """What we call a standard switch of ours, None for another's."""
    name = names.read_standard_switch(owner, native)
    return None if name is None else SwitchName(name)


def is_own_group(owner: str, native: str) -> bool:
    """Whether a group on a standard switch is ours."""
    return names.read_standard_group(owner, native) is not None


def group_of(record: GroupRecord, switch: SwitchRecord) -> Group | None:
    """A distributed group of ours, None for another's."""
    if record.mark is None:
        return None
    return Group(
        switch=SwitchName(switch.name),
        name=record.name,
        key=record.mark,
        vlan=record.vlan,
        trunk=record.trunk,
        mac_learning=record.mac_learning,
        promiscuous=record.promiscuous,
        forged_transmits=record.forged_transmits,
    )


def standard_groups(owner: str, host: HostRecord) -> Iterable[Group]:
    """The groups of ours on a host's own switches."""
    for record in host.groups.values():
        told = names.read_standard_group(owner, record.name)
        if told is not None:
            yield _standard_group(owner, host, record, *told)


def _standard_group(owner: str, host: HostRecord, record: StandardGroup, name: str, key: str) -> Group:
    trunk = record.vlan == hosts.TRUNK_VLAN
    return Group(
        switch=standard_switch_name(owner, record.switch),
        name=name,
        key=key,
        vlan=None if trunk else record.vlan,
        trunk=trunk,
        promiscuous=record.promiscuous,
        forged_transmits=record.forged_transmits,
        host=HostName(host.name),
    )


def inner_switch(record: SwitchRecord, members: Iterable[str]) -> InnerSwitch:
    """A distributed switch of ours; `members` are the names of its hosts."""
    return InnerSwitch(
        name=SwitchName(record.name),
        kind=SwitchKind.VDS,
        hosts=tuple(HostName(name) for name in sorted(members)),
        version=record.version,
        mtu=record.mtu,
    )


def standard_inner_switch(name: SwitchName, held: Iterable[tuple[HostName, int]]) -> InnerSwitch:
    """Standard switches of ours of one name; `held` are their hosts, each with its MTU."""
    listed = sorted(held)
    return InnerSwitch(
        name=name,
        kind=SwitchKind.VSS,
        hosts=tuple(host for host, _ in listed),
        mtu=min(mtu for _, mtu in listed),
    )


def host_of(
    record: HostRecord,
    *,
    owner: str,
    manager: str,
    cluster: str | None,
    distributed: Iterable[SwitchRecord],
    facts: dict[str, Fact],
) -> Host:
    """A host with the switches that are not ours."""
    standard = (
        NativeSwitch(name=SwitchName(switch.name), kind=SwitchKind.VSS, uplinks=switch.uplinks)
        for switch in record.switches.values()
        if names.read_standard_switch(owner, switch.name) is None
    )
    vds = (
        NativeSwitch(
            name=SwitchName(switch.name),
            kind=SwitchKind.VDS,
            version=switch.version,
            uplinks=switch.members[record.key],
        )
        for switch in distributed
        if switch.mark is None
    )
    nsx = (NativeSwitch(name=SwitchName(name), kind=SwitchKind.NSX) for name in record.opaque)
    return Host(
        name=HostName(record.name),
        hypervisor=Hypervisor.ESXI,
        version=record.version,
        cluster=cluster,
        switches=tuple(sorted((*standard, *vds, *nsx), key=lambda switch: (switch.kind, switch.name))),
        nics=record.nics,
        facts=facts,
        manager=manager,
    )


def licence_facts(licence: Licence) -> dict[str, Fact]:
    """What is known of it; nothing of what is not."""
    facts: dict[str, Fact] = {}
    if licence.edition:
        facts["edition"] = licence.edition
    if licence.distributed is not None:
        facts["vds_license"] = licence.distributed
    return facts


def card_of(
    vm: VmRecord,
    card: CardRecord,
    *,
    host: str,
    moving_to: str | None,
    backing: Backing | None,
    on_nsx: bool,
) -> Card:
    """A card, with what stands against wiring it."""
    problem = None
    if card.passthrough:
        problem = CardProblem.PASSTHROUGH
    elif on_nsx:
        problem = CardProblem.NSX
    elif vm.fault_tolerant:
        problem = CardProblem.FAULT_TOLERANCE
    return Card(
        id=CardId(vm.uuid, card.key),
        mac=card.mac,
        vm=vm.name,
        host=HostName(host),
        moving_to=None if moving_to is None else HostName(moving_to),
        running=vm.running,
        connected=card.connected,
        backing=backing,
        problem=problem,
        homeless=card.homeless,
        taken=card.taken,
    )


def appliance_of(key: str, vm: VmRecord, host: HostRecord, trunk: CardRecord | None) -> Appliance:
    """An appliance of ours."""
    if not host.answers or not vm.answers:
        health = Health.LOST
    elif not vm.running:
        health = Health.OFF
    else:
        health = Health.STARTING if vm.booting else Health.RUNNING
    return Appliance(
        key=key,
        vm=vm.name,
        instance=vm.uuid,
        host=HostName(host.name),
        health=health,
        trunk=None if trunk is None else CardId(vm.uuid, trunk.key),
        trunk_connected=trunk is not None and trunk.connected,
    )
