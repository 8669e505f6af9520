# SPDX-License-Identifier: Apache-2.0
"""What is said of a manager: refusals, rights, hosts out of its reach, that it was never reached."""

import threading
from dataclasses import replace

import pytest
from estate_world import VMS, World

from anyvisor.errors import RetryableError, TerminalError, UnreachableError
from anyvisor.model.estate import CardProblem, MakeSwitch, MissingRight
from anyvisor.model.names import ObjectKey
from anyvisor.planner.inner import group_name
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.rights import AGAIN_SECONDS, ASK_SECONDS


@pytest.fixture
def world():
    return World()


def test_a_manager_that_does_not_answer_changes_nothing_and_is_named(world):
    world.run()
    world.estate.failure = UnreachableError("vc1 does not answer")

    looked = world.reconciler.reconcile()

    assert isinstance(looked.error, UnreachableError)
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert (condition.true, condition.reason) == (False, "Unreachable")
    world.estate.failure = None
    world.reconciler.reconcile()
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert condition.true


def test_one_card_that_is_refused_is_said_and_does_not_hold_up_the_others(world):
    world.run()
    away = {name: group for name, group in world.groups().items() if name != "vm0"}
    world.want(())
    world.run()
    world.want(VMS)
    world.engine.round((), everything=True)
    world.agents()
    broken = next(c for c in world.estate.estate().cards.values() if c.vm == "vm0")
    apply = world.estate.apply

    def refuse(steps):
        for step in steps:
            if getattr(step, "card", None) == broken.id:
                raise TerminalError("vm0 cannot be wired")
            apply([step])

    world.estate.apply = refuse
    for _ in range(3):
        looked = world.reconciler.reconcile()

    assert str(looked.error) == "vm0 cannot be wired"
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert (condition.true, condition.reason, condition.message) == (False, "Refused", "vm0 cannot be wired")
    assert {name: group for name, group in world.groups().items() if name != "vm0"} == away


def test_of_several_refusals_the_first_is_said_since_others_may_follow_from_it(world):
    world.engine.round((), everything=True)
    apply = world.estate.apply

    def refuse(steps):
        for step in steps:
            if isinstance(step, MakeSwitch):
                raise RetryableError("the host does not answer")
            apply([step])

    world.estate.apply = refuse

    looked = world.reconciler.reconcile()

    assert str(looked.error) == "the host does not answer"


def said_of(world, kind):
    conditions = world.store.snapshot().conditions.get(ObjectKey("manager", "vc1"), ())
    return [condition for condition in conditions if condition.kind == kind]


def test_rights_that_are_missing_are_said_and_stop_nothing(world):
    world.estate.missing = (MissingRight("Host.Inventory.EditCluster", "pin appliances to their hosts"),)

    world.run()

    (said,) = said_of(world, "Rights")
    assert (said.true, said.reason) == (False, "Missing")
    assert "Host.Inventory.EditCluster (pin appliances to their hosts)" in said.message
    assert [c.true for c in said_of(world, "Manager")] == [True]
    assert {g.key for g in world.estate.estate().groups.values()} >= {f"port/{vm}" for vm in VMS}


def test_a_vnic_under_fault_tolerance_is_named_and_driven_all_the_same(world):
    card = next(c for c in world.estate.estate().cards.values() if c.vm == "vm0")
    world.estate.change_card(replace(card, problem=CardProblem.FAULT_TOLERANCE))

    world.run()

    (said,) = said_of(world, "Checked")
    assert (said.true, said.reason) == (False, "FaultTolerance")
    assert said.message.startswith("vm0: its VM (vm0) is under Fault Tolerance")
    assert [(c.true, c.reason) for c in said_of(world, "Manager")] == [(True, "Driven")]
    assert world.ready("vm0") == world.ready("vm1") == "Up"


def test_rights_are_asked_for_now_and_then_and_not_at_each_look(world):
    right = MissingRight("Network.Assign", "plug cards into port groups")
    world.run()
    world.estate.missing = (right,)
    world.reconciler.reconcile()
    assert said_of(world, "Rights") == []

    world.now += ASK_SECONDS
    world.reconciler.reconcile()
    assert [c.reason for c in said_of(world, "Rights")] == ["Missing"]

    world.estate.missing = ()
    world.now += ASK_SECONDS
    world.reconciler.reconcile()
    assert said_of(world, "Rights") == []


def test_a_manager_that_does_not_tell_our_rights_is_asked_again_soon_and_driven_all_the_same(world):
    world.estate.faults.fail(2, TerminalError("it does not tell"))
    world.run()
    assert not world.estate.faults.pending
    assert [c.true for c in said_of(world, "Manager")] == [True]
    world.estate.missing = (MissingRight("Network.Assign", "plug cards into port groups"),)

    world.now += AGAIN_SECONDS
    world.reconciler.reconcile()

    assert [c.reason for c in said_of(world, "Rights")] == ["Missing"]


def test_a_host_that_the_manager_does_not_reach_is_left_out_and_named_and_the_others_go_on(world):
    world.estate.lose("esx2")
    for _ in range(4):
        world.engine.round((), everything=True)
        world.agents()
        looked = world.reconciler.reconcile()
        assert looked.error is None

    owner = world.store.snapshot().owner
    assert looked.steps == ()
    assert world.groups() == {vm: group_name(owner, vm) if vm in {"vm0", "vm2"} else "before" for vm in VMS}
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert not condition.true
    assert "esx2: the manager does not reach it (notResponding)" in condition.message

    world.estate.find("esx2")
    world.run()
    assert world.groups() == {vm: group_name(owner, vm) for vm in VMS}
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert condition.true


def test_a_manager_that_was_never_reached_is_named_too():
    tries, heard = [], threading.Event()

    def connect():
        tries.append(1)
        raise UnreachableError("vc1: no connection: refused")

    attendant = Attendant(
        "vc1", connect, lambda _: None, failed=lambda error: said.append(error) or heard.set()
    )
    said = []
    attendant.start()
    assert heard.wait(60)
    attendant.stop()

    assert str(said[0]) == "vc1: no connection: refused"
