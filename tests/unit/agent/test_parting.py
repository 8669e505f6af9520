# SPDX-License-Identifier: Apache-2.0
"""The agent in dom0 beside an appliance domain: it keeps vNICs apart, and says what it sees."""

from dataclasses import replace

import pytest

from anyvisor.codec.appliance_network import card_macs
from anyvisor.contracts.switch import SwitchCapabilities
from anyvisor.errors import RetryableError
from anyvisor.model.attachment import Plug
from anyvisor.model.condition import Condition
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.state import HostState, Plugged
from anyvisor.model.vnic import Vnic
from anyvisor.planner.inner import inner_place
from anyvisor.planner.plugs import pair_names
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.parting import Parting
from anyvisor.reconcile.separation import Separation
from anyvisor.testing.switch import FakeLinuxBridges

HOST = "kvm1"
M1, M2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
TRUNK = card_macs("0f0f", HOST, 1)["trunk"]
THEIRS = Condition(kind="ChassisReady", true=True, reason="Configured")


@pytest.fixture
def dom0(world):
    """A Xen host whose appliance is at work; its agent in dom0."""
    site = world.store.state.site
    host = replace(site.hosts[HOST], hypervisor=Hypervisor.XEN, version="4.17", switches=())
    world.store.state = replace(
        world.store.state,
        site=replace(site, hosts={HOST: host}),
        hosts={HOST: HostState(scheme=Scheme.APPLIANCE, carried=Scheme.APPLIANCE, conditions=(THEIRS,))},
    )
    world.bridges = FakeLinuxBridges(capabilities=SwitchCapabilities(vlan_filtering=True))
    outages = Outages(world.memory, lambda: world.now)
    integration = Integration(
        world._switch, outages=outages, hypervisor=world.hypervisor, surroundings=world.ground
    )
    world.agent = ChassisReconciler(
        HOST,
        world.store,
        integration,
        outages=outages,
        ways=Ways(
            separation=Separation(world.bridges, world.hypervisor),
            parting=Parting(world.bridges, world.hypervisor, world.ground),
        ),
    )
    world.start_vm(TRUNK, "vif9.1")
    world.inner = inner_place(host, "0f0f").switch
    return world


def laid(world, *names):
    """The appliance's agent has laid these."""
    said = {name: Plugged(device=pair_names(name)[0]) for name in names}
    world.store.state = replace(world.store.state, plugged={**world.store.state.plugged, **said})


def behind(world, name, mac, vlan):
    return world.attach(name, mac, AttachmentKind.VLAN_ACCESS, vlan)


def test_a_vnic_is_let_in_on_its_vlan_once_its_way_is_laid(dom0):
    behind(dom0, "vm1", M1, 101)
    behind(dom0, "vm2", M2, 102)
    dom0.start_vm(M1, "vif1.0")
    dom0.start_vm(M2, "vif2.0")
    laid(dom0, "vm1")

    assert dom0.agent.reconcile().error is None

    assert {p.device: (p.bridge, p.vlan) for p in dom0.bridges.plugged.values()} == {
        "vif1.0": (dom0.inner, 101)
    }
    laid(dom0, "vm2")
    dom0.agent.reconcile()
    assert {p.device: p.vlan for p in dom0.bridges.plugged.values()} == {"vif1.0": 101, "vif2.0": 102}


def test_what_it_plugged_itself_under_another_scheme_is_no_way_that_was_laid(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    dom0.store.state = replace(dom0.store.state, plugged={"vm1": Plugged(device="vif1.0")})

    dom0.agent.reconcile()

    assert dom0.bridges.plugged == {}


def test_it_adds_one_condition_and_the_vlans_and_leaves_the_rest_to_the_appliance(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")

    dom0.agent.reconcile()

    host = dom0.store.state.hosts[HOST]
    assert THEIRS in host.conditions
    assert dom0.conditions()["InnerSwitch"].true
    assert host.inner_vlans == {101}
    assert host.carried is Scheme.APPLIANCE
    assert dom0.store.state.plugged["vm1"].device == pair_names("vm1")[0]


def test_a_second_look_says_and_does_nothing(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")
    dom0.agent.reconcile()
    before = dict(dom0.bridges.plugged)

    dom0.agent.reconcile()

    assert len(dom0.store.reports) == 1
    assert dom0.bridges.plugged == before


def test_a_vnic_that_nobody_wants_there_any_more_is_put_out_and_its_vlan_no_longer_named(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")
    dom0.agent.reconcile()

    dom0.detach("vm1")
    dom0.agent.reconcile()

    assert dom0.bridges.plugged == {}
    assert dom0.store.state.hosts[HOST].inner_vlans == frozenset()


def test_without_the_trunk_nobody_is_moved_and_it_is_said(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")
    dom0.agent.reconcile()
    before = dict(dom0.bridges.plugged)

    dom0.hypervisor.stop(HOST, TRUNK)
    dom0.agent.reconcile()

    assert dom0.bridges.plugged == before
    assert "trunk" in dom0.conditions()["InnerSwitch"].message
    assert dom0.store.state.hosts[HOST].inner_vlans == {101}


def test_a_kernel_without_filters_lets_nobody_in(dom0):
    dom0.bridges._capabilities = SwitchCapabilities()
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")

    dom0.agent.reconcile()

    assert dom0.bridges.plugged == {}
    assert "do not filter" in dom0.conditions()["InnerSwitch"].message


def test_a_hypervisor_that_does_not_answer_takes_no_vlan_back(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")
    dom0.agent.reconcile()
    dom0.hypervisor.failure = RetryableError("busy")

    result = dom0.agent.reconcile()

    assert result.error is not None
    assert dom0.store.state.hosts[HOST].inner_vlans == {101}
    assert not dom0.conditions()["InnerSwitch"].true


def test_until_the_appliance_is_at_work_the_native_switch_goes_on(dom0):
    known = dom0.store.state.hosts[HOST]
    dom0.store.state = replace(
        dom0.store.state, hosts={HOST: replace(known, carried=Scheme.SEPARATION, conditions=())}
    )

    result = dom0.agent.reconcile()

    assert result.carried is Scheme.SEPARATION
    assert "InnerSwitch" not in dom0.conditions()


def test_the_appliances_agent_keeps_what_dom0_said(world):
    said = Condition(kind="InnerSwitch", true=True, reason="Parted")
    world.move_into_appliance()
    world.store.state = replace(
        world.store.state, hosts={HOST: HostState(scheme=Scheme.APPLIANCE, conditions=(said,))}
    )

    world.agent.reconcile()

    assert world.conditions()["InnerSwitch"] == said
    assert world.conditions()["ChassisReady"].true
    world.agent.reconcile()
    assert len(world.store.reports) == 1


def test_the_switch_that_was_a_chassis_before_is_none_beside_its_appliance(dom0):
    """Two chassis of one name would take the host from each other; and a vif in that bridge could not be let in."""
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    appliance = dom0.store.state
    dom0.store.state = replace(appliance, hosts={HOST: HostState(scheme=Scheme.SUBSTITUTION)})
    dom0.agent.reconcile()
    assert dom0.ovs.plugged["vm1"].device == "vif1.0"

    dom0.store.state = appliance
    laid(dom0, "vm1")
    dom0.agent.reconcile()

    assert dom0.ovs.plugged == {}
    assert "system-id" not in dom0.ovs.chassis.settings
    assert {p.device for p in dom0.bridges.plugged.values()} == {"vif1.0"}


def without_filters(world):
    world.bridges._capabilities = SwitchCapabilities()


def without_trunk(world):
    world.hypervisor.stop(HOST, TRUNK)


@pytest.mark.parametrize("lacks", [without_filters, without_trunk])
def test_also_where_nobody_can_be_let_in_no_vif_stays_in_a_bridge_of_dom0_and_who_is_cut_off_is_said(
    dom0, lacks
):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    dom0.ground.bridged = {"vif1.0": "xenbr0"}
    laid(dom0, "vm1")
    lacks(dom0)

    dom0.agent.reconcile()

    assert dom0.ground.bridged == {}
    assert "cut off for it: vif1.0" in dom0.conditions()["InnerSwitch"].message


def test_a_vif_that_we_plugged_and_somebody_moved_is_taken_out_also_while_the_appliance_is_away(dom0):
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    laid(dom0, "vm1")
    dom0.agent.reconcile()
    without_trunk(dom0)

    dom0.ground.bridged = {"vif1.0": "xenbr0"}
    dom0.agent.reconcile()

    assert dom0.ground.bridged == {}


def test_vifs_that_nobody_knows_whose_they_are_do_not_talk_past_the_appliance_either(dom0):
    behind(dom0, "vm1", M1, 101)
    laid(dom0, "vm1")
    for vm, device in (("a", "vif1.0"), ("b", "vif2.0")):
        dom0.hypervisor.start(HOST, Vnic(mac=M1, device=device, vm=vm))
    dom0.ground.bridged = {"vif1.0": "xenbr0", "vif2.0": "xenbr0"}

    dom0.agent.reconcile()

    assert (dom0.ground.bridged, dom0.bridges.plugged) == ({}, {})
    assert "none of them is given it" in dom0.conditions()["InnerSwitch"].message


def test_one_vif_that_cannot_be_taken_out_is_said_and_does_not_hold_up_the_others(dom0):
    for number in (1, 2):
        behind(dom0, f"vm{number}", f"52:54:00:00:00:0{number}", 100 + number)
        dom0.start_vm(f"52:54:00:00:00:0{number}", f"vif{number}.0")
    laid(dom0, "vm1", "vm2")
    dom0.ground.bridged = {"vif2.0": "xenbr0"}
    dom0.ground.host.switch.plugged = {
        "his": Plug(port="his", device="vif1.0", bridge="ovsbr0", iface_id="his")
    }

    dom0.agent.reconcile()

    assert dom0.ground.bridged == {}
    assert "vif2.0" in {p.device for p in dom0.bridges.plugged.values()}
    said = dom0.conditions()["InnerSwitch"].message
    assert "vif1.0 of vm1 talks past the appliance: vif1.0 is in ovs-system" in said
    assert "ovs-vsctl del-port vif1.0" in said


@pytest.mark.parametrize("ready", [True, False])
def test_a_vif_that_its_script_put_into_a_bridge_of_dom0_is_taken_out_of_it(dom0, ready):
    """It would talk there past the appliance, also while its way is not laid yet."""
    behind(dom0, "vm1", M1, 101)
    dom0.start_vm(M1, "vif1.0")
    dom0.ground.bridged = {"vif1.0": "xenbr0", "vif7.0": "xenbr0"}
    if ready:
        laid(dom0, "vm1")

    dom0.agent.reconcile()

    assert dom0.ground.bridged == {"vif7.0": "xenbr0"}, "a VM of somebody else's stays where it is"
    assert [p.device for p in dom0.bridges.plugged.values()] == (["vif1.0"] if ready else [])


def test_a_second_vm_with_the_mac_of_a_port_is_named_and_not_let_in(dom0):
    dom0.attach("vm1", M1, AttachmentKind.VLAN_ACCESS, 101, vm="web1")
    laid(dom0, "vm1")
    for vm, device in (("web1", "vif1.0"), ("thief", "vif2.0")):
        dom0.hypervisor.start(HOST, Vnic(mac=M1, device=device, vm=vm))

    dom0.agent.reconcile()

    assert [p.device for p in dom0.bridges.plugged.values()] == ["vif1.0"]
    assert "vif2.0 of thief" in dom0.conditions()["InnerSwitch"].message
