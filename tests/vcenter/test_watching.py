# SPDX-License-Identifier: Apache-2.0
"""Watching the inventory as the product does: a filter, and waiting for what changes."""

import threading

import pytest
from pyVmomi import vim, vmodl

Collector = vmodl.query.PropertyCollector
V = vim.dvs.VmwareDistributedVirtualSwitch


class Watcher:
    """A property collector of its own over all objects of some kinds."""

    def __init__(self, vc, **paths):
        kinds = {"vm": vim.VirtualMachine, "host": vim.HostSystem, "dvs": vim.DistributedVirtualSwitch,
                 "group": vim.dvs.DistributedVirtualPortgroup}  # fmt: skip
        chosen = {kinds[kind]: list(wanted) for kind, wanted in paths.items()}
        content = vc.content
        view = content.viewManager.CreateContainerView(content.rootFolder, list(chosen), True)
        through = Collector.TraversalSpec(name="view", path="view", skip=False, type=vim.view.ContainerView)
        spec = Collector.FilterSpec(
            objectSet=[Collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
            propSet=[Collector.PropertySpec(type=kind, pathSet=wanted) for kind, wanted in chosen.items()],
        )
        self.collector = content.propertyCollector.CreatePropertyCollector()
        self.collector.CreateFilter(spec, False)
        self.version = ""
        self.first = self.changes()

    def changes(self, seconds=5):
        """(kind of update, object, {property: value}) in turn; None if nothing changed."""
        answer = self.collector.WaitForUpdatesEx(self.version, Collector.WaitOptions(maxWaitSeconds=seconds))
        if answer is None:
            return None
        self.version = answer.version
        return [
            (update.kind, update.obj, {change.name: change.val for change in update.changeSet})
            for part in answer.filterSet
            for update in part.objectSet
        ]

    def next_of(self, obj, *names):
        """Wait for changes of the object until all of these properties have come."""
        seen = {}
        while not set(names) <= set(seen):
            changes = self.changes()
            assert changes is not None, f"nothing but {seen}"
            for _, changed, values in changes:
                if changed == obj:
                    seen.update(values)
        return seen


def test_everything_comes_first_and_then_only_what_changed(vc):
    watcher = Watcher(vc, vm=["name", "runtime.powerState", "config.hardware.device"])
    assert {values["name"] for kind, _, values in watcher.first} == set(vc.all(vim.VirtualMachine))
    assert {kind for kind, _, _ in watcher.first} == {"enter"}
    assert watcher.changes(seconds=0) is None

    vc.done(vc.vm("web").PowerOffVM_Task())

    ((kind, changed, values),) = watcher.changes()
    assert (kind, changed) == ("modify", vc.vm("web"))
    assert set(values) == {"runtime.powerState", "config.hardware.device"}


def test_machines_come_and_go(vc):
    watcher = Watcher(vc, vm=["name"])
    golden, pool = vc.vm("golden"), vc.host("esx1").parent.resourcePool

    clone = vc.done(
        golden.CloneVM_Task(golden.parent, "new", vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=pool)))
    )
    assert watcher.changes() == [("enter", clone, {"name": "new"})]

    vc.done(clone.Destroy_Task())
    assert watcher.changes() == [("leave", clone, {})]


def test_a_migration_is_seen_from_its_beginning(vc):
    watcher = Watcher(vc, vm=["runtime.host", "recentTask"])
    db = vc.vm("db")

    task = db.RelocateVM_Task(vim.vm.RelocateSpec(host=vc.host("esx1")))

    seen = watcher.next_of(db, "recentTask")
    assert seen["recentTask"][-1] == task
    assert "runtime.host" not in seen
    assert watcher.next_of(db, "runtime.host")["runtime.host"] == vc.host("esx1")


def test_adapters_and_networks_are_seen(vc):
    watcher = Watcher(vc, vm=["config.hardware.device", "network"], group=["vm", "config"], dvs=["config"])
    group = vc.add_group("g")
    watcher.next_of(group, "vm", "config")

    vc.plug(vc.vm("web"), group)
    assert group in watcher.next_of(vc.vm("web"), "config.hardware.device", "network")["network"]

    vc.done(vc.dvs().ReconfigureDvs_Task(V.ConfigSpec(maxMtu=1600)))
    assert watcher.next_of(vc.dvs(), "config")["config"].maxMtu == 1600
    assert group.vm == [vc.vm("web")]


def test_what_happens_to_hosts_is_seen(vc):
    watched = ["runtime.connectionState", "runtime.powerState", "runtime.inMaintenanceMode", "config.network"]
    watcher = Watcher(vc, host=watched)
    esx2 = vc.host("esx2")

    vc.control.host("esx2", power="dies")
    seen = watcher.next_of(esx2, "runtime.connectionState", "runtime.powerState")
    assert (seen["runtime.connectionState"], seen["runtime.powerState"]) == ("notResponding", "unknown")

    vc.control.host("esx2", power="returns", maintenance=True)
    seen = watcher.next_of(esx2, "runtime.connectionState", "runtime.inMaintenanceMode")
    assert (seen["runtime.connectionState"], seen["runtime.inMaintenanceMode"]) == ("connected", True)

    vc.networking("esx2").AddVirtualSwitch("av9", vim.host.VirtualSwitch.Specification(numPorts=8))
    assert "av9" in {s.name for s in watcher.next_of(esx2, "config.network")["config.network"].vswitch}


def test_waiting_ends_when_something_happens_and_when_the_time_is_up(vc):
    watcher = Watcher(vc, vm=["runtime.powerState"])
    assert watcher.changes(seconds=1) is None

    timer = threading.Timer(0.3, vc.control.vm, ("web",), {"power": "dies"})
    timer.start()
    ((_, changed, values),) = watcher.changes(seconds=20)
    timer.join()
    assert (changed, values) == (vc.vm("web"), {"runtime.powerState": "poweredOff"})


def test_an_answer_that_was_lost_is_given_again(vc):
    watcher = Watcher(vc, vm=["runtime.powerState"])
    before = watcher.version
    vc.control.vm("web", power="dies")
    lost = watcher.changes()

    watcher.version = before
    assert watcher.changes() == lost
    watcher.version = "17"
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        watcher.changes()


def test_a_wait_can_be_cancelled(vc):
    watcher = Watcher(vc, vm=["runtime.powerState"])
    timer = threading.Timer(0.3, watcher.collector.CancelWaitForUpdates)
    timer.start()

    with pytest.raises(vmodl.fault.RequestCanceled):
        watcher.changes(seconds=20)
    timer.join()


def test_a_list_view_can_be_watched(vc):
    content = vc.content
    view = content.viewManager.CreateListView([vc.vm("web")])
    through = Collector.TraversalSpec(path="view", type=vim.view.ListView)
    spec = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[Collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    collector = content.propertyCollector.CreatePropertyCollector()
    collector.CreateFilter(spec, False)
    first = collector.WaitForUpdatesEx("", Collector.WaitOptions(maxWaitSeconds=1))

    view.ModifyListView([vc.vm("db")], [vc.vm("web")])

    second = collector.WaitForUpdatesEx(first.version, Collector.WaitOptions(maxWaitSeconds=5))
    assert {(u.kind, u.obj) for u in second.filterSet[0].objectSet} == {
        ("enter", vc.vm("db")),
        ("leave", vc.vm("web")),
    }
