# SPDX-License-Identifier: Apache-2.0
"""The agent inside an appliance: a VLAN of the trunk per vNIC, an ordinary port of the controller each."""

from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.names import PortName
from anyvisor.model.state import Plugged
from anyvisor.planner.plugs import TRUNK_BRIDGE, pair_names

HOST = "kvm1"
M1, M2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


def behind_the_trunk(world, name, mac, vlan):
    return world.attach(name, mac, AttachmentKind.VLAN_ACCESS, vlan)


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
