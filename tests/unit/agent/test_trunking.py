# SPDX-License-Identifier: Apache-2.0
"""The agent inside an appliance: a VLAN of the trunk per vNIC, an ordinary port of the controller each."""

from dataclasses import replace

import pytest

from anyvisor.errors import RetryableError
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.names import PortName
from anyvisor.model.state import Plugged
from anyvisor.model.vnic import Counters
from anyvisor.planner.plugs import TRUNK_BRIDGE, pair_names

HOST = "kvm1"
M1, M2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


@pytest.fixture
def world(world):
    world.move_into_appliance()
    return world


def behind_the_trunk(world, name, mac, vlan, **more):
    return world.attach(name, mac, AttachmentKind.VLAN_ACCESS, vlan, **more)


def test_every_attachment_gets_its_patch_pair_before_its_vnic_is_there(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101)
    behind_the_trunk(world, "vm2", M2, 102)

    result = world.agent.reconcile()

    assert result.error is None
    assert {p.port: (p.vlan, p.trunk, p.iface_id) for p in world.ovs.plugged.values()} == {
        "vm1": (101, TRUNK_BRIDGE, "vm1"),
        "vm2": (102, TRUNK_BRIDGE, "vm2"),
    }
    assert world.store.state.hosts[HOST].carried is Scheme.APPLIANCE
    assert world.store.state.plugged["vm1"] == Plugged(device=pair_names(PortName("vm1"))[0])


def test_the_trunk_card_is_in_the_trunk_bridge_and_the_tunnel_has_the_appliances_address(world):
    world.decide(Scheme.APPLIANCE)

    world.agent.reconcile()

    assert world.ovs.chassis.bridges[TRUNK_BRIDGE].ports == {"trunk0"}
    assert world.ovs.chassis.settings["ovn-encap-ip"] == "192.0.2.21"
    assert world.ovs.chassis.settings["system-id"] == HOST


def test_the_hypervisors_own_cards_are_not_looked_for(world):
    world.decide(Scheme.APPLIANCE)

    world.agent.reconcile()

    assert not any("eth0" in bridge.ports for bridge in world.ovs.chassis.bridges.values())
    assert world.conditions()["ChassisReady"].true


def test_a_vlan_that_passes_on_is_never_held_by_two_ports(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101)
    world.agent.reconcile()

    world.detach("vm1")
    behind_the_trunk(world, "vm2", M2, 101)
    world.agent.reconcile()

    assert {p.port: p.vlan for p in world.ovs.plugged.values()} == {"vm2": 101}


def test_an_attachment_without_a_vlan_yet_waits(world):
    world.decide(Scheme.APPLIANCE)
    world.attach("vm1", M1, AttachmentKind.VLAN_ACCESS)

    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert world.store.state.plugged["vm1"] == Plugged(device=None)


def test_a_second_look_says_and_does_nothing(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101)
    world.agent.reconcile()
    before = (dict(world.ovs.plugged), world.ovs.chassis)

    world.agent.reconcile()

    assert len(world.store.reports) == 1
    assert (world.ovs.plugged, world.ovs.chassis) == before


def test_vnics_that_share_a_vlan_are_steered_by_mac_and_others_are_not(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101, shared=True)
    behind_the_trunk(world, "vm2", M2, 101, shared=True, staged="elsewhere")
    behind_the_trunk(world, "vm3", "52:54:00:00:00:03", 102)

    result = world.agent.reconcile()

    assert result.error is None
    assert {p.port: p.steered for p in world.ovs.plugged.values()} == {"vm1": True, "vm2": True, "vm3": False}
    assert {(v.port, v.mac, v.vlan, v.settled) for v in world.ovs.steered} == {
        ("vm1", M1, 101, True),
        ("vm2", M2, 101, False),
    }


def test_without_its_flows_no_way_is_called_laid(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101, shared=True)
    behind_the_trunk(world, "vm2", M2, 102)
    world.ovs.steering_failure = RetryableError("no flows today")

    world.agent.reconcile()

    assert world.store.state.plugged["vm1"] == Plugged(device=None)
    assert world.store.state.plugged["vm2"].device is not None
    assert "no flows today" in world.conditions()["VnicsPlugged"].message
    world.ovs.steering_failure = None
    world.agent.reconcile()
    assert world.store.state.plugged["vm1"].device is not None


def test_what_shares_its_tag_is_counted_anew_when_it_begins_to(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101)
    world.agent.reconcile()
    world.start_vm(M1, "tap1")
    world.ovs.counted[PortName("vm1")] = Counters(tx_bytes=5000)
    world.agent.reconcile()
    world.agent.reconcile()

    behind_the_trunk(world, "vm1", M1, 50, shared=True)
    world.ovs.counted[PortName("vm1")] = Counters(tx_bytes=100)
    world.agent.reconcile()

    assert world.sink.vnics["vm1"].controlled == Counters()


def test_under_another_scheme_the_appliance_says_nothing_and_lets_go_once_that_is_in_force(world):
    world.decide(Scheme.APPLIANCE)
    behind_the_trunk(world, "vm1", M1, 101)
    world.agent.reconcile()
    said = len(world.store.reports)

    world.decide(Scheme.SUBSTITUTION)
    world.agent.reconcile()
    assert world.ovs.plugged.keys() == {"vm1"}

    here = world.store.state.hosts[HOST]
    world.store.state = replace(world.store.state, hosts={HOST: replace(here, carried=Scheme.SUBSTITUTION)})
    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert "system-id" not in world.ovs.chassis.settings
    assert len(world.store.reports) == said
