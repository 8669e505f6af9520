# SPDX-License-Identifier: Apache-2.0
"""Appliances from their making to their end, as vCenter has them."""

import base64
import threading

import pytest
import yaml
from pyVmomi import vim

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.estate import Fence, Health, Pin, Remove, Start
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName

ESX1, ESX2, OLD = HostName("esx1"), HostName("esx2"), HostName("old1")
NAME = "av-8f3a01c2-esx1"
PIN = (True, f"{NAME}-appliances", f"{NAME}-host")


@pytest.fixture
def inner(estate, steps):
    """The inner switch with its trunk."""
    estate.apply([steps.switch(), steps.trunk()])


def options(vm):
    return {option.key: option.value for option in vm.config.extraConfig}


def rules(vc):
    """What the cluster says of machines; the simulator keeps what it said of one that is gone."""
    config = vc.one(vim.ClusterComputeResource, "C1").configurationEx
    there = {vm._moId: name for name, vm in vc.all(vim.VirtualMachine).items()}
    drs = {there[each.key._moId]: each.enabled for each in config.drsVmConfig if each.key._moId in there}
    das = {each.key._moId: each.dasSettings.restartPriority for each in config.dasVmConfig}
    return {
        "groups": {
            group.name: {m.name for m in getattr(group, "vm", None) or group.host} for group in config.group
        },
        "pins": {
            rule.name: (rule.mandatory, rule.vmGroupName, rule.affineHostGroupName) for rule in config.rule
        },
        "drs": drs,
        "das": {there[key]: priority for key, priority in das.items() if key in there},
    }


def test_an_appliance_is_a_clone_that_knows_whose_it_is_and_what_to_do(estate, vc, steps, inner):
    estate.apply([steps.deploy()])

    vm = vc.vm(NAME)
    told = options(vm)
    assert (told["anyvisor.owner"], told["anyvisor.key"]) == (steps.owner, "esx1/1")
    assert base64.b64decode(told["guestinfo.userdata"]) == b"#cloud-config\nhostname: x\n"
    assert (
        base64.b64decode(told["guestinfo.metadata"])
        == f"instance-id: {NAME}\nlocal-hostname: {NAME}\n".encode()
    )
    assert told["guestinfo.userdata.encoding"] == told["guestinfo.metadata.encoding"] == "base64"
    assert (vm.runtime.host.name, vm.runtime.powerState, vm.config.template) == ("esx1", "poweredOn", False)
    networks = [card.backing for card in vc.nics(vm)]
    assert networks[0].deviceName == "VM Network"
    groups = {group.key: name for name, group in vc.all(vim.dvs.DistributedVirtualPortgroup).items()}
    assert [groups[card.port.portgroupKey] for card in networks[1:]] == ["office", "av-8f3a01c2-trunk"]
    assert all(card.connectable.connected for card in vc.nics(vm))
    template = {card.macAddress for card in vc.nics(vc.vm("golden"))}
    assert template.isdisjoint(card.macAddress for card in vc.nics(vm))


def test_its_cards_have_the_addresses_by_which_the_guest_knows_them(estate, vc, steps, inner):
    macs = {
        "management": "02:00:00:00:00:01",
        "tunnel": "12:00:00:00:00:02",
        "trunk": "f2:00:00:00:00:03",
    }
    network = yaml.safe_dump({"instance-id": NAME, "network": {"version": 2}})

    estate.apply([steps.deploy(macs=macs, metadata=network)])

    cards = vc.nics(vc.vm(NAME))
    assert [(card.addressType, card.macAddress) for card in cards] == [
        ("manual", mac) for mac in macs.values()
    ]
    groups = {group.key: name for name, group in vc.all(vim.dvs.DistributedVirtualPortgroup).items()}
    assert groups[cards[2].backing.port.portgroupKey] == "av-8f3a01c2-trunk"
    assert base64.b64decode(options(vc.vm(NAME))["guestinfo.metadata"]).decode() == network


def test_superfluous_cards_of_the_template_are_removed(estate, vc, steps, inner):
    estate.apply([steps.deploy(networks={})])

    assert len(vc.nics(vc.vm(NAME))) == 1


def test_it_is_pinned_to_its_host_and_comes_back_first(estate, vc, steps, inner):
    estate.apply([steps.deploy(ESX1), steps.deploy(ESX2)])

    said = rules(vc)
    assert said["groups"] == {
        "av-8f3a01c2-esx1-appliances": {"av-8f3a01c2-esx1"},
        "av-8f3a01c2-esx1-host": {"esx1"},
        "av-8f3a01c2-esx2-appliances": {"av-8f3a01c2-esx2"},
        "av-8f3a01c2-esx2-host": {"esx2"},
    }
    assert said["pins"]["av-8f3a01c2-esx1-pin"] == (
        True,
        "av-8f3a01c2-esx1-appliances",
        "av-8f3a01c2-esx1-host",
    )
    assert said["drs"] == {"av-8f3a01c2-esx1": False, "av-8f3a01c2-esx2": False}
    assert said["das"] == {"av-8f3a01c2-esx1": "highest", "av-8f3a01c2-esx2": "highest"}


@pytest.mark.parametrize("after", [False, True])
def test_one_whose_pinning_failed_says_so_and_is_pinned_later(estate, running, vc, steps, inner, after):
    running.control.inject(Fault(method="ReconfigureComputeResource_Task", fault="cut", after=after))
    with pytest.raises(RetryableError):
        estate.apply([steps.deploy()])
    assert estate.estate().appliances["esx1/1"].pinned is after

    estate.apply([Pin(key="esx1/1")])

    assert estate.estate().appliances["esx1/1"].pinned
    assert rules(vc)["pins"] == {"av-8f3a01c2-esx1-pin": PIN}


def change(vc, **what):
    """Somebody changes the cluster."""
    cluster = vc.one(vim.ClusterComputeResource, "C1")
    vc.done(cluster.ReconfigureComputeResource_Task(vim.cluster.ConfigSpecEx(**what), True))


def spoilt_rule(vc, **other):
    config = vc.one(vim.ClusterComputeResource, "C1").configurationEx
    rule = next(rule for rule in config.rule if rule.name == f"{NAME}-pin")
    for name, value in other.items():
        setattr(rule, name, value)
    return {"rulesSpec": [vim.cluster.RuleSpec(operation="edit", info=rule)]}


SPOILT = {
    "the rule is off": lambda vc: spoilt_rule(vc, enabled=False),
    "the rule is a wish": lambda vc: spoilt_rule(vc, mandatory=False),
    "the rule names other hosts": lambda vc: spoilt_rule(vc, affineHostGroupName="others"),
    "the VM left its group": lambda vc: {
        "groupSpec": [
            vim.cluster.GroupSpec(
                operation="edit", info=vim.cluster.VmGroup(name=f"{NAME}-appliances", vm=[vc.vm("web")])
            )
        ]
    },
    "the group has a second host": lambda vc: {
        "groupSpec": [
            vim.cluster.GroupSpec(
                operation="edit",
                info=vim.cluster.HostGroup(name=f"{NAME}-host", host=[vc.host("esx1"), vc.host("esx2")]),
            )
        ]
    },
    "DRS may move it": lambda vc: {
        "drsVmConfigSpec": [
            vim.cluster.DrsVmConfigSpec(
                operation="edit", info=vim.cluster.DrsVmConfigInfo(key=vc.vm(NAME), enabled=True)
            )
        ]
    },
    "HA restarts it late": lambda vc: {
        "dasVmConfigSpec": [
            vim.cluster.DasVmConfigSpec(
                operation="edit",
                info=vim.cluster.DasVmConfigInfo(
                    key=vc.vm(NAME), dasSettings=vim.cluster.DasVmSettings(restartPriority="low")
                ),
            )
        ]
    },
}


@pytest.mark.parametrize("how", SPOILT)
def test_whatever_somebody_changed_of_its_pin_is_seen_and_mended(estate, vc, steps, inner, how):
    estate.apply([steps.deploy()])
    before = rules(vc)
    change(vc, **SPOILT[how](vc))
    assert not estate.estate().appliances["esx1/1"].pinned

    estate.apply([Pin(key="esx1/1"), Pin(key="esx1/1")])

    assert estate.estate().appliances["esx1/1"].pinned
    after = rules(vc)
    assert NAME in after["groups"].pop(f"{NAME}-appliances")
    before["groups"].pop(f"{NAME}-appliances")
    assert after == before


def test_what_holds_is_not_written_again(estate, running, steps, inner):
    estate.apply([steps.deploy()])
    before = running.control.calls()["ReconfigureComputeResource_Task"]

    estate.apply([Pin(key="esx1/1")])

    assert running.control.calls()["ReconfigureComputeResource_Task"] == before


def test_a_cluster_without_drs_that_refuses_rules_is_asked_again_only_when_it_has_changed(
    elsewhere, data_center, world, steps
):
    data_center["datacenters"][0]["clusters"][0]["drs"] = False
    estate = elsewhere({**data_center, "name": "still"})
    control = estate.vcenter.control
    control.inject(Fault(method="ReconfigureComputeResource_Task", fault="NotSupported", count=-1))
    estate.apply([steps.switch(), steps.trunk(), steps.deploy()])
    assert estate.estate().appliances["esx1/1"].pinned, "as far as the cluster can"
    control.clear_faults()

    vc = world.Client(estate.vcenter)
    theirs = vim.cluster.VmGroup(name="theirs", vm=[vc.vm("web")])
    change(vc, groupSpec=[vim.cluster.GroupSpec(operation="add", info=theirs)])
    vc.close()
    assert not estate.estate().appliances["esx1/1"].pinned
    estate.apply([Pin(key="esx1/1")])

    assert f"{NAME}-pin" in control.pins()["rules"]["C1"]


def test_a_watcher_hears_that_a_rule_is_gone(estate, vc, steps, inner, drop_rule):
    estate.apply([steps.deploy()])
    rang = threading.Event()
    with estate.watch(lambda _: rang.set()):
        vc.eventually(estate.healths)
        rang.clear()
        drop_rule(vc, "C1", f"{NAME}-pin")
        assert rang.wait(10)


def test_what_others_said_of_the_cluster_stays(estate, vc, steps, inner):
    cluster = vc.one(vim.ClusterComputeResource, "C1")
    theirs = vim.cluster.VmGroup(name="theirs", vm=[vc.vm("web")])
    spec = vim.cluster.ConfigSpecEx(groupSpec=[vim.cluster.GroupSpec(operation="add", info=theirs)])
    vc.done(cluster.ReconfigureComputeResource_Task(spec, True))
    before = rules(vc)

    estate.apply([steps.deploy()])
    assert rules(vc)["groups"]["theirs"] == {"web"}
    estate.apply([Remove(key="esx1/1")])

    assert rules(vc) == before


def test_nothing_is_left_of_a_removed_appliance(estate, running, vc, steps, inner):
    before = {vm.name for vm in running.control.state().vms}
    estate.apply([steps.deploy(ESX1), steps.deploy(ESX2)])

    estate.apply([Remove(key="esx1/1"), Remove(key="esx2/1"), Remove(key="esx1/1")])

    assert {vm.name for vm in running.control.state().vms} == before
    said = rules(vc)
    assert (said["groups"], said["pins"]) == ({}, {})
    assert said["drs"] == said["das"] == {}


def test_deploying_again_changes_nothing_and_starts_what_stands(estate, running, vc, steps, inner):
    estate.apply([steps.deploy()])
    written = running.control.inject(
        Fault(method="ReconfigureComputeResource_Task", delay_seconds=0.001, count=-1)
    )
    cloned = running.control.inject(Fault(method="CloneVM_Task", delay_seconds=0.001, count=-1))
    running.control.vm(NAME, power="dies")

    estate.apply([steps.deploy()])

    assert (running.control.struck(written), running.control.struck(cloned)) == (0, 0)
    assert vc.vm(NAME).runtime.powerState == "poweredOn"


def test_a_clone_whose_answer_was_lost_is_found_again(estate, running, steps, inner):
    running.control.inject(Fault(method="CloneVM_Task", fault="cut", after=True))
    with pytest.raises(RetryableError):
        estate.apply([steps.deploy()])

    estate.apply([steps.deploy()])

    assert [vm.name for vm in running.control.state().vms if vm.name.startswith("av-")] == [NAME]
    assert estate.estate().appliances["esx1/1"].health is Health.RUNNING


def test_a_host_outside_a_cluster_starts_its_appliance_itself(estate, vc, steps):
    estate.apply(
        [
            steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own),
            steps.trunk(switch=steps.own, learns=False, host=OLD),
            steps.deploy(OLD, switch=steps.own, networks={"management": "VM Network"}),
        ]
    )

    auto = vc.host("old1").configManager.autoStartManager.config
    assert auto.defaults.enabled
    assert [(info.key.name, info.startAction, info.startOrder) for info in auto.powerInfo] == [
        ("av-8f3a01c2-old1", "powerOn", 1)
    ]
    made = estate.estate().appliances["old1/1"]
    assert made.pinned
    assert (made.host, made.health, made.trunk_connected) == (OLD, Health.RUNNING, True)
    assert made.trunk is not None


def test_a_lone_host_whose_autostart_is_switched_off_is_told_again(estate, running, vc, steps):
    running.control.inject(Fault(method="ReconfigureAutostart", fault="cut"))
    with pytest.raises(RetryableError):
        estate.apply(
            [
                steps.switch(OLD, kind=SwitchKind.VSS, name=steps.own),
                steps.trunk(switch=steps.own, learns=False, host=OLD),
                steps.deploy(OLD, switch=steps.own, networks={"management": "VM Network"}),
            ]
        )
    assert not estate.estate().appliances["old1/1"].pinned
    estate.apply([Pin(key="old1/1")])
    assert estate.estate().appliances["old1/1"].pinned

    auto = vc.host("old1").configManager.autoStartManager
    off = vim.host.AutoStartManager.SystemDefaults(enabled=False)
    auto.ReconfigureAutostart(vim.host.AutoStartManager.Config(defaults=off))
    assert not estate.estate().appliances["old1/1"].pinned
    estate.apply([Pin(key="old1/1")])

    assert estate.estate().appliances["old1/1"].pinned
    assert running.control.pins()["autostart"] == {"old1": ["av-8f3a01c2-old1"]}


def test_a_lone_host_without_vcenter_cannot_clone_and_says_so(elsewhere, world, steps):
    estate = elsewhere(world.esxi(name="lone"))
    esx = HostName("esx")
    estate.apply(
        [
            steps.switch(esx, kind=SwitchKind.VSS, name=steps.own),
            steps.trunk(switch=steps.own, learns=False, host=esx),
        ]
    )

    with pytest.raises(TerminalError, match="without a vCenter"):
        estate.apply([steps.deploy(esx, switch=steps.own, networks={})])


def test_managed_by_is_said_where_the_extension_is_registered(estate, vc, steps, inner):
    estate.apply([steps.deploy(ESX1)])
    description = vim.Description(label="anyvisor", summary="anyvisor")
    extension = vim.Extension(
        key="org.anyvisor", version="1", description=description, lastHeartbeatTime=vc.si.CurrentTime()
    )
    vc.content.extensionManager.RegisterExtension(extension)

    estate.apply([steps.deploy(ESX2)])

    assert vc.vm("av-8f3a01c2-esx1").config.managedBy is None
    assert vc.vm("av-8f3a01c2-esx2").config.managedBy.extensionKey == "org.anyvisor"


def test_a_fence_holds_over_a_restart(estate, running, vc, steps, inner):
    estate.apply([steps.deploy(), Fence(key="esx1/1")])
    trunk = vc.nics(vc.vm(NAME))[2]
    assert (trunk.connectable.connected, trunk.connectable.startConnected) == (False, False)

    running.control.vm(NAME, power="dies")
    estate.apply([Start(key="esx1/1")])
    assert not estate.estate().appliances["esx1/1"].trunk_connected

    running.control.vm(NAME, power="dies")
    estate.apply([Fence(key="esx1/1", off=False)])
    assert estate.estate().appliances["esx1/1"].trunk_connected
    estate.apply([Start(key="esx1/1")])
    trunk = vc.nics(vc.vm(NAME))[2]
    assert (trunk.connectable.connected, trunk.connectable.startConnected) == (True, True)


def test_only_the_trunk_is_fenced(estate, vc, steps, inner):
    estate.apply([steps.deploy(), Fence(key="esx1/1")])

    assert [card.connectable.connected for card in vc.nics(vc.vm(NAME))] == [True, True, False]


def test_what_is_not_there_can_be_fenced_and_removed_but_not_started(estate, steps):
    estate.apply([Fence(key="none/1"), Remove(key="none/1")])

    for step in (Start(key="none/1"), Fence(key="none/1", off=False)):
        with pytest.raises(RetryableError, match="no appliance none/1"):
            estate.apply([step])


def test_a_health_for_every_state(estate, running, steps, inner):
    def health():
        return estate.estate().appliances["esx1/1"].health

    running.control.set(tools="guestToolsNotRunning")
    estate.apply([steps.deploy()])
    assert health() in (Health.STARTING, Health.RUNNING)
    running.control.vm(NAME, guest={"tools": "guestToolsRunning"})
    assert health() is Health.RUNNING

    running.control.host("esx1", connection="lost")
    assert health() is Health.LOST
    running.control.host("esx1", connection="back")
    running.control.vm(NAME, power="dies")
    assert health() is Health.OFF


def test_a_host_in_maintenance_gets_no_appliance(estate, running, steps, inner):
    running.control.host("esx2", maintenance=True)

    with pytest.raises(RetryableError, match="maintenance"):
        estate.apply([steps.deploy(ESX2)])


def test_a_clone_of_an_appliance_by_somebody_is_not_taken_for_it(estate, running, vc, steps, inner):
    estate.apply([steps.deploy()])
    vm = vc.vm(NAME)
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    vc.done(vm.CloneVM_Task(vm.parent, "somebody's", spec))

    assert estate.estate().appliances["esx1/1"].vm == NAME
    estate.apply([Remove(key="esx1/1")])

    left = {vm.name for vm in running.control.state().vms}
    assert "somebody's" in left
    assert NAME not in left


def test_those_before_one_that_is_refused_are_there(estate, running, steps, inner):
    with pytest.raises(ForeignObjectError, match="web"):
        estate.apply([steps.deploy(ESX1), steps.deploy(ESX2, vm="web")])

    assert set(estate.estate().appliances) == {"esx1/1"}
