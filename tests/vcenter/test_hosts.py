# SPDX-License-Identifier: Apache-2.0
"""Hosts and clusters: maintenance, death, rules, extensions."""

import time

import pytest
from pyVmomi import vim, vmodl

from anyvisor.lab.vcenter.client import Counters

C = vim.cluster


def pin(vc, name, host, *, automatic=True):
    """Tie a machine to a host, as the product does with its appliances."""
    machine, target = vc.vm(name), vc.host(host)
    spec = C.ConfigSpecEx(
        groupSpec=[
            C.GroupSpec(operation="add", info=C.VmGroup(name="av-vm", vm=[machine])),
            C.GroupSpec(operation="add", info=C.HostGroup(name="av-host", host=[target])),
        ],
        rulesSpec=[
            C.RuleSpec(
                operation="add",
                info=C.VmHostRuleInfo(
                    name="pin",
                    enabled=True,
                    mandatory=True,
                    vmGroupName="av-vm",
                    affineHostGroupName="av-host",
                ),
            )
        ],
        drsVmConfigSpec=[
            C.DrsVmConfigSpec(operation="add", info=C.DrsVmConfigInfo(key=machine, enabled=automatic))
        ],
        dasVmConfigSpec=[
            C.DasVmConfigSpec(
                operation="add",
                info=C.DasVmConfigInfo(key=machine, dasSettings=C.DasVmSettings(restartPriority="highest")),
            )
        ],
    )
    vc.done(target.parent.ReconfigureComputeResource_Task(spec, True))


def test_rules_of_a_cluster_are_kept(vc):
    pin(vc, "db", "esx2", automatic=False)

    config = vc.one(vim.ClusterComputeResource, "C1").configurationEx
    assert [(type(rule).__name__.rsplit(".", 1)[-1], rule.name, rule.mandatory) for rule in config.rule] == [
        ("VmHostRuleInfo", "pin", True)
    ]
    assert {group.name for group in config.group} == {"av-vm", "av-host"}
    assert [(own.key.name, own.enabled) for own in config.drsVmConfig] == [("db", False)]
    assert config.dasVmConfig[0].dasSettings.restartPriority == "highest"
    assert (config.drsConfig.enabled, config.drsConfig.defaultVmBehavior) == (True, "fullyAutomated")


def test_a_host_goes_into_maintenance_when_drs_has_emptied_it(vc):
    esx2 = vc.host("esx2")

    vc.done(esx2.EnterMaintenanceMode_Task(30, False))

    assert esx2.runtime.inMaintenanceMode
    assert vc.vm("db").runtime.host.name == "esx1"
    with pytest.raises(vim.fault.InvalidState):
        vc.done(vc.vm("db").RelocateVM_Task(vim.vm.RelocateSpec(host=esx2)))
    vc.done(esx2.ExitMaintenanceMode_Task(0))
    assert not esx2.runtime.inMaintenanceMode


def test_a_pinned_machine_keeps_its_host_from_maintenance(vc):
    pin(vc, "db", "esx2")
    esx2 = vc.host("esx2")

    task = esx2.EnterMaintenanceMode_Task(0, False)
    time.sleep(0.5)
    assert task.info.state == "running"
    assert not esx2.runtime.inMaintenanceMode

    vc.done(vc.vm("db").PowerOffVM_Task())
    vc.done(task)
    assert esx2.runtime.inMaintenanceMode


def test_maintenance_gives_up_when_its_time_is_up(vc):
    pin(vc, "db", "esx2")

    with pytest.raises(vim.fault.Timedout):
        vc.done(vc.host("esx2").EnterMaintenanceMode_Task(1, False))


def test_a_host_is_disconnected_and_connected_again(vc):
    esx2 = vc.host("esx2")

    vc.done(esx2.DisconnectHost_Task())
    assert (esx2.runtime.connectionState, vc.vm("db").runtime.connectionState) == (
        "disconnected",
        "disconnected",
    )
    assert vc.state_of("db").running, "what vCenter does not see runs on"
    with pytest.raises(vmodl.fault.HostNotConnected):
        vc.done(vc.vm("db").PowerOffVM_Task())

    vc.done(esx2.ReconnectHost_Task(None, None))
    assert esx2.runtime.connectionState == "connected"


def test_a_dead_host_takes_its_machines_down(vc):
    vc.control.host("esx2", power="dies")

    assert not vc.state_of("db").running
    assert vc.vm("db").runtime.powerState == "poweredOn", "vCenter knows no better"
    vc.control.host("esx2", power="returns")
    assert vc.vm("db").runtime.powerState == "poweredOff"


def test_machines_of_a_dead_host_start_elsewhere_with_ha(start, world):
    inventory = world.inventory()
    inventory["datacenters"][0]["clusters"] = [{"name": "C1", "ha": True}]
    vcenter = start(inventory)
    vcenter.control.set(ha_seconds=0.1)
    client = world.Client(vcenter)

    vcenter.control.host("esx2", power="dies")

    client.eventually(lambda: client.state_of("db").running)
    assert client.vm("db").runtime.host.name == "esx1"
    client.close()


def test_a_standalone_host_starts_what_it_was_told_to(vc):
    old, twin = vc.host("old1"), vc.vm("twin")
    Info = vim.host.AutoStartManager.AutoPowerInfo  # noqa: N806
    config = vim.host.AutoStartManager.Config(
        defaults=vim.host.AutoStartManager.SystemDefaults(enabled=True),
        powerInfo=[
            Info(
                key=twin, startOrder=1, startDelay=0, waitForHeartbeat="no", startAction="powerOn", stopDelay=0,
                stopAction="none",
            )
        ],
    )  # fmt: skip

    old.configManager.autoStartManager.ReconfigureAutostart(config)
    vc.control.host("old1", power="dies")
    vc.control.host("old1", power="returns")

    kept = old.configManager.autoStartManager.config
    assert (kept.defaults.enabled, [info.key for info in kept.powerInfo]) == (True, [twin])
    assert vc.vm("twin").runtime.powerState == "poweredOn"


def test_an_extension_is_registered_once(vc):
    manager = vc.content.extensionManager
    extension = vim.Extension(
        key="org.anyvisor",
        version="0.1",
        description=vim.Description(label="anyvisor", summary="one SDN"),
        lastHeartbeatTime=vc.si.CurrentTime(),
    )
    assert manager.FindExtension("org.anyvisor") is None

    manager.RegisterExtension(extension)

    assert manager.FindExtension("org.anyvisor").description.label == "anyvisor"
    assert [e.key for e in manager.extensionList] == ["org.anyvisor"]
    extension.version = "0.2"
    manager.UpdateExtension(extension)
    assert manager.FindExtension("org.anyvisor").version == "0.2"
    manager.UnregisterExtension("org.anyvisor")
    assert manager.FindExtension("org.anyvisor") is None


def test_advanced_settings_are_kept(vc):
    key = "config.migrate.test.CompatibleNetworks.VMOnVirtualIntranet"

    vc.content.setting.UpdateOptions([vim.option.OptionValue(key=key, value="false")])

    assert [o.value for o in vc.content.setting.QueryOptions(key)] == ["false"]


def test_network_counters_of_a_machine_come_from_what_was_pushed(vc):
    web, switch, manager = vc.vm("web"), vc.dvs(), vc.content.perfManager
    names = {f"{c.groupInfo.key}.{c.nameInfo.key}.{c.rollupType}": c.key for c in manager.perfCounter}
    port, now = vc.nics(web)[0].backing.port.portKey, time.time()
    for ago, count in ((40, 0), (20, 1), (0, 3)):
        own = Counters(key=f"{switch.uuid}/{port}", rx_bytes=count * 204800, tx_packets=count * 10)
        other = Counters(key=f"{web._moId}/4001", rx_bytes=count * 20480)
        vc.control.push(ports=[own], nics=[other], at=now - ago)

    def query(name, instance):
        metric = vim.PerformanceManager.MetricId(counterId=names[name], instance=instance)
        end = vc.si.CurrentTime().fromtimestamp(now, vc.si.CurrentTime().tzinfo)
        spec = vim.PerformanceManager.QuerySpec(
            entity=web, intervalId=20, maxSample=2, metricId=[metric], endTime=end
        )
        (answer,) = manager.QueryPerf([spec])
        return {series.id.instance: list(series.value) for series in answer.value}

    assert query("net.bytesRx.average", "4000") == {"4000": [10, 20]}
    assert query("net.bytesRx.average", "*") == {"4000": [10, 20], "4001": [1, 2], "": [11, 22]}
    assert query("net.packetsTx.summation", "4000") == {"4000": [10, 20]}
    available = manager.QueryAvailablePerfMetric(web, None, None, 20)
    assert {m.instance for m in available if m.counterId == names["net.bytesTx.average"]} == {
        "4000",
        "4001",
        "",
    }
