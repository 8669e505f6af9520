# SPDX-License-Identifier: Apache-2.0
"""The VLANs of an inner switch: whose they are, when they rest, and what changes with the policy of tags."""

from dataclasses import replace

import pytest
from estate_world import VMS, World

from anyvisor.contracts.store import Decision
from anyvisor.model.kinds import TagPer
from anyvisor.model.names import ObjectKey
from anyvisor.model.policy import AppliancePolicy, Policy
from anyvisor.planner.inner import inner_place, shared_group_name


@pytest.fixture
def world():
    return World()


def test_a_tag_rests_from_the_moment_its_vnic_has_been_seen_to_leave(world):
    world.run()
    (tag,) = (t for t in world.store.snapshot().tags.values() if t.holder == "vm0")
    world.want(VMS[1:])
    world.engine.round((), everything=True)

    assert world.store.snapshot().tags[tag.scope, tag.vlan].released == 0
    world.now = 2000.0
    world.run()

    assert world.groups()["vm0"] == "before"
    assert world.store.snapshot().tags[tag.scope, tag.vlan].released == 2000


def test_a_vnic_that_comes_while_a_tag_rests_gets_another(world):
    world.want(VMS[:3])
    world.run()
    before = {t.holder: t.vlan for t in world.store.snapshot().tags.values()}
    world.want(VMS[1:])
    world.run()

    after = {t.holder: t.vlan for t in world.store.snapshot().tags.values() if not t.released}

    assert after["vm3"] not in before.values()
    assert {vm: after[vm] for vm in ("vm1", "vm2")} == {vm: before[vm] for vm in ("vm1", "vm2")}


SHARING = Policy(
    appliance=AppliancePolicy(
        template="t", management="m", tunnel="t", database="ssl:192.0.2.1:6640", tags=TagPer.NETWORK
    )
)


def test_the_policy_changes_and_back_and_no_vnic_is_forgotten(world):
    world.run()
    alone = world.groups()
    world.want(VMS, policy=SHARING)
    world.now = 2000.0
    world.run()

    state = world.store.snapshot()
    name = shared_group_name(inner_place(world.hosts["esx1"], state.owner), "web")
    assert set(world.groups().values()) == {name}
    assert {tag.released for tag in state.tags.values() if tag.holder in VMS} == {2000}
    assert {tag.released for tag in state.tags.values() if tag.holder == "network/web"} == {0}
    assert {world.ready(vm) for vm in VMS} == {"Up"}
    world.want(VMS)
    world.now = 3000.0
    world.run()

    assert world.groups() == alone
    (tag,) = (tag for tag in world.store.snapshot().tags.values() if tag.holder == "network/web")
    assert tag.released == 3000


def test_a_networks_tag_rests_once_its_last_vnic_has_left_and_is_its_own_again(world):
    world.want(VMS, policy=SHARING)
    world.run()
    (held,) = world.store.snapshot().tags.values()
    world.want(VMS[:1], policy=SHARING)
    world.run()
    assert world.store.snapshot().tags == {(held.scope, held.vlan): held}
    assert {vm: world.groups()[vm] for vm in VMS[1:]} == dict.fromkeys(VMS[1:], "before")

    world.want((), policy=SHARING)
    world.now = 2000.0
    world.run()

    assert world.store.snapshot().tags[held.scope, held.vlan].released == 2000
    world.want(VMS, policy=SHARING)
    world.run()
    assert world.store.snapshot().tags == {(held.scope, held.vlan): held}


def test_an_inner_switch_that_is_nearly_full_stands_in_its_managers_conditions(world):
    world.run()
    held = next(iter(world.store.snapshot().tags.values()))
    crowd = [replace(held, vlan=vlan, holder=f"old{vlan}") for vlan in range(100, 3500)]
    world.store.decide(Decision(tags={(tag.scope, tag.vlan): tag for tag in crowd}))

    world.reconciler.reconcile()

    said = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert [(each.kind, each.true) for each in said] == [("Manager", True), ("Capacity", False)]
