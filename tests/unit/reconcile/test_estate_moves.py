# SPDX-License-Identifier: Apache-2.0
"""VMs that a manager moves from host to host: wired where they run, followed on their way, remembered."""

from dataclasses import replace

import pytest
from estate_world import VMS, World

from anyvisor.errors import TerminalError
from anyvisor.model.host import NativeSwitch
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.planner.moves import Binding
from anyvisor.testing.estate import FakeEstate
from anyvisor.testing.store import FakeStore


@pytest.fixture
def world():
    return World()


def chassis_of(world, vm):
    return world.controller.objects[ObjectKey("port", vm)].chassis


def test_a_vm_that_runs_elsewhere_than_the_intent_says_is_wired_where_it_runs(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.estate.finish_move("vm0")

    world.run()

    state = world.store.snapshot()
    assert state.attachments["vm0"].host == "esx2"
    assert chassis_of(world, "vm0") == ("esx2",)
    assert world.ready("vm0") == "Up"
    assert state.site.ports["vm0"].host == "esx1"


def test_while_a_vm_moves_everything_is_laid_on_the_target_with_the_tag_it_has(world):
    world.run()
    before = world.store.snapshot().attachments["vm0"]
    world.estate.begin_move("vm0", "esx2")

    world.run()

    state = world.store.snapshot()
    assert state.attachments["vm0"] == replace(before, staged="esx2")
    assert chassis_of(world, "vm0") == ("esx1", "esx2")
    assert (
        state.attachments["vm0"]
        in FakeStore(world.store.database, host="esx2").snapshot().attachments.values()
    )


def test_a_move_that_fails_takes_the_target_back(world):
    world.run()
    before = world.store.snapshot().attachments["vm0"]
    world.estate.begin_move("vm0", "esx2")
    world.run()
    world.estate.finish_move("vm0", success=False)

    world.run()

    assert world.store.snapshot().attachments["vm0"] == before
    assert chassis_of(world, "vm0") == ("esx1",)


def test_twenty_moves_leave_no_tag_and_no_group_behind(world):
    world.run()
    before = world.store.snapshot().tags, set(world.estate.estate().groups)

    for number in range(20):
        world.estate.begin_move("vm0", f"esx{2 - number % 2}")
        world.run(looks=2)
        world.estate.finish_move("vm0")
        world.run(looks=2)

    assert (world.store.snapshot().tags, set(world.estate.estate().groups)) == before
    assert world.store.snapshot().attachments["vm0"].host == "esx1"


def test_a_migration_is_kept_with_what_was_measured_of_it(world):
    world.run()
    world.controller.bound["vm0"] = Binding(chassis="esx1", up=True)
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.engine.round((), everything=True)
    world.now += 0.25
    world.controller.bound["vm0"] = Binding(chassis="esx1", also=frozenset({"esx2"}), up=True)
    world.engine.round([ObjectKey("port", "vm0")])
    world.now += 1
    world.estate.finish_move("vm0")
    world.reconciler.reconcile()
    world.now += 0.05
    world.controller.bound["vm0"] = Binding(chassis="esx2", up=True)
    world.run()

    (move,) = world.store.snapshot().moves["vm0"]
    assert (move.origin, move.target) == ("esx1", "esx2")
    assert move.since_begun() == {"staged": 250, "arrived": 1250, "finalised": 1300}
    assert move.outage_ms == 0
    assert world.controller.followed == frozenset()


def test_a_migration_that_was_under_way_when_the_daemon_died_is_followed_by_the_next(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.restart()
    world.estate.finish_move("vm0")
    world.reconciler.reconcile()
    world.controller.bound["vm0"] = Binding(chassis="esx2", up=True)
    world.run()

    (move,) = world.store.snapshot().moves["vm0"]
    assert move.over


def test_migrations_of_a_port_that_is_gone_are_forgotten(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.estate.finish_move("vm0")
    world.run()
    world.want(VMS[1:])
    world.run()

    assert world.store.snapshot().moves == {}


def test_a_migration_that_vcenter_refuses_leaves_everything_as_it_was():
    """Behind a standard switch without uplinks a VM does not move."""
    world = World()
    vss = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",))
    world.hosts = {
        name: replace(host, switches=(vss,), facts={"edition": "standard"})
        for name, host in world.hosts.items()
    }
    world.estate = FakeEstate()
    for host in world.hosts.values():
        world.estate.add_host(host)
        for group in ("before", "mgmt"):
            world.estate.add_group("vSwitch0", group, host=host.name)
    world.estate.add_template("appliance", "esx1")
    for number, vm in enumerate(VMS):
        world.estate.add_vm(vm, f"esx{1 + number % 2}", ("vSwitch0", "before"))
    world.macs = {card.vm: card.mac for card in world.estate.estate().cards.values()}
    world.want(VMS)
    world.restart()
    world.run()
    before = world.store.snapshot()

    with pytest.raises(TerminalError, match="virtual intranet"):
        world.estate.begin_move("vm0", "esx2")
    world.run(looks=2)

    after = world.store.snapshot()
    assert (after.attachments, after.tags, after.placements) == (
        before.attachments,
        before.tags,
        before.placements,
    )
    assert world.reconciler.reconcile().steps == ()
    assert {world.ready(vm) for vm in VMS} == {"Up"}
