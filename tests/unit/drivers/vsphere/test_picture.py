# SPDX-License-Identifier: Apache-2.0
"""The picture after every change is the picture that would be made from all of it at once."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from pyVmomi import vim

from anyvisor.drivers.vsphere.collector import Heard
from anyvisor.drivers.vsphere.names import mark
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.records import Licence
from anyvisor.drivers.vsphere.vitals import Vitals
from anyvisor.drivers.vsphere.watcher import Watcher
from anyvisor.model.estate import CardProblem
from anyvisor.model.names import HostName

OWNER = "8f3a01c2-5f0e-4d7e-9a51-2f6f2f4f9d11"
V = vim.dvs.VmwareDistributedVirtualSwitch
PG = vim.dvs.DistributedVirtualPortgroup
NIC = vim.vm.device
HOSTS = ("host-1", "host-2")
GROUPS = ("dvportgroup-1", "dvportgroup-2")
VMS = ("vm-1", "vm-2", "vm-3")


def update(obj, kind, **values):
    changes = [
        SimpleNamespace(name=name.replace("__", "."), op="assign", val=value)
        for name, value in values.items()
    ]
    return SimpleNamespace(obj=obj, kind=kind, changeSet=changes)


def host(key, *, renamed=False, switch="vSwitch0", state="connected"):
    group = vim.host.PortGroup(
        spec=vim.host.PortGroup.Specification(name="VM Network", vlanId=0, vswitchName=switch)
    )
    return update(
        vim.HostSystem(key, None),
        "enter",
        name=f"new-{key}" if renamed else f"esx-{key}",
        parent=vim.ClusterComputeResource("domain-c1", None),
        runtime__connectionState=state,
        config__network__portgroup=[group],
        config__network__vswitch=[vim.host.VirtualSwitch(name=switch, mtu=1500)],
    )


def cluster(name="C1"):
    return update(vim.ClusterComputeResource("domain-c1", None), "enter", name=name)


def switch(*, name="dvs", hosts=HOSTS, ours=True):
    members = [
        vim.dvs.HostMember(config=vim.dvs.HostMember.ConfigInfo(host=vim.HostSystem(key, None)))
        for key in hosts
    ]
    config = V.ConfigInfo(
        uuid="50 0a",
        name=name,
        maxMtu=9000,
        host=members,
        productInfo=vim.dvs.ProductSpec(version="8.0.0"),
        description=mark(OWNER, "switch") if ours else None,
    )
    return update(V("dvs-1", None), "enter", config=config)


def group(key, *, renamed=False, vlan=5, ours=True, nsx=False):
    config = PG.ConfigInfo(
        key=key,
        name=f"new-{key}" if renamed else f"pg-{key}",
        description=mark(OWNER, f"port/{key}") if ours else None,
        distributedVirtualSwitch=V("dvs-1", None),
        backingType="nsx" if nsx else "standard",
        defaultPortConfig=V.VmwarePortConfigPolicy(vlan=V.VlanIdSpec(vlanId=vlan)),
    )
    return update(PG(key, None), "enter", config=config)


def vm(key, *, on=HOSTS[0], group=GROUPS[0], power="poweredOn", name=None, appliance=None):
    backing = (
        NIC.VirtualEthernetCard.DistributedVirtualPortBackingInfo(
            port=vim.dvs.PortConnection(switchUuid="50 0a", portgroupKey=group, portKey="1")
        )
        if group
        else NIC.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    )
    link = NIC.VirtualDevice.ConnectInfo(startConnected=True, connected=True, allowGuestControl=True)
    options = {"anyvisor.owner": OWNER, "anyvisor.key": appliance} if appliance else {}
    return update(
        vim.VirtualMachine(key, None),
        "enter",
        name=name or key,
        runtime__host=vim.HostSystem(on, None),
        runtime__powerState=power,
        config__instanceUuid=f"uuid-{key}",
        config__hardware__device=[
            NIC.VirtualVmxnet3(key=4000, macAddress="00:50:56:00:00:01", backing=backing, connectable=link)
        ],
        config__extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in options.items()],
    )


def gone(obj):
    return update(obj, "leave")


flags = st.booleans()
changes = st.one_of(
    st.builds(cluster, st.sampled_from(["C1", "C2"])),
    st.builds(
        host,
        st.sampled_from(HOSTS),
        renamed=flags,
        switch=st.sampled_from(["vSwitch0", "av-8f3a01c2"]),
        state=st.sampled_from(["connected", "notResponding"]),
    ),
    st.builds(
        switch,
        name=st.sampled_from(["dvs", "other"]),
        hosts=st.sampled_from([HOSTS, HOSTS[:1], ()]),
        ours=flags,
    ),
    st.builds(
        group,
        st.sampled_from(GROUPS),
        renamed=flags,
        vlan=st.integers(1, 3),
        ours=flags,
        nsx=flags,
    ),
    st.builds(
        vm,
        st.sampled_from(VMS),
        on=st.sampled_from(HOSTS),
        group=st.sampled_from([*GROUPS, None]),
        power=st.sampled_from(["poweredOn", "poweredOff"]),
        appliance=st.sampled_from([None, "a/1", "b/1"]),
    ),
    st.sampled_from([gone(vim.VirtualMachine(key, None)) for key in VMS]),
    st.sampled_from([gone(PG(key, None)) for key in GROUPS]),
    st.sampled_from([gone(V("dvs-1", None)), gone(vim.HostSystem(HOSTS[1], None))]),
)


def seen(estate):
    return (
        dict(estate.hosts),
        dict(estate.cards),
        dict(estate.groups),
        dict(estate.switches),
        dict(estate.appliances),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(changes, min_size=1, max_size=4), max_size=8))
def test_a_picture_made_step_by_step_is_the_picture_made_at_once(rounds):
    by_step = Picture(OWNER, "vc1", vcenter=True)
    for updates in rounds:
        by_step.take(updates)
        by_step.estate()
    at_once = Picture(OWNER, "vc1", vcenter=True)
    at_once.take(update for updates in rounds for update in updates)

    assert seen(by_step.estate()) == seen(at_once.estate())


def whole(*more):
    picture = Picture(OWNER, "vc1", vcenter=True)
    picture.take([cluster(), *map(host, HOSTS), switch(), *map(group, GROUPS), vm("vm-1"), *more])
    return picture


def test_a_vm_told_before_its_host_and_group_is_shown_once_they_are():
    picture = Picture(OWNER, "vc1", vcenter=True)
    picture.take([vm("vm-1")])
    assert picture.estate().cards == {}

    picture.take([host(HOSTS[0])])
    (card,) = picture.estate().cards.values()
    assert card.backing is None

    picture.take([group(GROUPS[0]), switch()])
    (card,) = picture.estate().cards.values()
    assert (card.backing.switch, card.backing.group, card.backing.port) == ("dvs", "pg-dvportgroup-1", "1")


def test_of_two_who_say_to_be_one_appliance_the_first_is_shown():
    picture = whole(vm("vm-3", appliance="a/1"), vm("vm-2", appliance="a/1"))
    assert picture.estate().appliances["a/1"].vm == "vm-2"

    picture.take([gone(vim.VirtualMachine("vm-2", None))])

    assert picture.estate().appliances["a/1"].vm == "vm-3"


def test_a_group_that_nsx_takes_over_is_a_problem_of_its_cards():
    picture = whole()
    assert next(iter(picture.estate().cards.values())).problem is None

    picture.take([group(GROUPS[0], nsx=True)])

    assert next(iter(picture.estate().cards.values())).problem is CardProblem.NSX
    assert all(host.facts["nsx"] for host in picture.estate().hosts.values())


def test_a_licence_that_is_learned_is_a_fact():
    picture = whole()
    assert picture.unlicensed() == set(HOSTS)

    picture.learn({HOSTS[0]: Licence(edition="vcf", distributed=True)}, {})

    assert picture.unlicensed() == {HOSTS[1]}
    facts = picture.estate().hosts[HostName("esx-host-1")].facts
    assert (facts["edition"], facts["vds_license"]) == ("vcf", True)


class _Session:
    name = "vc1"


def test_a_watcher_says_whom_a_change_concerns():
    watcher = Watcher(_Session(), lambda hosts: None, Vitals(), wait_seconds=1)
    first = Heard((vm("vm-1"), *map(host, HOSTS)), anew=True)
    assert watcher.concerned(first) == {"esx-host-1", "esx-host-2"}

    def heard(*updates):
        return watcher.concerned(Heard(updates))

    machine = vim.VirtualMachine("vm-1", None)
    assert heard(update(machine, "modify", runtime__powerState="poweredOff")) == {"esx-host-1"}
    moved = update(machine, "modify", runtime__host=vim.HostSystem(HOSTS[1], None))
    assert heard(moved) == {"esx-host-1", "esx-host-2"}
    task = vim.Task("task-1", None)
    assert heard(update(machine, "modify", recentTask=[task])) == {"esx-host-2"}
    assert heard(update(task, "modify", info__state="running")) == {"esx-host-2"}
    assert heard(group(GROUPS[0])) == {"esx-host-1", "esx-host-2"}
    assert heard(gone(machine)) == {"esx-host-2"}
    assert heard(update(machine, "modify", runtime__powerState="poweredOn")) == set()
