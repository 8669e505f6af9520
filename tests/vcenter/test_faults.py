# SPDX-License-Identifier: Apache-2.0
"""A vCenter that does not do as it should."""

import threading
import time
from http.client import HTTPException

import pytest
from pyVmomi import vim, vmodl

from anyvisor.lab.vcenter import RefusedError
from anyvisor.lab.vcenter.client import Fault

FAULTS = {
    "ConcurrentAccess": vim.fault.ConcurrentAccess,
    "NotAuthenticated": vim.fault.NotAuthenticated,
    "NoPermission": vim.fault.NoPermission,
    "InvalidState": vim.fault.InvalidState,
    "ResourceInUse": vim.fault.ResourceInUse,
    "TaskInProgress": vim.fault.TaskInProgress,
    "DuplicateName": vim.fault.DuplicateName,
    "DvsFault": vim.fault.DvsFault,
    "HostCommunication": vmodl.fault.HostCommunication,
    "HostNotReachable": vmodl.fault.HostNotReachable,
    "RequestCanceled": vmodl.fault.RequestCanceled,
    "SystemError": vmodl.fault.SystemError,
    "RestrictedVersion": vim.fault.RestrictedVersion,
}


@pytest.mark.parametrize("name", FAULTS)
def test_any_fault_can_be_injected_into_any_call(vc, name):
    web = vc.vm("web")
    number = vc.control.inject(Fault(method="PowerOffVM_Task", fault=name, count=1))

    with pytest.raises(FAULTS[name]):
        web.PowerOffVM_Task()

    assert vc.control.struck(number) == 1
    vc.done(web.PowerOffVM_Task())


@pytest.mark.parametrize("name", ["ConcurrentAccess", "TaskInProgress", "DuplicateName"])
def test_a_task_can_be_made_to_fail(vc, name):
    vc.control.inject(Fault(method="AddDVPortgroup_Task", fault=name, in_task=True))

    with pytest.raises(FAULTS[name]):
        vc.add_group("g")

    assert "g" not in vc.dvs().summary.portgroupName
    vc.add_group("g")


def test_a_migration_task_can_be_made_to_fail(vc):
    vc.control.inject(Fault(method="RelocateVM_Task", fault="InvalidState", in_task=True))

    with pytest.raises(vim.fault.InvalidState):
        vc.done(vc.vm("db").RelocateVM_Task(vim.vm.RelocateSpec(host=vc.host("esx1"))))


def test_a_fault_may_wait_for_its_turn_and_strike_one_object_only(vc):
    web, db = vc.vm("web"), vc.vm("db")
    vc.control.inject(Fault(method="*", object=db._moId, fault="InvalidState", skip=1, count=-1))

    assert web.name == "web"
    assert db.name == "db"
    for _ in range(3):
        with pytest.raises(vim.fault.InvalidState):
            assert db.name
    vc.control.clear_faults()
    assert db.name == "db"


@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"http": 503}], ids=["cut", "503"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_answer_can_be_lost_before_and_after_the_work(vc, fault, after):
    web = vc.vm("web")
    # pyVmomi asks again by itself, but not as often as that
    vc.control.inject(Fault(method="PowerOffVM_Task", after=after, count=10, **fault))

    with pytest.raises((OSError, HTTPException)):
        web.PowerOffVM_Task()

    assert (vc.state_of("web").power == "poweredOff") is after


def test_an_answer_can_be_late(vc):
    vc.control.inject(Fault(method="CurrentTime", delay_seconds=0.5))

    began = time.monotonic()
    vc.si.CurrentTime()

    assert time.monotonic() - began >= 0.5


def test_all_sessions_can_be_dropped(vc):
    web = vc.vm("web")

    assert vc.control.drop_sessions() == 1

    with pytest.raises(vim.fault.NotAuthenticated):
        assert web.name
    assert vc.content.sessionManager.currentSession is None
    vc.content.sessionManager.Login("admin", "secret", None)
    assert web.name == "web"


def test_one_who_waits_hears_that_the_session_is_gone(vc):
    collector = vc.content.propertyCollector
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=vc.vm("web"))],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    collector.CreateFilter(spec, False)
    options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=20)
    first = collector.WaitForUpdatesEx("", options)
    timer = threading.Timer(0.3, vc.control.drop_sessions)
    timer.start()

    with pytest.raises(vim.fault.NotAuthenticated):
        collector.WaitForUpdatesEx(first.version, options)
    timer.join()
    vc.content.sessionManager.Login("admin", "secret", None)


def test_a_frozen_vcenter_answers_nothing_until_it_thaws(vc):
    web, heard = vc.vm("web"), []
    vc.control.freeze()
    asking = threading.Thread(target=lambda: heard.append(web.name))
    asking.start()

    asking.join(0.5)
    assert asking.is_alive()
    assert vc.control.state().vms, "the control API answers all the same"
    vc.control.thaw()
    asking.join(5)
    assert heard == ["web"]


def test_an_order_that_makes_no_sense_is_refused(vc):
    with pytest.raises(RefusedError, match='vSphere has no type "NoSuchFault"'):
        vc.control.inject(Fault(method="x", fault="NoSuchFault"))
    with pytest.raises(RefusedError, match="HostRuntimeInfo is not a fault"):
        vc.control.inject(Fault(method="x", fault="HostRuntimeInfo"))
    with pytest.raises(RefusedError, match='there is no host "nowhere"'):
        vc.control.host("nowhere", power="dies")
    with pytest.raises(RefusedError, match="unknown field"):
        vc.control.set(speed=3)
