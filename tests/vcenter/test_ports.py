# SPDX-License-Identifier: Apache-2.0
"""Distributed ports: who has which, and what it does."""

import pytest
from pyVmomi import vim

from anyvisor.lab.vcenter.client import Counters

V = vim.dvs.VmwareDistributedVirtualSwitch
Criteria = vim.dvs.PortCriteria


def edit(port, setting=None, **spec):
    return vim.dvs.DistributedVirtualPort.ConfigSpec(operation="edit", key=port.key, setting=setting, **spec)


def port_of(vc, machine, *, number=0):
    key = vc.nics(machine)[number].backing.port.portKey
    (port,) = vc.dvs().FetchDVPorts(Criteria(portKey=[key]))
    return port


def test_a_connected_adapter_has_a_port_of_its_own(vc):
    web, db = vc.vm("web"), vc.vm("db")
    backing = vc.nics(web)[0].backing.port

    port = port_of(vc, web)

    assert (port.portgroupKey, port.connectee.connectedEntity, port.connectee.nicKey) == (
        backing.portgroupKey,
        web,
        "4000",
    )
    assert port.connectionCookie == backing.connectionCookie != 0
    assert port.proxyHost == vc.host("esx1")
    assert (port.state.runtimeInfo.linkUp, port.state.runtimeInfo.macAddress) == (
        True,
        vc.nics(web)[0].macAddress,
    )
    assert port.config.setting.vlan.inherited
    assert port.key != port_of(vc, db).key


def test_ports_are_found_by_every_criterion(vc):
    switch, tenants, trunk = vc.dvs(), vc.group("tenants"), vc.group("trunk")
    inside = [tenants.key]

    def count(**criteria):
        found = switch.FetchDVPorts(Criteria(**criteria))
        assert switch.FetchDVPortKeys(Criteria(**criteria)) == [port.key for port in found]
        return len(found)

    everything = count()
    assert count(portgroupKey=inside, inside=True) == 4
    assert count(portgroupKey=inside, inside=False) == everything - 4
    assert count(portgroupKey=inside, connected=True) == 2
    assert count(connected=True) == 3, "the template's adapter has a port, too"
    assert count(active=True) == 2
    assert count(uplinkPort=True) == 2
    assert count(host=[vc.host("esx2")], uplinkPort=False) == 1
    assert count(portgroupKey=[trunk.key], active=False) == 8
    assert count(portKey=["0", "no such port"]) == 1


def test_a_port_overrides_what_its_group_lets_it(vc):
    web, switch = vc.vm("web"), vc.dvs()
    port = port_of(vc, web)
    blocked = vim.BoolPolicy(inherited=False, value=True)
    setting = V.VmwarePortConfigPolicy(vlan=V.VlanIdSpec(inherited=False, vlanId=55), blocked=blocked)

    vc.done(switch.ReconfigureDVPort_Task([edit(port, setting, configVersion=port.config.configVersion)]))

    changed = port_of(vc, web)
    assert (changed.config.setting.vlan.vlanId, changed.config.setting.vlan.inherited) == (55, False)
    assert changed.state.runtimeInfo.blocked
    assert changed.config.setting.securityPolicy.inherited
    assert int(changed.config.configVersion) == int(port.config.configVersion) + 1
    assert 55 in switch.QueryUsedVlanIdInDvs()
    (shown,) = [p for p in vc.control.state().ports if p.vm == web._moId]
    assert (shown.vlan, shown.blocked, shown.port) == (55, True, port.key)
    with pytest.raises(vim.fault.ConcurrentAccess):
        vc.done(switch.ReconfigureDVPort_Task([edit(port, setting, configVersion=port.config.configVersion)]))

    back = V.VmwarePortConfigPolicy(vlan=V.VlanIdSpec(inherited=True, vlanId=0))
    vc.done(switch.ReconfigureDVPort_Task([edit(port, back)]))
    again = port_of(vc, web).config.setting
    assert (again.vlan.vlanId, again.vlan.inherited, again.blocked.value) == (4000, True, True)


def test_what_the_group_does_not_allow_is_refused_and_changes_nothing(vc):
    web, switch = vc.vm("web"), vc.dvs()
    yes = vim.BoolPolicy(inherited=False, value=True)
    wrong = V.VmwarePortConfigPolicy(securityPolicy=V.SecurityPolicy(inherited=False, allowPromiscuous=yes))
    right = V.VmwarePortConfigPolicy(vlan=V.VlanIdSpec(inherited=False, vlanId=9))

    changes = [edit(port_of(vc, vc.vm("db")), right), edit(port_of(vc, web), wrong)]
    with pytest.raises(vim.fault.DvsFault):
        vc.done(switch.ReconfigureDVPort_Task(changes))

    assert port_of(vc, vc.vm("db")).config.setting.vlan.vlanId == 4000
    with pytest.raises(vim.fault.NotFound):
        vc.done(
            switch.ReconfigureDVPort_Task(
                [vim.dvs.DistributedVirtualPort.ConfigSpec(operation="edit", key="777")]
            )
        )


def test_a_port_that_is_left_forgets_what_it_overrode(vc):
    web, switch = vc.vm("web"), vc.dvs()
    port = port_of(vc, web)
    vc.done(switch.ReconfigureDVPort_Task([edit(port, vc.vlan(55))]))

    vc.plug(web, vc.group("trunk"))

    (left,) = switch.FetchDVPorts(Criteria(portKey=[port.key]))
    assert left.connectee is None
    assert left.config.setting.vlan.vlanId == 4000
    assert {machine.name for machine in vc.group("tenants").vm} == {"db"}
    vc.plug(web, vc.group("tenants"))
    assert port_of(vc, web).key == port.key, "the lowest free port is taken again"


def test_a_group_grows_where_it_may(vc):
    small = vc.add_group("small", numPorts=1, autoExpand=False)
    vc.plug(vc.vm("web"), small)
    with pytest.raises(vim.fault.DvsFault):
        vc.plug(vc.vm("db"), small)

    grows = vc.add_group("grows", numPorts=1)
    vc.plug(vc.vm("web"), grows)
    vc.plug(vc.vm("db"), grows)
    assert grows.config.numPorts == 2


def test_a_port_is_asked_for_by_its_number(vc):
    web, db = vc.vm("web"), vc.vm("db")
    taken = vc.nics(db)[0].backing.port.portKey
    card = vc.nics(web)[0]
    card.backing.port.portKey = taken

    with pytest.raises(vim.fault.ResourceInUse):
        vc.reconfigure(web, ("edit", card))


def test_ephemeral_ports_live_as_long_as_the_machine_runs(vc):
    web, group = vc.vm("web"), vc.add_group("eph", type="ephemeral", numPorts=0)

    card = vc.plug(web, group)
    assert group.portKeys == [card.backing.port.portKey]
    vc.done(web.PowerOffVM_Task())
    assert group.portKeys == []
    assert vc.nics(web)[0].backing.port.portKey is None
    vc.done(web.PowerOnVM_Task())
    assert len(group.portKeys) == 1


def test_a_host_outside_the_switch_has_no_port_for_its_machines(vc):
    card = vim.vm.device.VirtualVmxnet3(key=-1, backing=vc.to(vc.group("office")))

    with pytest.raises(vim.fault.InvalidDeviceBacking):
        vc.reconfigure(vc.vm("db"), ("add", card))


def test_counters_are_what_was_pushed(vc):
    web, switch = vc.vm("web"), vc.dvs()
    port = port_of(vc, web)
    key = f"{switch.uuid}/{port.key}"
    sent = Counters(
        key=key,
        tx_bytes=1000,
        tx_packets=10,
        tx_broadcast_bytes=60,
        tx_broadcast_packets=1,
        rx_bytes=5,
        rx_packets=1,
    )

    unknown = vc.control.push(ports=[sent, Counters(key="nowhere/1")])

    switch.RefreshDVPortState([port.key])
    stats = port_of(vc, web).state.stats
    assert unknown == ("nowhere/1",)
    assert (stats.bytesInUnicast, stats.packetsInUnicast, stats.bytesInBroadcast, stats.bytesOutUnicast) == (
        940,
        9,
        60,
        5,
    )
    vc.control.set(port_statistics="vm")
    assert port_of(vc, web).state.stats.bytesOutUnicast == 940
