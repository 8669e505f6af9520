# SPDX-License-Identifier: Apache-2.0
"""Appliances in which no agent may run: child ports in OVN, and the manager's driver speaks for the host."""

import pytest
from estate_world import VMS, World, esx

from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.logical import LogicalTrunk
from anyvisor.model.names import ObjectKey
from anyvisor.model.state import Telemetry
from anyvisor.model.vnic import Counters
from anyvisor.planner.inner import group_name
from anyvisor.reconcile.tally import Tally
from anyvisor.reconcile.vigil import watched_seats


@pytest.fixture
def world():
    return World(agentless=True)


def attachments(world):
    return world.store.snapshot().attachments


def test_every_vnic_ends_alone_on_a_tag_as_a_child_of_its_appliances_trunk(world):
    world.run()

    state = world.store.snapshot()
    assert world.groups() == {vm: group_name(state.owner, vm) for vm in VMS}
    assert {a.kind for a in state.attachments.values()} == {AttachmentKind.CHILD}
    ports = {vm: world.controller.objects[ObjectKey("port", vm)] for vm in VMS}
    assert {vm: port.tag for vm, port in ports.items()} == {
        vm: a.vlan for vm, a in attachments(world).items()
    }
    assert len({port.tag for port in ports.values()}) == len(VMS)
    for host in ("esx1", "esx2"):
        assert world.controller.objects[ObjectKey("host", host)] == LogicalTrunk(host=host, chassis=(host,))


def test_the_manager_says_what_is_in_force_and_nobody_waits_for_signs_of_life(world):
    world.run()

    state = world.store.snapshot()
    assert {known.carried for known in state.hosts.values()} == {Scheme.APPLIANCE}
    assert {world.ready(vm) for vm in VMS} == {"Up"}
    assert watched_seats(state) == ()


def test_a_migration_is_not_staged_and_moves_parent_and_chassis_in_one_with_the_tag(world):
    world.run()
    tag = attachments(world)["vm0"].vlan

    world.estate.begin_move("vm0", "esx2")
    world.run()
    during = world.controller.objects[ObjectKey("port", "vm0")]
    world.estate.finish_move("vm0")
    world.run()
    after = world.controller.objects[ObjectKey("port", "vm0")]

    assert (during.chassis, during.tag) == (("esx1",), tag)
    assert (after.chassis, after.tag) == (("esx2",), tag)


def test_a_host_whose_appliance_may_have_an_agent_again_loses_its_trunk(world):
    world.run()

    world.hosts = {name: esx(name, Scheme.APPLIANCE) for name in world.hosts}
    world.want(VMS)
    world.run()

    assert {a.kind for a in attachments(world).values()} == {AttachmentKind.VLAN_ACCESS}
    assert not [key for key in world.controller.objects if key.kind == "host"]
    assert {world.ready(vm) for vm in VMS} == {"Up"}


class Readings:
    def __init__(self):
        self.held = {}

    def read(self):
        return Telemetry(vnics=dict(self.held))

    def write(self, vnics, stations, cards=()):
        self.held |= {reading.port: reading for reading in vnics}


def test_what_the_inner_switch_counted_went_to_the_appliance(world):
    world.run()
    cards = {card.vm: card.id for card in world.estate.estate().cards.values() if card.vm in VMS}
    world.estate.counted = {cards["vm0"]: Counters(rx_bytes=700, tx_bytes=300)}
    readings = Readings()

    Tally(world.estate, lambda: readings, clock=lambda: 5.0).take(attachments(world).values(), cards)

    found = readings.held["vm0"]
    assert found.kind is AttachmentKind.CHILD
    assert found.hypervisor.bytes == found.controlled.bytes == 1000
