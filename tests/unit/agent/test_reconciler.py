# SPDX-License-Identifier: Apache-2.0
"""One host brought to what was decided for it."""

from dataclasses import replace

import pytest

from anyvisor.errors import UnreachableError
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.site import Site
from anyvisor.model.state import Plugged
from anyvisor.model.vnic import Counters

HOST = "kvm1"

M1, M2 = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_a_vnic_that_is_there_is_plugged_bound_and_reported(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")

    result = world.agent.reconcile()

    assert result.error is None
    assert {p.device: p.iface_id for p in world.ovs.plugged.values()} == {"tap1": "vm1"}
    assert world.store.state.hosts[HOST].carried is Scheme.BASELINE
    assert world.store.state.plugged == {"vm1": Plugged(device="tap1")}
    assert world.conditions()["ChassisReady"].true


def test_a_vnic_that_is_not_there_yet_is_reported_as_such(world):
    world.attach("vm1", M1)

    world.agent.reconcile()

    assert world.store.state.plugged == {"vm1": Plugged(device=None)}


def test_a_second_look_says_and_does_nothing(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()
    before = (dict(world.ovs.plugged), world.ovs.chassis)

    world.agent.reconcile()

    assert len(world.store.reports) == 1
    assert (world.ovs.plugged, world.ovs.chassis) == before


def test_a_restarted_agent_finds_its_work_done(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.restart()
    world.agent.reconcile()

    assert len(world.store.reports) == 1
    assert set(world.ovs.plugged) == {"vm1"}


def test_a_vm_that_stopped_is_unplugged(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.hypervisor.stop(HOST, M1)
    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert world.store.state.plugged["vm1"].device is None


def test_a_vm_that_came_back_with_another_device_is_plugged_anew(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.hypervisor.stop(HOST, M1)
    world.start_vm(M1, "tap9")
    world.agent.reconcile()

    assert [p.device for p in world.ovs.plugged.values()] == ["tap9"]


def test_a_hypervisor_that_does_not_answer_unplugs_nothing(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.hypervisor.failure = UnreachableError("libvirtd is away")
    result = world.agent.reconcile()

    assert isinstance(result.error, UnreachableError)
    assert set(world.ovs.plugged) == {"vm1"}
    assert world.store.state.plugged["vm1"].device == "tap1"
    assert "libvirtd is away" in world.conditions()["ChassisReady"].message


def test_a_host_that_vanished_from_the_site_is_left_as_it_is(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.store.state = replace(world.store.state, site=Site(), attachments={})
    world.agent.reconcile()

    assert set(world.ovs.plugged) == {"vm1"}


def test_a_port_that_was_removed_is_unplugged(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.detach("vm1")
    world.agent.reconcile()

    assert world.ovs.plugged == {}


def test_one_foreign_device_does_not_hold_up_the_others(world):
    world.attach("vm1", M1)
    world.attach("vm2", M2)
    world.start_vm(M1, "theirs")
    world.start_vm(M2, "tap2")

    world.agent.reconcile()

    assert set(world.ovs.plugged) == {"vm2"}
    assert "theirs" in world.conditions()["VnicsPlugged"].message
    assert world.store.state.plugged["vm1"].device is None


def test_a_foreign_controller_is_reported_and_nothing_is_plugged(world):
    world.ovs.chassis = replace(world.ovs.chassis, settings={"ovn-remote": "ssl:elsewhere:6642"})
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")

    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert world.conditions()["ChassisReady"].reason == "Foreign"
    assert world.store.state.hosts[HOST].carried is None


def test_a_vnic_in_a_linux_bridge_stays_there_under_baseline(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.ground.bridged = {"tap1": "br0"}

    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert world.ground.bridged == {"tap1": "br0"}
    assert "br0" in world.conditions()["VnicsPlugged"].message


def test_under_substitution_a_vnic_leaves_its_linux_bridge_and_the_outage_is_measured(world):
    world.decide(Scheme.SUBSTITUTION)
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.ground.bridged = {"tap1": "br0"}

    world.agent.reconcile()
    assert world.ground.bridged == {}
    assert world.store.state.plugged["vm1"] == Plugged(device="tap1")
    world.now += 0.25
    world.ovs.up = {"vm1"}
    world.agent.reconcile()

    assert world.store.state.plugged["vm1"] == Plugged(device="tap1", outage_ms=250)


def test_an_outage_is_measured_across_a_restart_of_the_agent(world):
    world.decide(Scheme.SUBSTITUTION)
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.ground.bridged = {"tap1": "br0"}
    world.agent.reconcile()

    world.restart()
    world.now += 3.0
    world.ovs.up = {"vm1"}
    world.agent.reconcile()

    assert world.store.state.plugged["vm1"].outage_ms == 3000


def test_under_separation_the_network_gets_a_bridge_and_the_vnic_is_in_it(world):
    world.decide(Scheme.SEPARATION)
    world.ovs_failure = UnreachableError("no Open vSwitch here")
    world.attach("vm1", M1, AttachmentKind.EXTERNAL)
    world.start_vm(M1, "tap1")

    world.agent.reconcile()

    assert [(b.name, b.uplink) for b in world.bridges.made.values()] == [("av-web", "eth1")]
    assert [(p.device, p.bridge) for p in world.bridges.plugged.values()] == [("tap1", "av-web")]
    assert world.store.state.hosts[HOST].carried is Scheme.SEPARATION


def test_a_bridge_goes_with_the_last_port_of_its_network(world):
    world.decide(Scheme.SEPARATION)
    world.attach("vm1", M1, AttachmentKind.EXTERNAL)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.detach("vm1")
    world.agent.reconcile()

    assert world.bridges.made == {}
    assert world.bridges.plugged == {}


def test_going_back_to_separation_takes_the_vnics_out_of_the_integration_bridge(world):
    world.decide(Scheme.SUBSTITUTION)
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()

    world.decide(Scheme.SEPARATION)
    world.attach("vm1", M1, AttachmentKind.EXTERNAL)
    world.agent.reconcile()

    assert world.ovs.plugged == {}
    assert set(world.bridges.plugged) == {"vm1"}


def test_a_database_that_does_not_answer_costs_nothing_but_the_report(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.store.failure = UnreachableError("the database is away")

    result = world.agent.reconcile()

    assert isinstance(result.error, UnreachableError)
    assert set(world.ovs.plugged) == {"vm1"}
    world.store.failure = None
    world.agent.reconcile()
    assert world.store.state.plugged["vm1"].device == "tap1"


def test_counters_begin_at_zero_and_go_on_across_restarts_and_resets(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.hypervisor.counted[M1] = Counters(tx_bytes=500)
    world.agent.reconcile()
    assert world.sink.vnics["vm1"].hypervisor == Counters()

    world.hypervisor.counted[M1] = Counters(tx_bytes=600)
    world.restart()
    world.agent.reconcile()
    assert world.sink.vnics["vm1"].hypervisor.tx_bytes == 100

    world.hypervisor.counted[M1] = Counters(tx_bytes=30)
    world.agent.reconcile()
    assert world.sink.vnics["vm1"].hypervisor.tx_bytes == 130


def test_counters_begin_anew_with_another_kind_of_attachment(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()
    world.hypervisor.counted[M1] = Counters(tx_bytes=600)
    world.agent.reconcile()

    world.decide(Scheme.SEPARATION)
    world.attach("vm1", M1, AttachmentKind.EXTERNAL)
    world.agent.reconcile()

    reading = world.sink.vnics["vm1"]
    assert (reading.kind, reading.hypervisor) == (AttachmentKind.EXTERNAL, Counters())


def test_a_telemetry_database_that_is_away_loses_no_byte(world):
    world.attach("vm1", M1)
    world.start_vm(M1, "tap1")
    world.agent.reconcile()
    world.hypervisor.counted[M1] = Counters(rx_bytes=70)
    world.sink.failure = UnreachableError("telemetry is away")
    world.agent.reconcile()
    world.hypervisor.counted[M1] = Counters(rx_bytes=80)
    world.sink.failure = None

    world.agent.reconcile()

    assert world.sink.vnics["vm1"].hypervisor.rx_bytes == 80


def in_pool(world, **facts):
    """The host is one that XAPI manages."""
    site = world.store.state.site
    host = replace(
        site.hosts[HOST],
        hypervisor=Hypervisor.XEN,
        version="8.3.0",
        facts={"toolstack": "xapi", "network_backend": "openvswitch", **facts},
    )
    world.store.state = replace(world.store.state, site=replace(site, hosts={HOST: host}))


def test_under_separation_the_agent_of_a_pools_host_leaves_all_to_the_pool(world):
    in_pool(world)
    world.decide(Scheme.SEPARATION)
    world.attach("vm1", "52:54:00:00:00:01", AttachmentKind.EXTERNAL)
    world.start_vm("52:54:00:00:00:01", "vif1.0")

    result = world.agent.reconcile()

    assert result.error is None
    assert world.store.reports == []
    assert world.bridges.observe() == {}


@pytest.mark.parametrize("scheme", [Scheme.BASELINE, Scheme.SUBSTITUTION])
def test_of_a_pools_host_the_agent_makes_the_integration_bridge_and_no_other(world, scheme):
    in_pool(world)
    world.decide(scheme)
    world.attach("vm1", "52:54:00:00:00:01")

    world.agent.reconcile()

    assert world.store.state.hosts[HOST].carried is scheme
    assert set(world.ovs.chassis.bridges) == {"br-int"}
    assert "XAPI makes it" in world.conditions()["ChassisReady"].message


def test_a_switch_that_takes_no_flows_in_any_more_is_said_and_what_is_plugged_stays(world):
    world.attach("vm1", "0a:00:00:00:00:01")
    world.start_vm("0a:00:00:00:00:01", "tap1")
    world.agent.reconcile()
    world.ovs.broken = "ovs-vswitchd does not run"

    assert world.agent.reconcile().error is None

    said = world.conditions()["ChassisReady"]
    assert (said.true, said.reason, said.message) == (False, "Incomplete", "ovs-vswitchd does not run")
    assert world.store.state.plugged["vm1"].device == "tap1"
    world.ovs.broken = None
    world.agent.reconcile()
    assert world.conditions()["ChassisReady"].true
