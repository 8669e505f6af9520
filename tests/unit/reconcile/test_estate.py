# SPDX-License-Identifier: Apache-2.0
"""The hosts of one manager, brought to what was decided: with the engine that decides, and a manager that is pretended."""

import threading
from dataclasses import replace

import pytest
from estate_world import VMS, WISH, World, esx

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import UnreachableError
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.port import Port
from anyvisor.model.state import HostState
from anyvisor.planner.inner import group_name, network_group_name
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.preview import preview


@pytest.fixture
def world():
    return World()


def test_every_vnic_ends_alone_behind_its_appliance(world):
    world.run()

    assert world.groups() == {vm: group_name(world.store.snapshot().owner, vm) for vm in VMS}
    tags = [tag.vlan for tag in world.store.snapshot().tags.values()]
    assert len(set(tags)) == len(tags) == len(VMS)
    assert {world.ready(vm) for vm in VMS} == {"Up"}
    assert set(world.estate.estate().appliances) == {"esx1/1", "esx2/1"}


def test_no_card_moves_before_the_appliances_agent_has_laid_its_way(world):
    world.engine.round((), everything=True)

    world.reconciler.reconcile()

    assert set(world.groups().values()) == {"before"}
    assert {tag.released for tag in world.store.snapshot().tags.values()} == {0}


def test_a_second_look_does_nothing(world):
    world.run()

    assert world.reconciler.reconcile().steps == ()


@pytest.mark.parametrize(
    ("scheme", "said"), [(Scheme.SEPARATION, "BehindNativeSwitch"), (Scheme.VENDOR, "InVendorsHands")]
)
def test_where_the_switch_stays_cards_go_to_the_networks_vlan_and_no_agent_is_needed(scheme, said):
    world = World(scheme)

    world.run()

    state = world.store.snapshot()
    assert set(world.groups().values()) == {network_group_name(state.owner, "web", "dvs1")}
    assert {known.carried for known in state.hosts.values()} == {scheme}
    assert {world.ready(vm) for vm in VMS} == {said}


@pytest.mark.parametrize("scheme", [Scheme.SEPARATION, Scheme.VENDOR])
def test_a_vnic_whose_port_goes_leaves_its_networks_group_and_an_operators_own_stays_there(scheme):
    world = World(scheme)
    world.run()
    group = network_group_name(world.store.snapshot().owner, "web", "dvs1")
    world.estate.add_vm("his", "esx1", ("dvs1", group))

    world.want(VMS[1:])
    world.run()

    assert world.groups() == {"vm0": "before", **dict.fromkeys(VMS[1:], group)}
    his = next(c for c in world.estate.estate().cards.values() if c.vm == "his")
    assert his.backing.group == group
    assert world.reconciler.reconcile().steps == ()


def test_a_networks_group_goes_though_others_of_the_network_live_on_a_kvm_host():
    world = World(Scheme.SEPARATION)
    world.hosts["kvm1"] = Host(name="kvm1", hypervisor=Hypervisor.KVM)
    world.want(VMS)
    site = world.store.snapshot().site
    far = Port(name="far", network="web", host="kvm1", mac="52:54:00:00:00:99")
    world.store.write_site(replace(site, ports={**site.ports, "far": far}))
    world.store.decide(Decision(schemes={"kvm1": Scheme.BASELINE}))
    world.store.report(HostReport(host="kvm1", carried=Scheme.BASELINE))
    world.run()
    assert "far" in world.store.snapshot().attachments
    assert len(world.estate.estate().groups) == 1

    world.store.write_site(replace(site, ports={"far": far}))
    world.run()

    assert world.estate.estate().groups == {}
    assert set(world.groups().values()) == {"before"}


def test_from_separation_to_appliance_and_back_no_vnic_is_forgotten():
    world = World(Scheme.SEPARATION)
    world.run()
    world.hosts = {name: esx(name, Scheme.APPLIANCE) for name in world.hosts}
    world.want(VMS)
    world.run()
    behind = world.groups()
    world.hosts = {name: esx(name, Scheme.SEPARATION) for name in world.hosts}
    world.want(VMS)
    world.run()

    owner = world.store.snapshot().owner
    assert behind == {vm: group_name(owner, vm) for vm in VMS}
    assert set(world.groups().values()) == {network_group_name(owner, "web", "dvs1")}


def test_a_new_daemon_finds_its_work_done(world):
    world.run()

    world.restart()
    world.run(looks=1)

    assert world.reconciler.reconcile().steps == ()


def test_an_attendant_connects_until_it_can_and_looks_at_every_event(world):
    tries, looked = [], threading.Event()

    def connect():
        tries.append(1)
        if len(tries) < 2:
            raise UnreachableError("not yet")
        return world.estate

    def serve(driver):
        reconcile = world.reconciler.reconcile

        def tell():
            result = reconcile()
            looked.set()
            return result

        world.reconciler.reconcile = tell
        return world.reconciler

    attendant = Attendant("vc1", connect, serve)
    attendant.start()
    assert looked.wait(10)
    looked.clear()
    world.estate.power("vm0", on=False)
    assert looked.wait(10)
    attendant.stop()

    assert len(tries) == 2


def test_hosts_are_known_by_what_the_store_says_of_them(world):
    world.run()

    assert world.store.snapshot().hosts["esx1"] == HostState(
        scheme=Scheme.APPLIANCE, carried=Scheme.APPLIANCE
    )


@pytest.mark.parametrize("scheme", [Scheme.APPLIANCE, Scheme.SEPARATION])
def test_a_preview_lists_the_very_steps_that_are_carried_out_then_and_writes_nothing(scheme):
    world = World(scheme)
    state, estate = world.store.snapshot(), world.estate.estate()

    found = preview(
        state,
        world.controller,
        {"vc1": estate},
        wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
        now_seconds=int(world.now),
    )

    assert found.estates["vc1"].steps
    assert found.controller.changes
    assert world.store.snapshot() == state
    assert world.estate.estate() == estate
    outcome = world.engine.round((), everything=True)
    assert outcome.changes == found.controller.changes
    assert world.reconciler.reconcile().steps == found.estates["vc1"].steps


def test_a_preview_of_what_is_there_already_is_empty(world):
    world.run()

    found = preview(
        world.store.snapshot(),
        world.controller,
        {"vc1": world.estate.estate()},
        wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
        now_seconds=int(world.now),
    )

    assert (found.controller.changes, found.estates["vc1"].steps) == ((), ())
