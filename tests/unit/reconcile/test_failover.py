# SPDX-License-Identifier: Apache-2.0
"""An appliance dies: two witnesses agree, what may move is bound or plugged elsewhere, and nothing flaps."""

from dataclasses import replace

import pytest

from anyvisor.contracts.store import HostReport
from anyvisor.errors import UnreachableError
from anyvisor.model.estate import Start
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Fallback, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import AppliancePolicy, FailoverPolicy, Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import Beat, Plugged
from anyvisor.planner import seats
from anyvisor.planner.appliances import ApplianceWish, appliance_key
from anyvisor.planner.inner import group_name, network_group_name
from anyvisor.planner.plugs import trunk_plugs
from anyvisor.planner.vigil import Seat, seat_of
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.vigil import Vigil, Witnesses
from anyvisor.testing.controller import FakeController
from anyvisor.testing.estate import FakeEstate
from anyvisor.testing.store import FakeStore

VDS = NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
HOST = Host(
    name="esx1",
    hypervisor=Hypervisor.ESXI,
    version="8.0.3",
    cluster="c1",
    scheme=Scheme.APPLIANCE,
    switches=(VDS,),
    nics=(Nic(name="vmnic0", physical="fabric"),),
)
WISH = ApplianceWish(
    template="appliance", networks={"management": "mgmt", "tunnel": "mgmt"}, user_data="#cloud-config"
)
VMS = tuple(f"vm{number}" for number in range(6))
FAILOVER = FailoverPolicy(silence_seconds=1.0, return_seconds=10.0)


class World:
    """Hosts with `count` appliances each, whose agents and signs of life a test plays. One host unless told."""

    def __init__(self, fallback, count, failover=FAILOVER, hosts=("esx1",)):
        self.count, self.now, self.beats, self.mute = count, 1000.0, {}, set()
        self.hosts = hosts
        self.estate = FakeEstate()
        for host in hosts:
            self.estate.add_host(replace(HOST, name=host))
        for group in ("before", "mgmt"):
            self.estate.add_group("dvs1", group)
        self.estate.add_template("appliance", "esx1")
        self.places = {vm: hosts[number % len(hosts)] for number, vm in enumerate(VMS)}
        for vm, host in self.places.items():
            self.estate.add_vm(vm, host, ("dvs1", "before"))
        macs = {card.vm: card.mac for card in self.estate.estate().cards.values()}
        self.store, self.controller, self.told = FakeStore(), FakeController(), []
        policy = AppliancePolicy(
            template="appliance", management="mgmt", tunnel="mgmt", database="tcp:192.0.2.1:6640",
            count=count, failover=failover,
        )  # fmt: skip
        self.store.write_site(
            Site(
                managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
                policy=Policy(appliance=policy),
                hosts={host: replace(HOST, name=host) for host in hosts},
                networks={
                    "web": Network(
                        name="web", kind=NetworkKind.OVERLAY, physical="fabric", vlan=200,
                        subnets=(Subnet(cidr="10.1.0.0/24"),), fallback=fallback,
                    )
                },
                ports={
                    vm: Port(name=vm, network="web", vm=vm, host=host, mac=macs[vm])
                    for vm, host in self.places.items()
                },
            )
        )  # fmt: skip
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.reconciler = EstateReconciler(
            "vc1",
            self.estate,
            self.store,
            wishes=lambda _, hosts: {appliance_key(h, n): WISH for h in hosts for n in range(1, count + 1)},
            clock=lambda: self.now,
        )
        self.vigil = self.new_vigil()
        self.watching = self.estate.watch(lambda _: None)
        self.watching.__enter__()

    def new_vigil(self):
        def healths():
            return {seat_of(key): health for key, health in self.estate.healths().items()}

        def beats():
            return [Beat(host=s.host, number=s.number, count=count) for s, count in self.beats.items()]

        return Vigil(
            self.store,
            Witnesses(healths=healths, beats=beats),
            monotonic=lambda: self.now,
            clock=lambda: self.now,
            tell=self.told.append,
        )

    def agents(self):
        state = self.store.snapshot()
        for host in self.hosts:
            mine = [a for a in state.attachments.values() if a.host == host]
            laid = {port: Plugged(device=plug.device) for port, plug in trunk_plugs(mine).items()}
            self.store.report(HostReport(host=host, carried=Scheme.APPLIANCE, plugged=laid))

    def settle(self):
        for _ in range(6):
            self.engine.round((), everything=True)
            self.agents()
            assert self.reconciler.reconcile().error is None
        self.engine.round((), everything=True)

    def goes_on(self, seconds):
        """Time passes; signs of life come from those that run and are not mute."""
        for _ in range(round(seconds / 0.2)):
            self.now += 0.2
            for seat in (Seat(host, n) for host in self.hosts for n in range(1, self.count + 1)):
                if seat not in self.mute:
                    self.beats[seat] = self.beats.get(seat, 0) + 1
            self.vigil.look()

    def dies(self, number, host="esx1"):
        self.estate.power(self.vm_of(number, host), on=False)
        self.mute.add(Seat(host, number))

    def vm_of(self, number, host="esx1"):
        return self.estate.estate().appliances[f"{host}/{number}"].vm

    def boots(self, number, host="esx1"):
        self.estate.power(self.vm_of(number, host), on=True)
        self.mute.discard(Seat(host, number))

    @property
    def served(self):
        return {port: a.appliance for port, a in self.store.snapshot().attachments.items()}

    @property
    def bound(self):
        ports = (self.controller.objects[ObjectKey("port", vm)] for vm in VMS)
        return {port.name: port.chassis for port in ports}

    def groups(self):
        return {c.vm: c.backing.group for c in self.estate.estate().cards.values() if c.vm in VMS}

    @property
    def out(self):
        return self.store.snapshot().hosts["esx1"].out


@pytest.fixture
def world_of():
    made = []

    def make(fallback, count=2, **more):
        world = World(fallback, count, **more)
        made.append(world)
        world.settle()
        world.goes_on(2)
        return world

    yield make
    for world in made:
        world.watching.__exit__(None, None, None)


def test_two_appliances_share_the_vnics_and_each_is_bound_where_it_is_served(world_of):
    world = world_of(Fallback.STANDBY)

    assert set(world.served.values()) == {1, 2}
    assert world.bound == {vm: (seats.chassis_name("esx1", n),) for vm, n in world.served.items()}
    assert len(world.estate.estate().appliances) == 2


def test_under_standby_the_other_takes_over_what_the_dead_one_served_and_nothing_else_moves(world_of):
    world = world_of(Fallback.STANDBY)
    before, tags = world.served, dict(world.store.snapshot().tags)

    world.dies(2)
    world.goes_on(1.4)
    world.engine.round(world.told)

    assert world.out == {2}
    assert set(world.served.values()) == {1}
    assert world.bound == dict.fromkeys(VMS, ("esx1",))
    assert world.groups() == {vm: group_name(world.store.snapshot().owner, vm) for vm in VMS}
    assert dict(world.store.snapshot().tags) == tags
    assert set(before.values()) == {1, 2}


def test_under_closed_nothing_moves_and_it_is_said(world_of):
    world = world_of(Fallback.CLOSED)
    before = world.served

    world.dies(2)
    world.goes_on(3)
    world.engine.round(world.told)

    assert world.served == before
    assert world.store.snapshot().hosts["esx1"].duties[2].reason == "Dead"


def test_under_open_the_last_one_that_dies_lets_the_vnics_fall_to_the_native_switch(world_of):
    world = world_of(Fallback.OPEN, count=1)
    owner = world.store.snapshot().owner

    world.dies(1)
    world.goes_on(1.4)
    world.engine.round(world.told)
    world.reconciler.reconcile()

    kinds = {a.kind for a in world.store.snapshot().attachments.values()}
    assert kinds == {AttachmentKind.EXTERNAL}
    assert set(world.groups().values()) == {network_group_name(owner, "web", "dvs1")}


def test_after_falling_open_the_vnics_come_back_when_the_appliance_has_served_for_a_while(world_of):
    world = world_of(Fallback.OPEN, count=1)
    tags = {tag.holder: tag.vlan for tag in world.store.snapshot().tags.values()}
    world.dies(1)
    world.goes_on(1.4)
    world.settle()
    world.boots(1)

    world.goes_on(5)
    world.settle()
    assert world.out == {1}
    world.goes_on(8)
    world.settle()

    assert world.out == frozenset()
    state = world.store.snapshot()
    assert {a.kind for a in state.attachments.values()} == {AttachmentKind.VLAN_ACCESS}
    assert world.groups() == {vm: group_name(state.owner, vm) for vm in VMS}
    assert {tag.holder: tag.vlan for tag in state.tags.values() if not tag.released} == tags


def test_one_that_comes_back_stays_fenced_until_it_serves_again(world_of):
    world = world_of(Fallback.STANDBY)
    world.dies(2)
    world.goes_on(1.4)
    world.settle()
    world.boots(2)
    world.goes_on(5)
    world.settle()
    assert not world.estate.estate().appliances["esx1/2"].trunk_connected
    assert set(world.served.values()) == {1}

    world.goes_on(8)
    world.settle()

    assert world.estate.estate().appliances["esx1/2"].trunk_connected
    assert set(world.served.values()) == {1, 2}
    assert world.store.snapshot().hosts["esx1"].duties == {}


def test_a_daemon_that_takes_over_remembers_who_is_out(world_of):
    world = world_of(Fallback.STANDBY)
    world.dies(2)
    world.goes_on(1.4)
    world.vigil = world.new_vigil()
    world.boots(2)

    world.goes_on(5)
    assert world.out == {2}
    world.goes_on(8)
    assert world.out == frozenset()


def test_a_telemetry_database_that_is_away_kills_nobody(world_of):
    world = world_of(Fallback.STANDBY)
    good = world.vigil._witnesses.beats

    def away():
        raise UnreachableError("it does not answer")

    world.estate.power(world.vm_of(2), on=False)
    object.__setattr__(world.vigil._witnesses, "beats", away)
    for _ in range(20):
        world.now += 0.2
        with pytest.raises(UnreachableError):
            world.vigil.look()
    assert world.out == frozenset()

    object.__setattr__(world.vigil._witnesses, "beats", good)
    world.mute.add(Seat("esx1", 2))
    world.goes_on(0.8)
    assert world.out == frozenset(), "silence counts from when we listen again"
    world.goes_on(1.0)
    assert world.out == {2}


def test_fewer_appliances_per_host_leave_no_vnic_behind(world_of):
    world = world_of(Fallback.STANDBY)
    site = world.store.snapshot().site
    fewer = AppliancePolicy(
        template="appliance",
        management="mgmt",
        tunnel="mgmt",
        database="tcp:192.0.2.1:6640",
        failover=FAILOVER,
    )
    world.reconciler = EstateReconciler(
        "vc1", world.estate, world.store, wishes=lambda _, hosts: {f"{h}/1": WISH for h in hosts},
        clock=lambda: world.now,
    )  # fmt: skip
    world.store.write_site(replace(site, policy=Policy(appliance=fewer)))
    world.settle()

    assert set(world.served.values()) == {1}
    assert set(world.estate.estate().appliances) == {"esx1/1"}


THREE = ("esx1", "esx2", "esx3")


def acted_on(world):
    """The hosts whose vNICs fell to the native switch."""
    attachments = world.store.snapshot().attachments
    return {world.places[port] for port, a in attachments.items() if a.kind is AttachmentKind.EXTERNAL}


def reasons(world):
    hosts = world.store.snapshot().hosts
    return {host: [duty.reason for duty in hosts[host].duties.values()] for host in world.hosts}


def test_of_more_hosts_than_the_budget_allows_the_others_are_held_back_and_said(world_of):
    failover = replace(FAILOVER, budget=1)
    world = world_of(Fallback.OPEN, count=1, failover=failover, hosts=THREE)

    for host in THREE:
        world.dies(1, host)
    world.goes_on(1.4)
    world.engine.round(world.told)
    world.reconciler.reconcile()

    assert acted_on(world) == {"esx1"}
    assert reasons(world) == {"esx1": ["Dead"], "esx2": ["OverBudget"], "esx3": ["OverBudget"]}
    assert "(1 are allowed)" in world.store.snapshot().hosts["esx2"].duties[1].message
    owner = world.store.snapshot().owner
    groups = world.groups()
    for vm, host in world.places.items():
        fallen = network_group_name(owner, "web", "dvs1")
        assert groups[vm] == (fallen if host == "esx1" else group_name(owner, vm))


def test_a_host_that_came_back_leaves_its_place_in_the_budget_to_the_next(world_of):
    failover = replace(FAILOVER, budget=1)
    world = world_of(Fallback.OPEN, count=1, failover=failover, hosts=THREE)
    for host in ("esx1", "esx2"):
        world.dies(1, host)
    world.goes_on(1.4)
    world.engine.round(world.told)
    assert acted_on(world) == {"esx1"}

    world.boots(1, "esx1")
    world.goes_on(13)
    world.engine.round(world.told)

    assert acted_on(world) == {"esx2"}
    assert reasons(world) == {"esx1": [], "esx2": ["Dead"], "esx3": []}


@pytest.mark.parametrize(("budget", "acted"), [(2, {"esx1", "esx2"}), (3, set(THREE)), (0, set())])
def test_the_budget_is_what_the_policy_says(world_of, budget, acted):
    failover = replace(FAILOVER, budget=budget)
    world = world_of(Fallback.OPEN, count=1, failover=failover, hosts=THREE)

    for host in THREE:
        world.dies(1, host)
    world.goes_on(1.4)
    world.engine.round(world.told)

    assert acted_on(world) == acted


@pytest.mark.parametrize("fallback", [Fallback.STANDBY, Fallback.OPEN])
def test_where_the_policy_is_not_to_act_a_death_is_said_and_nothing_moves(world_of, fallback):
    world = world_of(fallback, failover=replace(FAILOVER, act=False))
    served, bound, groups = world.served, world.bound, world.groups()

    world.dies(1)
    world.dies(2)
    world.goes_on(3)
    world.engine.round(world.told)
    steps = world.reconciler.reconcile().steps

    assert reasons(world) == {"esx1": ["AlarmOnly", "AlarmOnly"]}
    assert "its VM is off" in world.store.snapshot().hosts["esx1"].duties[2].message
    assert world.out == frozenset()
    assert (world.served, world.bound, world.groups()) == (served, bound, groups)
    assert steps == (Start(key="esx1/1"), Start(key="esx1/2"))
