# SPDX-License-Identifier: Apache-2.0
"""Hosts whose networks NSX owns: NSX is given networks, ports and rules, the vCenter plugs the vNICs in."""

from dataclasses import replace

import estate_world
import pytest
from estate_world import VMS

from anyvisor.contracts.controller import Change, ControllerPlan
from anyvisor.errors import UnreachableError
from anyvisor.model.entity import EntityWish
from anyvisor.model.estate import CardProblem, Group
from anyvisor.model.kinds import AttachmentKind, Direction, Protocol, Scheme
from anyvisor.model.names import ObjectKey
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Manager
from anyvisor.planner.escape import OWN_ADDRESSES, unenforced
from anyvisor.planner.inner import network_group_name
from anyvisor.reconcile.entity import ASK_SECONDS, WAIT_SECONDS, EntityReconciler

NSX = ObjectKey("manager", "nsx1")
RULE = Rule(direction=Direction.INGRESS, protocol=Protocol.ICMP, group="web")


class Controller:
    """Holds what it was given; segments show in the vCenter, and a vNIC is found once it is plugged into one."""

    def __init__(self, world):
        self.world, self.held, self.failure, self.asked = world, EntityWish(), None, 0

    def plan(self, wish):
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        same = wish == self.held
        key = ObjectKey("manager", "nsx1")
        return ControllerPlan(
            changes=() if same else (Change(key=key, do="change", what="all", payload=wish),)
        )

    def apply(self, plan):
        for change in plan.changes:
            self.held = change.payload
            for network in self.held.networks:
                owner = self.world.store.snapshot().owner
                name = network_group_name(owner, network)
                group = Group(switch="dvs1", name=name, key=f"network/{network}", entity=True)
                self.world.estate.add_segment(group)

    def places(self):
        return {network: f"/infra/segments/{network}" for network in self.held.networks}

    def wired(self):
        cards = {card.mac: card for card in self.world.estate.estate().cards.values()}
        segments = {network_group_name(self.world.store.snapshot().owner, n) for n in self.held.networks}
        return frozenset(
            name
            for name, port in self.held.ports.items()
            if (backing := cards[port.mac].backing) is not None and backing.group in segments
        )


class World(estate_world.World):
    """Both hosts are NSX's."""

    def __init__(self, **managers):
        super().__init__(Scheme.VENDOR, nsx=True)
        self.entity = Controller(self)
        self.now = 0.0
        self.reconciler_of_nsx = EntityReconciler("nsx1", self.entity, self.store, monotonic=lambda: self.now)
        self.want(VMS)

    def want(self, vms, **changes):
        nsx = Manager(name="nsx1", driver="nsx", url="https://nsx1", transport_zone="vlan")
        vc = Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")
        super().want(vms, managers={"vc1": vc, "nsx1": nsx}, **changes)

    def run(self, looks=6):
        for _ in range(looks):
            super().run(1)
            self.now += ASK_SECONDS
            self.looked = self.reconciler_of_nsx.reconcile()
        super().run(1)


@pytest.fixture
def world():
    return World()


def said(world):
    return [(c.true, c.reason) for c in world.store.snapshot().conditions[NSX]]


def test_networks_become_segments_and_the_vcenter_plugs_the_vnics_into_them(world):
    world.run()

    assert set(world.groups().values()) == {network_group_name(world.store.snapshot().owner, "web")}
    assert {a.kind for a in world.store.snapshot().attachments.values()} == {AttachmentKind.ENTITY}
    assert set(world.entity.held.ports) == set(VMS)
    (network,) = world.entity.held.networks.values()
    assert (network.segment.physical, network.segment.vlan) == ("fabric", 200)
    assert {world.ready(vm) for vm in VMS} == {"InVendorsHands"}
    assert said(world) == [(True, "Driven")]


def test_ovn_knows_the_ports_as_external_ones_on_the_networks_vlan(world):
    world.run()

    assert {world.controller.objects[ObjectKey("port", vm)].kind for vm in VMS} == {AttachmentKind.ENTITY}
    assert world.controller.objects[ObjectKey("network", "web")].segment.vlan == 200


def test_a_card_on_a_segment_of_somebody_else_may_move_within_nsx_but_not_out_of_a_passthrough(world):
    cards = {c.vm: c for c in world.estate.estate().cards.values()}
    world.estate.change_card(replace(cards["vm0"], problem=CardProblem.NSX))
    world.estate.change_card(replace(cards["vm1"], problem=CardProblem.PASSTHROUGH))

    world.run()

    name = network_group_name(world.store.snapshot().owner, "web")
    assert (world.groups()["vm0"], world.groups()["vm1"]) == (name, "before")
    assert said(world) == [(False, "Incomplete")]
    assert world.looked.again_seconds == WAIT_SECONDS


def test_a_port_that_goes_leaves_the_segment_and_a_segment_is_not_the_vcenters_to_remove(world):
    world.run()

    world.want(VMS[1:])
    world.run()

    assert world.groups()["vm0"] == "before"
    assert set(world.entity.held.ports) == set(VMS[1:])
    world.want(())
    world.run()
    assert world.entity.held == EntityWish()
    assert set(world.groups().values()) == {"before"}


def test_rules_go_to_nsx_with_the_addresses_of_members_that_live_elsewhere(world):
    groups = {"web": SecurityGroup(name="web", rules=(RULE,))}
    world.want(VMS)
    site = world.store.snapshot().site
    ports = {name: replace(port, security_groups=("web",)) for name, port in site.ports.items()}
    ports["vm3"] = replace(ports["vm3"], host=None)
    world.store.write_site(replace(site, security_groups=groups, ports=ports))
    world.run()

    state = world.store.snapshot()
    assert set(world.entity.held.groups) == {"web"}
    everybody = sorted(a for port in state.ports.values() for a in port.addresses)
    assert world.entity.held.members["web"] == tuple(everybody)
    missed = unenforced(state.site, dict.fromkeys(world.hosts, Scheme.VENDOR))
    assert {rule.rule for rule in missed} == {OWN_ADDRESSES}
    assert all("SpoofGuard" in rule.why for rule in missed)


def test_an_nsx_that_does_not_answer_is_said_and_nothing_is_taken_away(world):
    world.run()
    held = world.entity.held
    world.entity.failure = UnreachableError("nsx1 does not answer")

    world.run(1)

    assert said(world) == [(False, "Unreachable")]
    assert world.entity.held == held
    assert {world.ready(vm) for vm in VMS} == {"InVendorsHands"}


def test_an_nsx_that_holds_everything_is_asked_again_only_after_a_while_or_when_something_of_its_changed(
    world,
):
    world.run()
    world.entity.asked = 0

    for _ in range(5):
        world.reconciler_of_nsx.reconcile()
    assert world.entity.asked == 0
    world.now += ASK_SECONDS
    world.reconciler_of_nsx.reconcile()
    assert world.entity.asked == 1
    world.want(VMS[1:])
    estate_world.World.run(world, 2)
    world.reconciler_of_nsx.reconcile()

    assert world.entity.asked == 2
    assert set(world.entity.held.ports) == set(VMS[1:])


def test_a_host_of_another_vcenter_is_not_this_ones(world):
    site = world.store.snapshot().site
    other = Manager(name="nsx2", driver="nsx", url="https://nsx2", transport_zone="vlan", vcenter="vc2")
    managers = {**site.managers, "nsx2": other, "nsx1": replace(site.managers["nsx1"], vcenter="vc1")}
    hosts = {name: replace(host, manager="vc1") for name, host in site.hosts.items()}
    hosts["esx2"] = replace(hosts["esx2"], manager="vc2")
    world.store.write_site(replace(site, managers=managers, hosts=hosts))
    world.run()

    assert {port.chassis for port in world.entity.held.ports.values()} == {("esx1",)}


def test_without_an_nsx_among_the_managers_its_hosts_ports_say_what_is_missing(world):
    world.store.write_site(replace(world.store.snapshot().site, managers={}))
    world.run(1)

    assert {world.ready(vm) for vm in VMS} == {"NoEntity"}
