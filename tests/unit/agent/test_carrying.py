# SPDX-License-Identifier: Apache-2.0
"""The agent says whether tunnels get through, and whether an appliance's trunk is large enough."""

from dataclasses import replace

import pytest

from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.reconcile.carrying import Carrying
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.trunking import Ground, Trunking
from anyvisor.reconcile.underlay import Underlay


class Everything:
    """Answers to what fits; keeps what it was asked."""

    def __init__(self):
        self.limit = 9000
        self.asked = []

    def answered(self, source, sizes, timeout_seconds):
        self.asked.append((source, sizes))
        return {a: {size for size in listed if size <= self.limit} for a, listed in sizes.items()}


@pytest.fixture
def path():
    return Everything()


@pytest.fixture
def probing(world, path):
    """The agent of `world` with probes; returns the part that has a thread of its own elsewhere."""
    watch = Underlay(path, every_seconds=300, clock=lambda: world.now)
    outages = Outages(world.memory, lambda: world.now)
    integration = Integration(
        world._switch, outages=outages, hypervisor=world.hypervisor, surroundings=world.ground
    )
    ground = Ground(trunk="trunk0", uplink="eth1", bridge="br-ex", tunnel_ip="192.0.2.21")
    world.mtu = 1500
    world.agent = ChassisReconciler(
        "kvm1",
        world.store,
        integration,
        outages=outages,
        ways=Ways(
            trunking=Trunking(integration, ground),
            carrying=Carrying("kvm1", world._switch, watch, trunk="trunk0", mtu_of=lambda _: world.mtu),
        ),
    )
    world.ovs.tunnelled = {"kvm2": "192.0.2.12", "kvm3": "192.0.2.13", "old6": "2001:db8::6"}
    return watch


def test_an_appliance_probes_the_chassis_that_ovn_has_made_tunnels_to(world, probing, path):
    world.decide(Scheme.APPLIANCE)
    world.agent.reconcile()
    probing.step()
    world.agent.reconcile()

    assert path.asked == [("192.0.2.21", {"192.0.2.12": {1500}, "192.0.2.13": {1500}})]
    said = world.conditions()
    assert str(said["Underlay"]) == "Underlay=true Carries: carries 1500 bytes to 2 of 2 chassis"
    assert str(said["Trunk"]) == "Trunk=true Carries: trunk0 carries 1446 bytes"


def test_the_size_follows_from_what_the_fleet_is_laid_out_for(world, probing, path):
    world.decide(Scheme.APPLIANCE)
    world.store.state = replace(world.store.state, underlay_mtu=1400)
    world.agent.reconcile()
    world.agent.reconcile()
    probing.step()

    assert path.asked[0][1] == {"192.0.2.12": {1400}, "192.0.2.13": {1400}}


def test_a_trunk_that_is_too_small_for_a_network_of_its_vnics_is_named(world, probing):
    world.decide(Scheme.APPLIANCE)
    web = world.store.state.site.networks["web"]
    networks = {"web": replace(web, mtu=1500)}
    world.store.state = replace(world.store.state, site=replace(world.store.state.site, networks=networks))
    world.attach("vm1", "52:54:00:00:00:01", AttachmentKind.VLAN_ACCESS, 101)
    world.agent.reconcile()

    assert not world.conditions()["Trunk"].true
    world.mtu = 1504
    world.agent.reconcile()
    assert world.conditions()["Trunk"].true
    assert probing.look(None) == ()


def test_a_host_that_is_no_chassis_any_more_probes_nobody(world, probing, path):
    world.decide(Scheme.APPLIANCE)
    world.agent.reconcile()
    world.decide(Scheme.VENDOR)
    world.store.state = replace(
        world.store.state, hosts={"kvm1": replace(world.store.state.hosts["kvm1"], carried=None)}
    )
    world.agent.reconcile()
    probing.step()

    assert path.asked == []
    assert probing.look(None) == ()
