# SPDX-License-Identifier: Apache-2.0
"""Machines that move, and those that do not."""

import pytest
from pyVmomi import vim, vmodl


def move(vc, name, host, **spec):
    return vc.vm(name).RelocateVM_Task(vim.vm.RelocateSpec(host=vc.host(host), **spec))


def events(vc, name):
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vc.vm(name), recursion="self"), maxCount=100
    )
    return [type(event).__name__.rsplit(".", 1)[-1] for event in vc.content.eventManager.QueryEvents(spec)]


def test_a_migration_takes_its_time_and_switches_over_at_its_end(vc):
    vc.control.set(vmotion_seconds=1)
    db, port = vc.vm("db"), vc.nics(vc.vm("db"))[0].backing.port.portKey

    task = move(vc, "db", "esx1")

    assert task.info.state == "running"
    assert (task.info.descriptionId, task.info.entity) == ("VirtualMachine.relocate", db)
    assert isinstance(task.info.reason, vim.TaskReasonUser)
    assert db.recentTask[-1] == task
    assert db.runtime.host.name == "esx2"
    assert vc.state_of("db").moving_to == vc.host_key("esx1")
    vc.done(task)
    assert db.runtime.host.name == "esx1"
    assert (vc.state_of("db").moving_to, vc.state_of("db").host) == ("", vc.host_key("esx1"))
    (moved,) = vc.dvs().FetchDVPorts(vim.dvs.PortCriteria(portKey=[port]))
    assert (moved.proxyHost.name, moved.connectee.connectedEntity) == ("esx1", db)
    assert {m.name for m in vc.host("esx2").vm} == set()
    assert set(events(vc, "db")) >= {"VmBeingMigratedEvent", "VmMigratedEvent"}


def test_migrate_is_the_older_way(vc):
    task = vc.vm("db").MigrateVM_Task(None, vc.host("esx1"), "defaultPriority", None)
    vc.done(task)

    assert task.info.descriptionId == "VirtualMachine.migrate"
    assert vc.vm("db").runtime.host.name == "esx1"


def test_an_adapter_changes_its_network_on_the_way(vc):
    vc.control.set(vmotion_seconds=0)
    card = vc.nics(vc.vm("db"))[0]
    card.backing = vc.to(vc.group("trunk"))

    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
    vc.done(move(vc, "db", "esx1", deviceChange=[change]))

    assert [n.name for n in vc.vm("db").network] == ["trunk"]


def test_a_standard_switch_without_uplink_holds_its_machines(vc):
    with pytest.raises(vim.fault.VMOnVirtualIntranet) as refused:
        vc.done(move(vc, "lonely", "esx2"))

    assert refused.value.backing == "island"
    assert "VmFailedMigrateEvent" in events(vc, "lonely")
    vc.content.setting.UpdateOptions(
        [
            vim.option.OptionValue(
                key="config.migrate.test.CompatibleNetworks.VMOnVirtualIntranet", value="false"
            )
        ]
    )
    vc.done(move(vc, "lonely", "esx2"))
    assert vc.vm("lonely").runtime.host.name == "esx2"


def test_only_a_connected_adapter_holds_it(vc):
    card = vc.nics(vc.vm("lonely"))[0]
    card.connectable.connected = False
    vc.reconfigure(vc.vm("lonely"), ("edit", card))

    vc.done(move(vc, "lonely", "esx2"))

    assert vc.vm("lonely").runtime.host.name == "esx2"


def test_a_target_without_the_network_is_refused(vc):
    vc.plug(vc.vm("web"), vc.group("office"))

    with pytest.raises(vim.fault.CannotAccessNetwork):
        vc.done(move(vc, "web", "esx2"))
    with pytest.raises(vim.fault.CannotAccessNetwork):
        vc.done(move(vc, "db", "old1"))


def test_a_virtual_function_does_not_move(vc):
    with pytest.raises(vim.fault.VMotionProtocolIncompatible):
        vc.done(move(vc, "fast", "esx2"))


def test_one_machine_is_moved_once_at_a_time(vc):
    vc.control.set(vmotion_seconds=5)
    first = move(vc, "db", "esx1")

    with pytest.raises(vim.fault.TaskInProgress) as refused:
        vc.done(move(vc, "db", "esx1"))

    assert refused.value.task == first
    first.CancelTask()
    with pytest.raises(vmodl.fault.RequestCanceled):
        vc.done(first)
    assert vc.vm("db").runtime.host.name == "esx2"


def test_a_migration_fails_when_told_to(vc):
    vc.control.migrations("fail", vm="db", fault="HostNotReachable")

    with pytest.raises(vmodl.fault.HostNotReachable):
        vc.done(move(vc, "db", "esx1"))
    assert vc.vm("db").runtime.host.name == "esx2"
    assert "VmFailedMigrateEvent" in events(vc, "db")

    vc.done(move(vc, "db", "esx1"))


def test_a_migration_hangs_until_told_to_proceed(vc):
    vc.control.set(vmotion_seconds=0)
    vc.control.migrations("hang", vm="db")
    task = move(vc, "db", "esx1")
    vc.eventually(lambda: task.info.state == "running")

    vc.control.migrations("proceed")

    vc.done(task)
    assert vc.vm("db").runtime.host.name == "esx1"


def test_drs_moves_unasked(vc):
    vc.control.set(vmotion_seconds=0)

    vc.control.vm("db", move_to="esx1")

    vc.eventually(lambda: vc.vm("db").runtime.host.name == "esx1")
    assert vc.vm("db").recentTask[-1].info.descriptionId == "Drm.ExecuteVMotionLRO"
    assert isinstance(vc.vm("db").recentTask[-1].info.reason, vim.TaskReasonSchedule)
    assert "DrsVmMigratedEvent" in events(vc, "db")
