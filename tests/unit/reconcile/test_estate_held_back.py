# SPDX-License-Identifier: Apache-2.0
"""New vNICs are held back while the underlay, or the trunk of their appliance, is too small for them."""

import pytest
from estate_world import VMS, World

from anyvisor.contracts.store import HostReport
from anyvisor.model.names import ObjectKey
from anyvisor.planner.underlay import Finding, Question, trunk_condition, underlay_condition
from anyvisor.reconcile.estate import EstateReconciler


@pytest.fixture
def world():
    return World()


def measured(world, passed, mtu=9000):
    """Every appliance's agent says what a probe of its underlay found."""
    for name, known in world.store.snapshot().hosts.items():
        question = Question(host=name, source="192.0.2.1", size=1500, peers={"kvm1": "192.0.2.2"})
        findings = [Finding(peer="kvm1", address="192.0.2.2", passed=passed)]
        said = (underlay_condition(question, findings), trunk_condition("eth0", mtu, 1446))
        world.conditions = said
        world.store.report(HostReport(host=name, carried=known.carried, conditions=said))


def test_a_new_vnic_waits_while_its_underlay_is_too_small_and_is_let_in_once_it_carries(world):
    world.want(VMS[:2])
    world.run()
    measured(world, 1400)
    world.want(VMS)
    world.run()

    (condition,) = world.store.snapshot().conditions[ObjectKey("port", "vm2")]
    assert (condition.true, condition.reason) == (False, "MtuTooSmall")
    assert "underlay_mtu: 1400" in condition.message
    assert {vm: group for vm, group in world.groups().items() if group == "before"} == {
        "vm2": "before",
        "vm3": "before",
    }
    assert world.ready("vm0") == "Up"
    (manager,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert "vm2" in manager.message

    measured(world, 1500)
    world.run()

    assert {world.ready(vm) for vm in VMS} == {"Up"}


def test_a_new_vnic_waits_while_the_trunk_of_its_appliance_is_too_small(world):
    world.engine.round((), everything=True)
    measured(world, 1500, mtu=1400)
    world.run()

    assert {world.ready(vm) for vm in VMS} == {"MtuTooSmall"}
    assert set(world.groups().values()) == {"before"}


def test_the_engine_looks_at_a_port_again_once_it_is_held_back_no_longer(world):
    heard = []
    world.reconciler = EstateReconciler(
        "vc1",
        world.estate,
        world.store,
        wishes=lambda *_: {},
        clock=lambda: world.now,
        tell=heard.append,
    )
    world.engine.round((), everything=True)
    measured(world, 1400)
    world.agents()
    world.reconciler.reconcile()

    assert {ObjectKey("port", vm) for vm in VMS} <= set(heard)
    heard.clear()
    world.reconciler.reconcile()
    assert heard == []
    measured(world, 1500)
    world.reconciler.reconcile()
    assert {ObjectKey("port", vm) for vm in VMS} <= set(heard)
