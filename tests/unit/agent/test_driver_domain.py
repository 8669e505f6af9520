# SPDX-License-Identifier: Apache-2.0
"""A network driver domain serves the vNICs of its host; an agent in dom0 leaves them to it, and the other way round."""

from dataclasses import replace

import pytest

from anyvisor.drivers.xl.uplink import lends_pages
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.vnic import Vnic
from anyvisor.planner.seats import chassis_name
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.driver_domain import DriverDomain
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.parting import Parting
from anyvisor.reconcile.trunking import Ground

MAC = "0a:00:00:00:00:01"


@pytest.fixture
def xen(world):
    """The host of that world as a Xen host, whose dom0 must stay."""
    (name, known) = next(iter(world.store.state.site.hosts.items()))
    host = Host(
        name=name,
        hypervisor=Hypervisor.XEN,
        version="4.17",
        facts={"dom0_locked": True},
        switches=(NativeSwitch(name="xenbr0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),),
        nics=known.nics,
    )
    site = replace(world.store.state.site, hosts={name: host})
    world.store.state = replace(world.store.state, site=site)
    world.decide(Scheme.APPLIANCE)
    world.attach("p1", MAC)
    world.hypervisor.running[name] = (Vnic(mac=MAC, device="vif4.0"),)
    return world


def agent(world, *, in_domain, fault=None):
    (name,) = world.store.state.site.hosts
    outages = Outages(world.memory, lambda: world.now)
    integration = Integration(
        lambda: world.ovs, outages=outages, hypervisor=world.hypervisor, surroundings=world.ground
    )
    ground = Ground(trunk="", uplink="eth0", bridge="br-ex", tunnel_ip="192.0.2.22", physical="fabric")
    ways = (
        Ways(
            driver_domain=DriverDomain(
                integration, ground, fault_of=lambda card: fault and f"{card} {fault}"
            ),
            lookout=world.hypervisor,
        )
        if in_domain
        else Ways(parting=Parting(world.bridges, world.hypervisor, world.ground), lookout=world.hypervisor)
    )
    return ChassisReconciler(name, world.store, integration, outages=outages, ways=ways)


def test_in_the_domain_vifs_become_plain_ports_and_its_cards_are_its_own(xen):
    result = agent(xen, in_domain=True).reconcile()

    assert result.carried is Scheme.APPLIANCE
    assert result.plugged == {"p1": "vif4.0"}
    assert xen.store.state.plugged["p1"].device == "vif4.0"
    assert xen.ovs.observe_chassis().settings["ovn-encap-ip"] == "192.0.2.22"
    assert xen.conditions()["ChassisReady"].true
    assert result.mappings == {"fabric": "br-ex"}


def test_an_agent_in_dom0_of_such_a_host_does_and_says_nothing(xen):
    before = xen.store.state

    result = agent(xen, in_domain=False).reconcile()

    assert (result.carried, result.conditions) == (None, ())
    assert xen.store.state == before
    assert xen.bridges.observe() == {}


@pytest.mark.parametrize(
    ("scheme", "facts"),
    [(Scheme.SEPARATION, {"dom0_locked": True}), (Scheme.APPLIANCE, {}), (None, {"dom0_locked": True})],
)
def test_where_the_host_has_another_scheme_or_form_the_domain_leaves_it_alone(xen, scheme, facts):
    (name, host) = next(iter(xen.store.state.site.hosts.items()))
    site = replace(xen.store.state.site, hosts={name: replace(host, facts=facts)})
    xen.store.state = replace(xen.store.state, site=site)
    xen.decide(scheme)
    before = xen.store.state

    agent(xen, in_domain=True).reconcile()

    assert xen.store.state == before
    assert xen.ovs.observe() == {}


def test_the_chassis_is_called_as_the_host_is(xen):
    (name,) = xen.store.state.site.hosts
    ground = Ground(trunk="", uplink="eth0", bridge="br-ex")

    assert ground.chassis(xen.store.state.site.hosts[name]).name == chassis_name(name, 1) == name
    assert ground.chassis(xen.store.state.site.hosts[name]).nics == (Nic(name="eth0"),)


def test_a_card_that_cannot_carry_what_vifs_send_is_said(xen):
    agent(xen, in_domain=True, fault="lends no pages").reconcile()

    condition = xen.conditions()["ChassisReady"]
    assert not condition.true
    assert "eth0 lends no pages" in condition.message


@pytest.mark.parametrize(
    ("driver", "trusted", "fine"),
    [("vif", "Y", False), ("vif", None, False), ("vif", "N", True), ("e1000e", "Y", True), (None, "Y", True)],
)
def test_only_a_vif_that_copies_can_be_the_way_out(tmp_path, driver, trusted, fine):
    device = tmp_path / "class" / "net" / "eth0" / "device"
    device.mkdir(parents=True)
    if driver is not None:
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        (device / "driver").symlink_to(tmp_path / "drivers" / driver)
    if trusted is not None:
        parameters = tmp_path / "module" / "xen_netfront" / "parameters"
        parameters.mkdir(parents=True)
        (parameters / "trusted").write_text(f"{trusted}\n")

    said = lends_pages("eth0", tmp_path)

    assert (said is None) == fine
    assert said is None or "xen_netfront.trusted=0" in said


@pytest.mark.parametrize("in_domain", [True, False])
def test_whoever_served_before_is_no_chassis_once_the_other_serves(xen, in_domain):
    before, now = Scheme.APPLIANCE, Scheme.SUBSTITUTION
    if not in_domain:
        before, now = now, before
    (name,) = xen.store.state.site.hosts
    xen.decide(before)
    former = agent(xen, in_domain=in_domain)
    former.reconcile()
    assert xen.ovs.plugged.keys() == {"p1"}

    xen.decide(now)
    former.reconcile()
    assert xen.ovs.plugged.keys() == {"p1"}  # the other has not begun

    here = replace(xen.store.state.hosts[name], carried=now)
    xen.store.state = replace(xen.store.state, hosts={name: here})
    former.reconcile()

    assert xen.ovs.plugged == {}
    assert "system-id" not in xen.ovs.chassis.settings
