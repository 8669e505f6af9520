# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: adapters, power, clones."""

import pytest
from pyVmomi import vim


def card(vc, group=None, **spec):
    backing = vc.to(vc.group(group)) if group else None
    return vim.vm.device.VirtualVmxnet3(key=-1, backing=backing, **spec)


def test_adapters_come_and_go(vc):
    web = vc.vm("web")

    vc.reconfigure(web, ("add", card(vc, "trunk")), ("add", card(vc)))
    first, second, third, fourth = vc.nics(web)
    assert len({nic.key for nic in vc.nics(web)}) == 4
    assert (third.backing.port.portKey, fourth.backing) != (None, None)
    assert third.connectable.connected
    assert web.summary.config.numEthernetCards == 4

    vc.reconfigure(web, ("remove", first), ("remove", fourth))
    assert [nic.key for nic in vc.nics(web)] == [second.key, third.key]
    assert {n.name for n in web.network} == {"VM Network", "trunk"}
    assert (
        vc.dvs().FetchDVPorts(vim.dvs.PortCriteria(portKey=[first.backing.port.portKey]))[0].connectee is None
    )


def test_an_address_set_by_hand_stays(vc):
    web = vc.vm("web")

    vc.reconfigure(web, ("add", card(vc, addressType="manual", macAddress="02:00:00:00:00:AA")))

    assert vc.nics(web)[-1].macAddress == "02:00:00:00:00:aa"


def test_an_adapter_is_disconnected_and_connected(vc):
    web = vc.vm("web")
    for connected in (False, True):
        nic = vc.nics(web)[0]
        nic.connectable.connected = connected

        vc.reconfigure(web, ("edit", nic))

        (port,) = vc.dvs().FetchDVPorts(vim.dvs.PortCriteria(portKey=[vc.nics(web)[0].backing.port.portKey]))
        assert port.state.runtimeInfo.linkUp is connected
        assert vc.state_of("web").nics[0].connected is connected


def test_moving_an_adapter_keeps_its_address_and_key(vc):
    web = vc.vm("web")
    before = vc.nics(web)[0]

    after = vc.plug(web, vc.group("trunk"))

    assert (after.key, after.macAddress) == (before.key, before.macAddress)
    assert after.backing.port.portKey != before.backing.port.portKey
    assert {n.name for n in web.network} == {"trunk", "VM Network"}


def test_power_goes_on_and_off(vc):
    web = vc.vm("web")
    with pytest.raises(vim.fault.InvalidPowerState):
        vc.done(web.PowerOnVM_Task())

    vc.done(web.ResetVM_Task())
    vc.done(web.PowerOffVM_Task())
    off = vc.state_of("web")
    assert (web.runtime.powerState, web.guest.toolsRunningStatus) == ("poweredOff", "guestToolsNotRunning")
    assert (off.running, [nic.connected for nic in off.nics], [nic.started for nic in off.nics]) == (
        False,
        [False] * 2,
        [True] * 2,
    )
    assert not vc.nics(web)[0].connectable.connected

    vc.done(web.PowerOnVM_Task())
    assert vc.state_of("web").running
    assert vc.nics(web)[0].connectable.connected
    assert web.guest.toolsRunningStatus == "guestToolsRunning"
    with pytest.raises(vim.fault.InvalidState):
        vc.done(vc.vm("golden").PowerOnVM_Task())


def test_a_machine_is_destroyed_with_its_ports(vc):
    web = vc.vm("web")
    port = vc.nics(web)[0].backing.port.portKey
    with pytest.raises(vim.fault.InvalidPowerState):
        vc.done(web.Destroy_Task())

    vc.done(web.PowerOffVM_Task())
    vc.done(web.Destroy_Task())

    assert "web" not in vc.all(vim.VirtualMachine)
    assert "web" not in {item.name for item in vc.control.state().vms}
    assert vc.dvs().FetchDVPorts(vim.dvs.PortCriteria(portKey=[port]))[0].connectee is None


def test_a_clone_of_a_template_has_addresses_and_ports_of_its_own(vc):
    golden, esx2 = vc.vm("golden"), vc.host("esx2")
    (template_card,) = vc.nics(golden)
    moved = vc.nics(golden)[0]
    moved.backing = vc.to(vc.group("tenants"))
    spec = vim.vm.CloneSpec(
        location=vim.vm.RelocateSpec(host=esx2, pool=esx2.parent.resourcePool),
        config=vim.vm.ConfigSpec(
            memoryMB=4096,
            deviceChange=[
                vim.vm.device.VirtualDeviceSpec(operation="edit", device=moved),
                vim.vm.device.VirtualDeviceSpec(operation="add", device=card(vc, "trunk")),
            ],
            extraConfig=[vim.option.OptionValue(key="guestinfo.role", value="appliance")],
        ),
        powerOn=True,
    )

    clone = vc.done(golden.CloneVM_Task(golden.parent, "copy", spec))

    first, second = vc.nics(clone)
    assert (clone.name, clone.runtime.host, clone.runtime.powerState) == ("copy", esx2, "poweredOn")
    assert not clone.config.template
    assert clone.config.instanceUuid != golden.config.instanceUuid
    assert len({first.macAddress, second.macAddress, template_card.macAddress}) == 3
    assert {n.name for n in clone.network} == {"tenants", "trunk"}
    assert clone.config.hardware.memoryMB == 4096
    assert {o.key: o.value for o in clone.config.extraConfig}["guestinfo.role"] == "appliance"
    assert vc.nics(golden)[0].backing.port.portKey == template_card.backing.port.portKey
    with pytest.raises(vim.fault.DuplicateName):
        vc.done(golden.CloneVM_Task(golden.parent, "copy", spec))


def test_a_machine_is_made_from_nothing(vc):
    esx1 = vc.host("esx1")
    spec = vim.vm.ConfigSpec(
        name="new",
        numCPUs=2,
        memoryMB=2048,
        files=vim.vm.FileInfo(vmPathName="[shared]"),
        deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=card(vc, "trunk"))],
    )

    made = vc.done(
        vc.content.rootFolder.childEntity[0].vmFolder.CreateVM_Task(spec, esx1.parent.resourcePool, esx1)
    )

    assert (made.name, made.config.hardware.numCPU, made.runtime.powerState) == ("new", 2, "poweredOff")
    vc.done(made.Rename_Task("renamed"))
    assert vc.state_of("renamed").host == esx1._moId


def test_marks_of_a_solution_are_kept(vc):
    web = vc.vm("web")

    vc.reconfigure(
        web,
        annotation="ours",
        managedBy=vim.ext.ManagedByInfo(extensionKey="org.anyvisor", type="agent"),
        extraConfig=[vim.option.OptionValue(key="anyvisor.role", value="appliance")],
    )

    assert (web.config.annotation, web.config.managedBy.type) == ("ours", "agent")
    vc.reconfigure(web, extraConfig=[vim.option.OptionValue(key="anyvisor.role", value="")])
    assert "anyvisor.role" not in {option.key for option in web.config.extraConfig}


def test_the_guest_says_what_the_lab_makes_it_say(vc):
    web = vc.vm("web")

    vc.control.vm(
        "web", guest={"tools": "guestToolsNotRunning", "host_name": "web.local", "ip_address": "10.1.1.1"}
    )

    assert (web.guest.toolsRunningStatus, web.guest.hostName, web.guest.ipAddress) == (
        "guestToolsNotRunning",
        "web.local",
        "10.1.1.1",
    )
    vc.control.vm("web", guest={"tools": "guestToolsRunning"})
    assert [net.macAddress for net in web.guest.net] == [nic.macAddress for nic in vc.nics(web)]
    vc.control.vm("web", power="dies")
    assert web.runtime.powerState == "poweredOff"


def test_the_data_plane_is_told_of_each_start_also_when_off_was_too_short_to_be_seen(vc):
    def start():
        return next(vm.boot for vm in vc.control.state().vms if vm.name == "web")

    first = start()
    vc.control.vm("web", power="dies")
    off = start()
    vc.control.vm("web", power="on")
    second = start()
    vc.control.vm("web", power="reset")

    assert off == ""
    assert len({first, second, start()} - {""}) == 3


def test_tasks_can_be_made_to_take_their_time(vc):
    web = vc.vm("web")
    vc.control.set(task_seconds=0.5)

    task = web.PowerOffVM_Task()

    assert (task.info.state, web.runtime.powerState) == ("running", "poweredOn")
    vc.done(task)
    assert web.runtime.powerState == "poweredOff"
