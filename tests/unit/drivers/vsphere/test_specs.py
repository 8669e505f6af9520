# SPDX-License-Identifier: Apache-2.0
"""Switches and groups: as they are written, so they are read; versions; what a clone is told."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import vim

from anyvisor.drivers.vsphere import clones, groups, hosts, specs
from anyvisor.drivers.vsphere.estate import batches
from anyvisor.drivers.vsphere.records import Place
from anyvisor.drivers.vsphere.rights import RIGHTS, lacking
from anyvisor.errors import TerminalError
from anyvisor.model.estate import (
    CardId,
    Deploy,
    DropGroup,
    Giveback,
    Group,
    InnerSwitch,
    MakeGroup,
    Plugin,
    Start,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.planner.facts import vds

OWNER = "8f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"
V = vim.dvs.VmwareDistributedVirtualSwitch


@st.composite
def wanted(draw):
    trunk = draw(st.booleans())
    return Group(
        switch="inner",
        name="g",
        key=draw(st.sampled_from(["port/a", "trunk", "network/n"])),
        vlan=None if trunk else draw(st.integers(0, 4094)),
        trunk=trunk,
        promiscuous=draw(st.booleans()),
        forged_transmits=draw(st.booleans()),
    )


def as_stored(spec, key="dvportgroup-1"):
    """What a vCenter that takes a spec literally would report."""
    config = vim.dvs.DistributedVirtualPortgroup.ConfigInfo(
        key=key,
        name=spec.name,
        description=spec.description,
        numPorts=spec.numPorts,
        type=spec.type,
        configVersion="1",
        policy=spec.policy,
        autoExpand=spec.autoExpand,
        defaultPortConfig=spec.defaultPortConfig,
        distributedVirtualSwitch=vim.dvs.VmwareDistributedVirtualSwitch("dvs-1", None),
    )
    return config, groups.group_record(key, {"config": config}, OWNER)


def said(group, record):
    return (group.vlan, group.trunk, group.promiscuous, group.forged_transmits) == (
        record.vlan,
        record.trunk,
        record.promiscuous,
        record.forged_transmits,
    )


@given(wanted(), wanted(), st.booleans())
def test_a_group_is_read_as_it_was_written_and_as_it_was_changed(first, second, can_learn):
    config, record = as_stored(specs.group_spec(OWNER, first, can_learn=can_learn))
    assert said(first, record)
    assert record.mark == first.key

    changed = specs.changed_group_spec(OWNER, second, config, can_learn=can_learn)

    assert changed.configVersion == "1"
    assert (changed.policy, changed.numPorts) == (config.policy, config.numPorts)
    _, record = as_stored(changed)
    assert said(second, record)
    assert record.mark == second.key


def test_learning_is_said_where_the_switch_can():
    trunk = Group(switch="i", name="t", key="trunk", trunk=True, mac_learning=True, forged_transmits=True)

    _, record = as_stored(specs.group_spec(OWNER, trunk, can_learn=True))

    assert (record.mac_learning, record.promiscuous) == (True, False)
    assert [vds.learns(version) for version in ("6.6.0", "8.0.3", "6.5.0", "")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("ranges", "trunk"),
    [([(1, 4094)], True), ([(0, 4094)], True), ([(1, 100), (200, 4094)], False), ([], False)],
)
def test_only_all_vlans_are_a_trunk(ranges, trunk):
    spec = V.TrunkVlanSpec(vlanId=[vim.NumericRange(start=a, end=b) for a, b in ranges])

    assert groups.vlan_of(spec) == (None, trunk)
    assert groups.vlan_of(V.PvlanSpec(pvlanId=5)) == (None, False)


@pytest.mark.parametrize(
    ("versions", "given", "expected"),
    [
        (["8.0.3"], "", "8.0.3"),
        (["8.0.2", "8.0.3"], "", "8.0.0"),
        (["7.0.3", "8.0.3"], "", "7.0.3"),
        (["6.7.0"], "", "6.6.0"),
        (["6.5.0", "9.0.0"], "", "6.5.0"),
        (["8.0.3"], "7.0.0", "7.0.0"),
        (["99.0.0"], "", "9.0.0"),
    ],
)
def test_the_oldest_decides_the_version(versions, given, expected):
    switch = InnerSwitch(name="i", kind=SwitchKind.VDS, hosts=(), version=given)

    assert specs.version_for(switch, versions) == expected


@pytest.mark.parametrize(
    ("versions", "given"), [(["5.5.0"], ""), (["6.7.0", "8.0.3"], "8.0.0"), (["odd"], "")]
)
def test_a_host_that_is_too_old_is_named(versions, given):
    switch = InnerSwitch(name="i", kind=SwitchKind.VDS, hosts=(), version=given)

    with pytest.raises(TerminalError, match=versions[0]):
        specs.version_for(switch, versions)


def test_a_switch_of_ours_is_marked_and_has_no_ports_of_its_own():
    spec = specs.switch_spec(OWNER, InnerSwitch(name="i", kind=SwitchKind.VDS, hosts=(), mtu=1600), "7.0.0")

    config = spec.configSpec
    assert (config.description, config.numStandalonePorts, config.maxMtu) == (
        f"anyvisor:{OWNER}:switch",
        0,
        1600,
    )
    assert spec.productInfo.version == "7.0.0"
    member = specs.member_spec("add", vim.HostSystem("host-1", None))
    assert member.backing.pnicSpec == []


def test_a_distributed_switch_is_read():
    host = vim.HostSystem("host-1", None)
    nic = vim.dvs.HostMember.PnicBacking(pnicSpec=[vim.dvs.HostMember.PnicSpec(pnicDevice="vmnic3")])
    config = V.ConfigInfo(
        uuid="50 0a",
        name="dvs%2f1",
        maxMtu=9000,
        productInfo=vim.dvs.ProductSpec(version="8.0.0"),
        description="anyvisor:other:switch",
        host=[vim.dvs.HostMember(config=vim.dvs.HostMember.ConfigInfo(host=host, backing=nic))],
        networkOffloadSpecId="nvidia",
    )

    record = groups.switch_record("dvs-1", {"config": config}, OWNER)

    assert (record.name, record.version, record.mtu, record.mark) == ("dvs/1", "8.0.0", 9000, None)
    assert (dict(record.members), record.offload) == ({"host-1": ("vmnic3",)}, True)
    assert groups.switch_record("dvs-1", {}, OWNER) is None
    assert groups.group_record("pg", {}, OWNER) is None


def test_a_standard_group_is_written_whole():
    trunk = Group(
        switch="i", name="t", key="trunk", trunk=True, promiscuous=True, forged_transmits=True, host="h"
    )

    spec = specs.standard_group_spec(trunk, "av-8f3a01c2-trunk=", "av-8f3a01c2")

    assert (spec.name, spec.vlanId, spec.vswitchName) == (
        "av-8f3a01c2-trunk=",
        hosts.TRUNK_VLAN,
        "av-8f3a01c2",
    )
    security = spec.policy.security
    assert (security.allowPromiscuous, security.macChanges, security.forgedTransmits) == (True, False, True)


# --- clones -----------------------------------------------------------------------------------------------------------

DEPLOY = Deploy(
    key="esx1/1",
    vm="app",
    host="esx1",
    template="golden",
    user_data="#cloud-config\n",
    switch="i",
    trunk_group="t",
)


def card(key):
    return vim.vm.device.VirtualE1000(key=key, macAddress="00:50:56:00:00:01", addressType="assigned")


@pytest.mark.parametrize(
    ("held", "places", "expected"),
    [(2, 3, ["edit", "edit", "add"]), (3, 1, ["edit", "remove", "remove"]), (0, 0, [])],
)
def test_cards_are_changed_added_and_removed(held, places, expected):
    devices = [vim.vm.device.VirtualDisk(key=2000), *(card(4000 + n) for n in range(held))]

    changes = clones.card_changes(devices, [Place(network=f"n{n}") for n in range(places)])

    assert [change.operation for change in changes] == expected
    for change in changes[:places]:
        assert (change.device.macAddress, change.device.addressType) == (None, "assigned")
        assert change.device.connectable.startConnected


def test_cards_get_the_addresses_by_which_the_guest_tells_them_apart():
    places = [Place(network=f"n{n}") for n in range(3)]
    macs = ["02:00:00:00:00:01", None, "02:00:00:00:00:03"]

    changes = clones.card_changes([card(4000)], places, macs)

    assert [(each.device.addressType, each.device.macAddress) for each in changes] == [
        ("manual", macs[0]),
        ("assigned", None),
        ("manual", macs[2]),
    ]


def test_a_clone_is_told_whose_it_is_and_not_started():
    spec = clones.clone_spec(OWNER, DEPLOY, vim.vm.RelocateSpec(), [], managed=True)

    told = {option.key: option.value for option in spec.config.extraConfig}
    assert (told["anyvisor.owner"], told["anyvisor.key"]) == (OWNER, "esx1/1")
    assert base64.b64decode(told["guestinfo.userdata"]) == b"#cloud-config\n"
    assert (spec.powerOn, spec.template) == (False, False)
    assert spec.config.managedBy.extensionKey == "org.anyvisor"
    assert clones.clone_spec(OWNER, DEPLOY, vim.vm.RelocateSpec(), [], managed=False).config.managedBy is None


def store(key, free_gib, *, shared, accessible=True):
    return vim.Datastore.Summary(
        datastore=vim.Datastore(key, None),
        freeSpace=free_gib << 30,
        multipleHostAccess=shared,
        accessible=accessible,
    )


def test_a_disk_goes_where_only_its_host_reaches_it_then_beside_the_template_then_where_there_is_room():
    local, full = store("local", 50, shared=False), store("full", 1, shared=False)
    san, big = store("san", 100, shared=True), store("big", 900, shared=True)
    gone = store("gone", 9000, shared=False, accessible=False)
    beside = [vim.Datastore("san", None)]

    def choose(*summaries):
        return clones.datastore({s.datastore._moId: s for s in summaries}, beside)

    assert choose(big, san, local, full, gone)._moId == "local"
    assert choose(big, san, full)._moId == "san"
    assert choose(big, full)._moId == "big"
    assert choose(full)._moId == "full"
    assert choose() is None


# --- steps, rights ----------------------------------------------------------------------------------------------------


def make(name, vlan=1):
    return MakeGroup(group=Group(switch="i", name=name, key=f"port/{name}", vlan=vlan))


def test_steps_of_one_kind_side_by_side_are_one_batch():
    a, b = CardId("vm", "1"), CardId("vm", "2")
    plugs = [Plugin(card=a, switch="i", group="x"), Plugin(card=b, switch="i", group="x")]
    again = Plugin(card=a, switch="i", group="y")
    drop = DropGroup(switch="i", name="x")

    assert list(batches([make("x"), make("y"), make("x"), *plugs, again, drop, drop])) == [
        [make("x"), make("y")],
        plugs,
        [again],
        [drop],
    ]
    assert list(batches([make("x"), make("x", 2)])) == [[make("x")], [make("x", 2)]]
    assert list(batches([Start(key="a"), Start(key="b")])) == [[Start(key="a")], [Start(key="b")]]
    assert list(batches([Giveback(card=a), Giveback(card=b)])) == [[Giveback(card=a), Giveback(card=b)]]
    assert list(batches([])) == []


def test_a_right_counts_where_it_is_held_everywhere():
    wanted = ["A", "B", "C"]

    assert lacking(wanted, "root", {"root": {"A", "B", "C"}}) == ()
    assert lacking(wanted, "root", {"root": {"A"}, "dc1": {"A", "B"}, "dc2": {"A", "B", "C"}}) == ("C",)
    assert lacking(wanted, "root", {"root": set()}) == ("A", "B", "C")


def test_every_right_is_documented():
    page = Path(__file__).parents[4] / "docs" / "reference" / "vsphere.md"
    text = page.read_text(encoding="utf-8")

    rows = [f"| `{right.name}` | {right.purpose} |{'' if right.vcenter else ' yes'} |" for right in RIGHTS]

    assert [row for row in rows if row not in text] == []
