# SPDX-License-Identifier: Apache-2.0
"""Inner switches and port groups as vCenter has them afterwards."""

import pytest
from pyVmomi import vim

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.estate import DropGroup, DropSwitch, Giveback, Group, MakeGroup
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName

ESX1, ESX2, OLD = HostName("esx1"), HostName("esx2"), HostName("old1")


def switch(running, name):
    return next(each for each in running.control.state().switches if each.name == name)


def group(running, name):
    return next(each for each in running.control.state().port_groups if each.name == name)


def test_an_inner_switch_has_no_wire(estate, running, steps):
    estate.apply([steps.switch()])

    made = switch(running, steps.inner)
    hosts = {each.key: each.name for each in running.control.state().hosts}
    assert made.mtu == 9000
    assert {(hosts[member.host], member.pnics) for member in made.members} == {("esx1", ()), ("esx2", ())}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (("8.0.3", "8.0.3"), "8.0.3"),
        (("8.0.1", "7.0.3"), "7.0.3"),
        (("6.7.0", "8.0.3"), "6.6.0"),
        (("6.5.0", "6.7.0"), "6.5.0"),
    ],
)
def test_the_oldest_host_decides_the_version(data_center, elsewhere, steps, versions, expected):
    (dc,) = data_center["datacenters"]
    for host, version in zip(dc["hosts"], versions, strict=False):
        host["version"] = version
    dc["distributed_switches"], dc["vms"] = [], []
    estate = elsewhere(data_center)

    estate.apply([steps.switch()])

    assert switch(estate.vcenter, steps.inner).version == expected
    assert estate.estate().switches[steps.inner].version == expected


def test_a_host_that_is_too_old_or_has_no_licence_cannot_join(estate, steps):
    estate.apply([steps.switch(ESX1)])
    with pytest.raises(TerminalError, match="old1 is too old"):
        estate.apply([steps.switch(ESX1, OLD)])

    with pytest.raises(TerminalError, match="licence"):
        estate.apply([steps.switch(OLD, name="av-8f3a01c2-old1")])


def test_an_unknown_host_is_named(estate, steps):
    with pytest.raises(TerminalError, match="no host esx9"):
        estate.apply([steps.switch(HostName("esx9"))])


def test_the_mtu_is_changed(estate, running, steps):
    estate.apply([steps.switch(), steps.switch(mtu=1600)])

    assert switch(running, steps.inner).mtu == 1600
    assert estate.estate().switches[steps.inner].mtu == 1600


def test_another_installation_touches_nothing_of_ours(estate, connect, steps, machines):
    estate.apply([steps.switch(), steps.group("x", 5)])
    other = connect(owner="77777777-0000-0000-0000-000000000000")

    assert (dict(other.estate().groups), dict(other.estate().switches)) == ({}, {})
    with pytest.raises(ForeignObjectError):
        other.apply([steps.switch()])
    with pytest.raises(ForeignObjectError):
        other.apply([steps.group("x", 6)])
    with pytest.raises(ForeignObjectError):
        other.apply([DropGroup(switch=steps.inner, name="av-8f3a01c2-x")])
    other.apply([DropSwitch(name=steps.inner)])

    assert set(estate.estate().groups) == {(steps.inner, "av-8f3a01c2-x")}


def test_an_access_group_lets_nothing_but_its_vm_speak(estate, running, steps):
    estate.apply([steps.switch(), steps.group("x", 101)])

    made = group(running, "av-8f3a01c2-x")
    security = made.security
    assert (made.vlan, made.trunk, made.blocked) == (101, (), False)
    assert (security.promiscuous, security.mac_changes, security.forged_transmits) == (False, False, False)
    assert not made.mac_learning


def test_a_trunk_learns_or_is_promiscuous(estate, running, steps):
    estate.apply([steps.switch(), steps.trunk()])
    made = group(running, "av-8f3a01c2-trunk")
    assert (made.trunk, made.mac_learning, made.unicast_flooding) == (((1, 4094),), True, True)
    assert (made.security.promiscuous, made.security.forged_transmits) == (False, True)

    estate.apply([steps.trunk(learns=False)])

    made = group(running, "av-8f3a01c2-trunk")
    assert (made.mac_learning, made.security.promiscuous, made.security.forged_transmits) == (
        False,
        True,
        True,
    )


def test_an_old_switch_cannot_learn_and_its_trunk_is_promiscuous(estate, running, vc, steps):
    from anyvisor.drivers.vsphere.names import mark

    old = vim.DistributedVirtualSwitch.CreateSpec(
        configSpec=vim.dvs.VmwareDistributedVirtualSwitch.ConfigSpec(
            name="av-8f3a01c2-older", description=mark(steps.owner, "switch")
        ),
        productInfo=vim.dvs.ProductSpec(version="6.5.0"),
    )
    vc.done(vc.content.rootFolder.childEntity[0].networkFolder.CreateDVS_Task(old))

    with pytest.raises(TerminalError, match="cannot learn"):
        estate.apply([steps.trunk(switch="av-8f3a01c2-older")])
    estate.apply([steps.trunk(switch="av-8f3a01c2-older", learns=False)])

    made = group(running, "av-8f3a01c2-trunk")
    assert (made.security.promiscuous, made.security.forged_transmits) == (True, True)


def test_what_people_changed_beside_our_words_stays(estate, vc, steps):
    estate.apply([steps.switch(), steps.group("x", 101)])
    pg = vc.group("av-8f3a01c2-x")
    changed = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(
        configVersion=pg.config.configVersion,
        description=pg.config.description + "\nask Eve before you touch this",
        numPorts=4,
    )
    vc.done(pg.ReconfigureDVPortgroup_Task(changed))
    assert estate.estate().groups[steps.inner, "av-8f3a01c2-x"].key == "port/x"

    estate.apply([steps.group("x", 102)])

    config = vc.group("av-8f3a01c2-x").config
    assert config.description.endswith("\nask Eve before you touch this")
    assert (config.numPorts, config.defaultPortConfig.vlan.vlanId) == (4, 102)


def test_200_groups_are_made_in_one_call_and_nothing_is_done_twice(estate, running, steps):
    estate.apply([steps.switch()])
    many = [steps.group(f"p{n}", 100 + n) for n in range(200)]
    calls = {
        method: running.control.inject(Fault(method=method, delay_seconds=0.001, count=-1))
        for method in ("AddDVPortgroup_Task", "ReconfigureDVPortgroup_Task")
    }

    estate.apply(many)
    estate.apply(many)

    assert {method: running.control.struck(number) for method, number in calls.items()} == {
        "AddDVPortgroup_Task": 1,
        "ReconfigureDVPortgroup_Task": 0,
    }
    assert len(estate.estate().groups) == 200
    estate.apply([DropGroup(switch=steps.inner, name=step.group.name) for step in many])
    assert estate.estate().groups == {}


def test_a_name_that_is_taken_elsewhere_is_reported_and_those_before_it_are_made(estate, vc, steps):
    estate.apply([steps.switch()])
    vc.add_group("av-8f3a01c2-taken", dvs="dvs")

    with pytest.raises(ForeignObjectError, match="taken already, on dvs"):
        estate.apply([steps.group("one", 1), steps.group("taken", 2), steps.group("three", 3)])

    assert set(estate.estate().groups) == {(steps.inner, "av-8f3a01c2-one")}


def test_a_name_that_somebody_takes_at_the_same_moment_is_reported(estate, vc, steps, monkeypatch):
    estate.apply([steps.switch()])
    real = estate._collector.changes
    looked = []

    def taken_just_after_the_look(*args):
        heard = real(*args)
        if not looked:
            looked.append(vc.add_group("av-8f3a01c2-taken", dvs="dvs"))
        return heard

    monkeypatch.setattr(estate._collector, "changes", taken_just_after_the_look)
    with pytest.raises(ForeignObjectError, match="taken"):
        estate.apply([steps.group("one", 1), steps.group("taken", 2), steps.group("three", 3)])

    assert set(estate.estate().groups) == {(steps.inner, "av-8f3a01c2-one")}


def test_somebody_who_interferes_once_is_no_error_and_each_time_is_a_conflict(estate, running, vc, steps):
    from anyvisor.errors import ConflictError

    estate.apply([steps.switch(), steps.group("x", 5)])
    running.control.inject(
        Fault(method="ReconfigureDVPortgroup_Task", fault="ConcurrentAccess", in_task=True, count=2)
    )
    estate.apply([steps.group("x", 6)])
    assert estate.estate().groups[steps.inner, "av-8f3a01c2-x"].vlan == 6

    running.control.inject(Fault(method="ReconfigureDVPortgroup_Task", fault="ConcurrentAccess", count=-1))
    with pytest.raises(ConflictError, match="somebody else changed it"):
        estate.apply([steps.group("x", 7)])
    assert estate.estate().groups[steps.inner, "av-8f3a01c2-x"].vlan == 6


def test_a_switch_with_a_group_of_somebody_else_stays(estate, vc, steps):
    estate.apply([steps.switch(), steps.group("x", 5)])
    vc.add_group("theirs", dvs=steps.inner)

    with pytest.raises(ForeignObjectError, match="theirs"):
        estate.apply([DropSwitch(name=steps.inner)])

    assert set(estate.estate().groups) == {(steps.inner, "av-8f3a01c2-x")}


def test_a_switch_is_removed_with_all_that_is_ours_on_it(estate, running, steps):
    before = {each.name for each in running.control.state().port_groups}
    estate.apply([steps.switch(), steps.trunk(), steps.group("x", 5)])

    estate.apply([DropSwitch(name=steps.inner)])

    state = running.control.state()
    assert {each.name for each in state.switches} == {"dvs"}
    assert {each.name for each in state.port_groups} == before


# --- standard switches ------------------------------------------------------------------------------------------------


def standard(running, host):
    found = next(each for each in running.control.state().hosts if each.name == host)
    return {switch.name: switch for switch in found.switches}


def test_each_host_has_its_own_standard_switch_and_groups(estate, running, steps):
    make = [
        steps.switch(ESX1, OLD, kind=SwitchKind.VSS, name=steps.own),
        *(steps.trunk(switch=steps.own, learns=False, host=host) for host in (ESX1, OLD)),
        steps.group("x", 5, switch=steps.own, host=ESX1),
        steps.group("x", 9, switch=steps.own, host=OLD),
    ]
    estate.apply(make)
    estate.apply(make)

    made = estate.estate()
    assert made.switches[steps.own].hosts == (ESX1, OLD)
    assert {key: group.vlan for key, group in made.groups.items()} == {
        (steps.own, "esx1/av-8f3a01c2-trunk"): None,
        (steps.own, "old1/av-8f3a01c2-trunk"): None,
        (steps.own, "esx1/av-8f3a01c2-x"): 5,
        (steps.own, "old1/av-8f3a01c2-x"): 9,
    }
    assert made.groups[steps.own, "old1/av-8f3a01c2-x"] == make[-1].group
    assert made.groups[steps.own, "old1/av-8f3a01c2-trunk"] == make[2].group
    own = standard(running, "old1")["av-8f3a01c2"]
    assert (own.mtu, own.uplinks) == (9000, ())
    assert {group.name: group.vlan for group in own.port_groups} == {
        "av-8f3a01c2-trunk=": 4095,
        "av-8f3a01c2-p=x": 9,
    }
    assert all(each.name != steps.own for each in made.hosts[OLD].switches), "it is not the operator's"


def test_groups_of_both_kinds_have_their_names_apart(estate, steps):
    estate.apply(
        [
            steps.switch(),
            steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own),
            steps.trunk(),
            steps.trunk(switch=steps.own, learns=False, host=OLD),
            steps.group("x", 5),
            steps.group("x", 5, switch=steps.own, host=OLD),
        ]
    )

    assert len(estate.estate().groups) == 4


def test_standard_groups_change_and_go(estate, running, steps):
    make = steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own)
    estate.apply([make, steps.group("x", 5, switch=steps.own, host=OLD)])
    estate.apply([steps.group("x", 6, switch=steps.own, host=OLD, forged_transmits=True)])
    (group,) = standard(running, "old1")["av-8f3a01c2"].port_groups
    assert (group.vlan, group.security.forged_transmits, group.security.promiscuous) == (6, True, False)

    drop = DropGroup(switch=steps.own, name="av-8f3a01c2-x", host=OLD)
    estate.apply([drop, drop])
    assert standard(running, "old1")["av-8f3a01c2"].port_groups == ()

    estate.apply([DropSwitch(name=steps.own), DropSwitch(name=steps.own)])
    assert set(standard(running, "old1")) == {"vSwitch0"}


def test_a_card_is_plugged_into_a_standard_switch_and_given_back(estate, machines, steps):
    card = machines.card("aged")
    before = machines.shown("aged")
    estate.apply(
        [
            steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own),
            steps.group("x", 5, switch=steps.own, host=OLD),
            steps.plug(card, "x", switch=steps.own),
            steps.plug(card, "x", switch=steps.own),
        ]
    )
    backing = machines.shown("aged").backing
    assert (backing.switch, backing.kind, backing.group, backing.port) == (
        steps.own,
        SwitchKind.VSS,
        "av-8f3a01c2-x",
        None,
    )
    with pytest.raises(RetryableError, match="in use"):
        estate.apply([DropGroup(switch=steps.own, name="av-8f3a01c2-x", host=OLD)])
    with pytest.raises(RetryableError, match="in use"):
        estate.apply([DropSwitch(name=steps.own)])

    estate.apply([Giveback(card=card), DropSwitch(name=steps.own)])

    assert machines.shown("aged") == before


def test_a_group_of_ours_stands_on_the_operators_standard_switch(estate, running, machines, steps):
    ours = MakeGroup(
        group=Group(switch="vSwitch0", name="av-8f3a01c2-red", key="network/red", vlan=33, host=ESX1)
    )
    estate.apply(
        [ours, steps.plug(machines.card("fast") and machines.cards("two")[1], "red", switch="vSwitch0")]
    )

    names = {group.name for group in standard(running, "esx1")["vSwitch0"].port_groups}
    assert names == {"VM Network", "av-8f3a01c2-n=red"}
    with pytest.raises(ForeignObjectError, match="not ours"):
        estate.apply(
            [DropSwitch(name="vSwitch0"), DropGroup(switch="vSwitch0", name="VM Network", host=ESX1)]
        )


def test_a_lost_host_takes_no_orders(estate, running, machines, steps):
    estate.apply([steps.switch(), steps.group("x", 5)])
    running.control.host("esx1", connection="lost")

    with pytest.raises(RetryableError, match="does not answer"):
        estate.apply([steps.plug(machines.card("web"), "x")])
    with pytest.raises(RetryableError, match="does not answer"):
        estate.apply([steps.switch(ESX1, name="av-8f3a01c2-other")])
    estate.apply([steps.switch(), steps.group("y", 6)])
    assert (steps.inner, "av-8f3a01c2-y") in estate.estate().groups, "the others are not held up by it"


def test_the_mtu_of_a_hosts_own_switch_is_changed(estate, steps):
    own = {"kind": SwitchKind.VSS, "name": steps.own}

    estate.apply([steps.switch(OLD, **own, mtu=1600)])
    before = estate.estate().switches[steps.own].mtu
    estate.apply([steps.switch(OLD, **own, mtu=9000)])

    assert (before, estate.estate().switches[steps.own].mtu) == (1600, 9000)
