# SPDX-License-Identifier: Apache-2.0
"""The hosts of one manager, brought to what was decided: with the engine that decides, and a manager that is pretended."""

import threading
from dataclasses import replace

import pytest

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import RetryableError, TerminalError, UnreachableError
from anyvisor.model.estate import CardProblem, MakeSwitch, MissingRight
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind, TagPer
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import AppliancePolicy, Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import HostState, Plugged, Telemetry
from anyvisor.model.vnic import Counters
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.inner import group_name, inner_place, network_group_name, shared_group_name
from anyvisor.planner.moves import Binding
from anyvisor.planner.plugs import trunk_plugs
from anyvisor.planner.underlay import Finding, Question, trunk_condition, underlay_condition
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.preview import preview
from anyvisor.reconcile.rights import AGAIN_SECONDS, ASK_SECONDS
from anyvisor.reconcile.tally import Tally
from anyvisor.testing.controller import FakeController
from anyvisor.testing.estate import FakeEstate
from anyvisor.testing.store import FakeStore

VDS = NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
WISH = ApplianceWish(
    template="appliance", networks={"management": "mgmt", "tunnel": "mgmt"}, user_data="#cloud-config"
)
VMS = ("vm0", "vm1", "vm2", "vm3")


def esx(name, scheme, **facts):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster="c1",
        scheme=scheme,
        switches=(VDS,),
        nics=(Nic(name="vmnic0", physical="fabric"),),
        facts=facts,
    )


class World:
    """Two hosts under `scheme`, four VMs; `agents` play the appliances' agents."""

    def __init__(self, scheme=Scheme.APPLIANCE, **facts):
        self.estate = FakeEstate()
        self.hosts = {name: esx(name, scheme, **facts) for name in ("esx1", "esx2")}
        for host in self.hosts.values():
            self.estate.add_host(host)
        self.estate.add_group("dvs1", "before")
        self.estate.add_group("dvs1", "mgmt")
        self.estate.add_template("appliance", "esx1")
        for number, vm in enumerate(VMS):
            self.estate.add_vm(vm, f"esx{1 + number % 2}", ("dvs1", "before"))
        self.macs = {card.vm: card.mac for card in self.estate.estate().cards.values()}
        self.store, self.controller, self.now = FakeStore(), FakeController(), 1000.0
        self.conditions = ()
        self.want(VMS)
        self.restart()

    def restart(self):
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.reconciler = EstateReconciler(
            "vc1",
            self.estate,
            self.store,
            wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
            clock=lambda: self.now,
        )

    def want(self, vms, **changes):
        subnet = Subnet(cidr="10.1.0.0/24", dhcp=True)
        network = Network(
            name="web", kind=NetworkKind.OVERLAY, physical="fabric", vlan=200, subnets=(subnet,)
        )
        site = Site(
            managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
            policy=Policy(),
            hosts=self.hosts,
            networks={"web": network},
            ports={
                vm: Port(name=vm, network="web", vm=vm, host=f"esx{1 + VMS.index(vm) % 2}", mac=self.macs[vm])
                for vm in vms
            },
        )
        self.store.write_site(replace(site, **changes))

    def agents(self):
        """Lay every way that an attachment asks for."""
        state = self.store.snapshot()
        for name, known in state.hosts.items():
            if known.scheme is not Scheme.APPLIANCE or self.hosts[name].facts.get("agentless"):
                continue
            mine = [a for a in state.attachments.values() if a.host == name]
            laid = {port: Plugged(device=plug.device) for port, plug in trunk_plugs(mine).items()}
            self.store.report(
                HostReport(host=name, carried=Scheme.APPLIANCE, plugged=laid, conditions=self.conditions)
            )
        self.controller.is_up = set(state.attachments)

    def run(self, looks=6):
        for _ in range(looks):
            self.engine.round((), everything=True)
            self.agents()
            self.engine.round((), everything=True)
            looked = self.reconciler.reconcile()
            assert looked.error is None
        self.engine.round((), everything=True)

    def groups(self):
        return {
            card.vm: card.backing.group
            for card in self.estate.estate().cards.values()
            if card.vm in VMS and card.backing is not None
        }

    def ready(self, vm):
        (condition,) = self.store.snapshot().conditions[ObjectKey("port", vm)]
        return condition.reason


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


def test_a_tag_rests_from_the_moment_its_vnic_has_been_seen_to_leave(world):
    world.run()
    (tag,) = (t for t in world.store.snapshot().tags.values() if t.holder == "vm0")
    world.want(VMS[1:])
    world.engine.round((), everything=True)

    assert world.store.snapshot().tags[tag.scope, tag.vlan].released == 0
    world.now = 2000.0
    world.run()

    assert world.groups()["vm0"] == "before"
    assert world.store.snapshot().tags[tag.scope, tag.vlan].released == 2000


def test_a_vnic_that_comes_while_a_tag_rests_gets_another(world):
    world.want(VMS[:3])
    world.run()
    before = {t.holder: t.vlan for t in world.store.snapshot().tags.values()}
    world.want(VMS[1:])
    world.run()

    after = {t.holder: t.vlan for t in world.store.snapshot().tags.values() if not t.released}

    assert after["vm3"] not in before.values()
    assert {vm: after[vm] for vm in ("vm1", "vm2")} == {vm: before[vm] for vm in ("vm1", "vm2")}


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


def test_a_manager_that_does_not_answer_changes_nothing_and_is_named(world):
    world.run()
    world.estate.failure = UnreachableError("vc1 does not answer")

    looked = world.reconciler.reconcile()

    assert isinstance(looked.error, UnreachableError)
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert (condition.true, condition.reason) == (False, "Unreachable")
    world.estate.failure = None
    world.reconciler.reconcile()
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert condition.true


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


class Readings:
    def __init__(self):
        self.vnics = {}
        self.cards = {}

    def read(self):
        return Telemetry(vnics=dict(self.vnics), cards=dict(self.cards))

    def write(self, vnics, stations, cards=()):
        self.vnics |= {reading.port: reading for reading in vnics}
        self.cards |= {reading.port: reading for reading in cards}

    def forget_cards(self, ports):
        for port in ports:
            self.cards.pop(port, None)


def counting(world, readings):
    return Tally(world.estate, lambda: readings, clock=lambda: world.now)


def sent(number):
    return Counters(tx_bytes=number, tx_packets=1)


def test_what_a_native_switch_counted_never_shrinks_whoever_is_restarted():
    world, readings = World(Scheme.SEPARATION), Readings()
    world.run()
    plan = {card.vm: card.id for card in world.estate.estate().cards.values()}
    attachments = world.store.snapshot().attachments.values()
    tally = counting(world, readings)
    totals = []

    for number, fresh in ((1000, False), (1500, False), (1700, True), (100, False), (50, True)):
        tally = counting(world, readings) if fresh else tally
        world.estate.counted[plan["vm0"]] = sent(number)
        tally.take(attachments, plan)
        totals.append(readings.vnics["vm0"].native.tx_bytes)

    assert totals == [1000, 1500, 1700, 1800, 1800]


def test_vnics_behind_an_appliance_are_not_counted_twice(world):
    readings = Readings()
    world.run()
    plan = {card.vm: card.id for card in world.estate.estate().cards.values()}

    counting(world, readings).take(world.store.snapshot().attachments.values(), plan)

    assert readings.vnics == {}


SHARING = Policy(
    appliance=AppliancePolicy(
        template="t", management="m", tunnel="t", database="ssl:192.0.2.1:6640", tags=TagPer.NETWORK
    )
)


def test_the_policy_changes_and_back_and_no_vnic_is_forgotten(world):
    world.run()
    alone = world.groups()
    world.want(VMS, policy=SHARING)
    world.now = 2000.0
    world.run()

    state = world.store.snapshot()
    name = shared_group_name(inner_place(world.hosts["esx1"], state.owner), "web")
    assert set(world.groups().values()) == {name}
    assert {tag.released for tag in state.tags.values() if tag.holder in VMS} == {2000}
    assert {tag.released for tag in state.tags.values() if tag.holder == "network/web"} == {0}
    assert {world.ready(vm) for vm in VMS} == {"Up"}
    world.want(VMS)
    world.now = 3000.0
    world.run()

    assert world.groups() == alone
    (tag,) = (tag for tag in world.store.snapshot().tags.values() if tag.holder == "network/web")
    assert tag.released == 3000


def test_a_networks_tag_rests_once_its_last_vnic_has_left_and_is_its_own_again(world):
    world.want(VMS, policy=SHARING)
    world.run()
    (held,) = world.store.snapshot().tags.values()
    world.want(VMS[:1], policy=SHARING)
    world.run()
    assert world.store.snapshot().tags == {(held.scope, held.vlan): held}
    assert {vm: world.groups()[vm] for vm in VMS[1:]} == dict.fromkeys(VMS[1:], "before")

    world.want((), policy=SHARING)
    world.now = 2000.0
    world.run()

    assert world.store.snapshot().tags[held.scope, held.vlan].released == 2000
    world.want(VMS, policy=SHARING)
    world.run()
    assert world.store.snapshot().tags == {(held.scope, held.vlan): held}


def test_what_neighbours_on_a_shared_tag_say_is_counted_at_their_cards(world):
    readings = Readings()
    world.want(VMS, policy=SHARING)
    world.run()
    cards = {card.vm: card.id for card in world.estate.estate().cards.values() if card.vm in VMS}
    attachments = list(world.store.snapshot().attachments.values())
    totals = []

    # Restarted between the second and the third; plugged anew before the fourth; moved before the last.
    for number, host in ((1000, "esx1"), (1500, "esx1"), (1700, "esx1"), (100, "esx1"), (150, "esx2")):
        world.estate.counted[cards["vm0"]] = sent(number)
        listed = [replace(a, host=host) if a.port == "vm0" else a for a in attachments]
        counting(world, readings).take(listed, cards, {"vm0": cards["vm0"]})
        totals.append(readings.cards["vm0"].counted.tx_bytes)

    assert totals == [1000, 1500, 1700, 1800, 50]
    assert readings.vnics == {}
    assert set(readings.cards) == {"vm0"}, "the others were not seen where they belong"
    counting(world, readings).take([replace(a, shared=False) for a in attachments], cards, {})
    assert readings.cards == {}


def chassis_of(world, vm):
    return world.controller.objects[ObjectKey("port", vm)].chassis


def test_a_vm_that_runs_elsewhere_than_the_intent_says_is_wired_where_it_runs(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.estate.finish_move("vm0")

    world.run()

    state = world.store.snapshot()
    assert state.attachments["vm0"].host == "esx2"
    assert chassis_of(world, "vm0") == ("esx2",)
    assert world.ready("vm0") == "Up"
    assert state.site.ports["vm0"].host == "esx1"


def test_while_a_vm_moves_everything_is_laid_on_the_target_with_the_tag_it_has(world):
    world.run()
    before = world.store.snapshot().attachments["vm0"]
    world.estate.begin_move("vm0", "esx2")

    world.run()

    state = world.store.snapshot()
    assert state.attachments["vm0"] == replace(before, staged="esx2")
    assert chassis_of(world, "vm0") == ("esx1", "esx2")
    assert (
        state.attachments["vm0"]
        in FakeStore(world.store.database, host="esx2").snapshot().attachments.values()
    )


def test_a_move_that_fails_takes_the_target_back(world):
    world.run()
    before = world.store.snapshot().attachments["vm0"]
    world.estate.begin_move("vm0", "esx2")
    world.run()
    world.estate.finish_move("vm0", success=False)

    world.run()

    assert world.store.snapshot().attachments["vm0"] == before
    assert chassis_of(world, "vm0") == ("esx1",)


def test_twenty_moves_leave_no_tag_and_no_group_behind(world):
    world.run()
    before = world.store.snapshot().tags, set(world.estate.estate().groups)

    for number in range(20):
        world.estate.begin_move("vm0", f"esx{2 - number % 2}")
        world.run(looks=2)
        world.estate.finish_move("vm0")
        world.run(looks=2)

    assert (world.store.snapshot().tags, set(world.estate.estate().groups)) == before
    assert world.store.snapshot().attachments["vm0"].host == "esx1"


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


def test_an_inner_switch_that_is_nearly_full_stands_in_its_managers_conditions(world):
    world.run()
    held = next(iter(world.store.snapshot().tags.values()))
    crowd = [replace(held, vlan=vlan, holder=f"old{vlan}") for vlan in range(100, 3500)]
    world.store.decide(Decision(tags={(tag.scope, tag.vlan): tag for tag in crowd}))

    world.reconciler.reconcile()

    said = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert [(each.kind, each.true) for each in said] == [("Manager", True), ("Capacity", False)]


def test_a_migration_is_kept_with_what_was_measured_of_it(world):
    world.run()
    world.controller.bound["vm0"] = Binding(chassis="esx1", up=True)
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.engine.round((), everything=True)
    world.now += 0.25
    world.controller.bound["vm0"] = Binding(chassis="esx1", also=frozenset({"esx2"}), up=True)
    world.engine.round([ObjectKey("port", "vm0")])
    world.now += 1
    world.estate.finish_move("vm0")
    world.reconciler.reconcile()
    world.now += 0.05
    world.controller.bound["vm0"] = Binding(chassis="esx2", up=True)
    world.run()

    (move,) = world.store.snapshot().moves["vm0"]
    assert (move.origin, move.target) == ("esx1", "esx2")
    assert move.since_begun() == {"staged": 250, "arrived": 1250, "finalised": 1300}
    assert move.outage_ms == 0
    assert world.controller.followed == frozenset()


def test_a_migration_that_was_under_way_when_the_daemon_died_is_followed_by_the_next(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.restart()
    world.estate.finish_move("vm0")
    world.reconciler.reconcile()
    world.controller.bound["vm0"] = Binding(chassis="esx2", up=True)
    world.run()

    (move,) = world.store.snapshot().moves["vm0"]
    assert move.over


def test_migrations_of_a_port_that_is_gone_are_forgotten(world):
    world.run()
    world.estate.begin_move("vm0", "esx2")
    world.reconciler.reconcile()
    world.estate.finish_move("vm0")
    world.run()
    world.want(VMS[1:])
    world.run()

    assert world.store.snapshot().moves == {}


def test_one_card_that_is_refused_is_said_and_does_not_hold_up_the_others(world):
    world.run()
    away = {name: group for name, group in world.groups().items() if name != "vm0"}
    world.want(())
    world.run()
    world.want(VMS)
    world.engine.round((), everything=True)
    world.agents()
    broken = next(c for c in world.estate.estate().cards.values() if c.vm == "vm0")
    apply = world.estate.apply

    def refuse(steps):
        for step in steps:
            if getattr(step, "card", None) == broken.id:
                raise TerminalError("vm0 cannot be wired")
            apply([step])

    world.estate.apply = refuse
    for _ in range(3):
        looked = world.reconciler.reconcile()

    assert str(looked.error) == "vm0 cannot be wired"
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert (condition.true, condition.reason, condition.message) == (False, "Refused", "vm0 cannot be wired")
    assert {name: group for name, group in world.groups().items() if name != "vm0"} == away


def test_of_several_refusals_the_first_is_said_since_others_may_follow_from_it(world):
    world.engine.round((), everything=True)
    apply = world.estate.apply

    def refuse(steps):
        for step in steps:
            if isinstance(step, MakeSwitch):
                raise RetryableError("the host does not answer")
            apply([step])

    world.estate.apply = refuse

    looked = world.reconciler.reconcile()

    assert str(looked.error) == "the host does not answer"


def said_of(world, kind):
    conditions = world.store.snapshot().conditions.get(ObjectKey("manager", "vc1"), ())
    return [condition for condition in conditions if condition.kind == kind]


def test_rights_that_are_missing_are_said_and_stop_nothing(world):
    world.estate.missing = (MissingRight("Host.Inventory.EditCluster", "pin appliances to their hosts"),)

    world.run()

    (said,) = said_of(world, "Rights")
    assert (said.true, said.reason) == (False, "Missing")
    assert "Host.Inventory.EditCluster (pin appliances to their hosts)" in said.message
    assert [c.true for c in said_of(world, "Manager")] == [True]
    assert {g.key for g in world.estate.estate().groups.values()} >= {f"port/{vm}" for vm in VMS}


def test_a_vnic_under_fault_tolerance_is_named_and_driven_all_the_same(world):
    card = next(c for c in world.estate.estate().cards.values() if c.vm == "vm0")
    world.estate.change_card(replace(card, problem=CardProblem.FAULT_TOLERANCE))

    world.run()

    (said,) = said_of(world, "Checked")
    assert (said.true, said.reason) == (False, "FaultTolerance")
    assert said.message.startswith("vm0: its VM (vm0) is under Fault Tolerance")
    assert [(c.true, c.reason) for c in said_of(world, "Manager")] == [(True, "Driven")]
    assert world.ready("vm0") == world.ready("vm1") == "Up"


def test_rights_are_asked_for_now_and_then_and_not_at_each_look(world):
    right = MissingRight("Network.Assign", "plug cards into port groups")
    world.run()
    world.estate.missing = (right,)
    world.reconciler.reconcile()
    assert said_of(world, "Rights") == []

    world.now += ASK_SECONDS
    world.reconciler.reconcile()
    assert [c.reason for c in said_of(world, "Rights")] == ["Missing"]

    world.estate.missing = ()
    world.now += ASK_SECONDS
    world.reconciler.reconcile()
    assert said_of(world, "Rights") == []


def test_a_manager_that_does_not_tell_our_rights_is_asked_again_soon_and_driven_all_the_same(world):
    world.estate.faults.fail(2, TerminalError("it does not tell"))
    world.run()
    assert not world.estate.faults.pending
    assert [c.true for c in said_of(world, "Manager")] == [True]
    world.estate.missing = (MissingRight("Network.Assign", "plug cards into port groups"),)

    world.now += AGAIN_SECONDS
    world.reconciler.reconcile()

    assert [c.reason for c in said_of(world, "Rights")] == ["Missing"]


def test_a_host_that_the_manager_does_not_reach_is_left_out_and_named_and_the_others_go_on(world):
    world.estate.lose("esx2")
    for _ in range(4):
        world.engine.round((), everything=True)
        world.agents()
        looked = world.reconciler.reconcile()
        assert looked.error is None

    owner = world.store.snapshot().owner
    assert looked.steps == ()
    assert world.groups() == {vm: group_name(owner, vm) if vm in {"vm0", "vm2"} else "before" for vm in VMS}
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert not condition.true
    assert "esx2: the manager does not reach it (notResponding)" in condition.message

    world.estate.find("esx2")
    world.run()
    assert world.groups() == {vm: group_name(owner, vm) for vm in VMS}
    (condition,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert condition.true


def test_counters_that_cannot_be_read_are_said_beside_what_is_driven():
    world, readings = World(Scheme.SEPARATION), Readings()
    world.run()
    tally = counting(world, readings)
    reconciler = EstateReconciler(
        "vc1",
        world.estate,
        world.store,
        wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
        clock=lambda: world.now,
        tally=tally,
    )
    reconciler.reconcile()
    world.estate.failure = UnreachableError("vc1 does not answer")

    with pytest.raises(UnreachableError):
        reconciler.measure()

    def told():
        said = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
        return [(c.kind, c.true, c.message) for c in said]

    assert told() == [("Manager", True, ""), ("Counted", False, "vc1 does not answer")]
    world.estate.failure = None
    reconciler.measure()
    assert told() == [("Manager", True, "")]


def test_a_manager_that_was_never_reached_is_named_too():
    tries, heard = [], threading.Event()

    def connect():
        tries.append(1)
        raise UnreachableError("vc1: no connection: refused")

    attendant = Attendant(
        "vc1", connect, lambda _: None, failed=lambda error: said.append(error) or heard.set()
    )
    said = []
    attendant.start()
    assert heard.wait(60)
    attendant.stop()

    assert str(said[0]) == "vc1: no connection: refused"


def measured(world, passed, mtu=9000):
    """Every appliance's agent says what a probe of its underlay found."""
    for name, known in world.store.snapshot().hosts.items():
        question = Question(host=name, source="192.0.2.1", size=1500, peers={"kvm1": "192.0.2.2"})
        findings = [Finding(peer="kvm1", address="192.0.2.2", passed=passed)]
        said = (underlay_condition(question, findings), trunk_condition("eth0", mtu, 1446))
        world.conditions = said
        world.store.report(HostReport(host=name, carried=known.carried, conditions=said))


def test_a_new_vnic_waits_while_its_underlay_is_too_small_and_is_let_in_once_it_carries(world):
    world.want(VMS[:2])
    world.run()
    measured(world, 1400)
    world.want(VMS)
    world.run()

    (condition,) = world.store.snapshot().conditions[ObjectKey("port", "vm2")]
    assert (condition.true, condition.reason) == (False, "MtuTooSmall")
    assert "underlay_mtu: 1400" in condition.message
    assert {vm: group for vm, group in world.groups().items() if group == "before"} == {
        "vm2": "before",
        "vm3": "before",
    }
    assert world.ready("vm0") == "Up"
    (manager,) = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
    assert "vm2" in manager.message

    measured(world, 1500)
    world.run()

    assert {world.ready(vm) for vm in VMS} == {"Up"}


def test_a_new_vnic_waits_while_the_trunk_of_its_appliance_is_too_small(world):
    world.engine.round((), everything=True)
    measured(world, 1500, mtu=1400)
    world.run()

    assert {world.ready(vm) for vm in VMS} == {"MtuTooSmall"}
    assert set(world.groups().values()) == {"before"}


def test_the_engine_looks_at_a_port_again_once_it_is_held_back_no_longer(world):
    heard = []
    world.reconciler = EstateReconciler(
        "vc1",
        world.estate,
        world.store,
        wishes=lambda *_: {},
        clock=lambda: world.now,
        tell=heard.append,
    )
    world.engine.round((), everything=True)
    measured(world, 1400)
    world.agents()
    world.reconciler.reconcile()

    assert {ObjectKey("port", vm) for vm in VMS} <= set(heard)
    heard.clear()
    world.reconciler.reconcile()
    assert heard == []
    measured(world, 1500)
    world.reconciler.reconcile()
    assert {ObjectKey("port", vm) for vm in VMS} <= set(heard)


def test_a_migration_that_vcenter_refuses_leaves_everything_as_it_was():
    """Behind a standard switch without uplinks a VM does not move."""
    world = World()
    vss = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",))
    world.hosts = {
        name: replace(host, switches=(vss,), facts={"edition": "standard"})
        for name, host in world.hosts.items()
    }
    world.estate = FakeEstate()
    for host in world.hosts.values():
        world.estate.add_host(host)
        for group in ("before", "mgmt"):
            world.estate.add_group("vSwitch0", group, host=host.name)
    world.estate.add_template("appliance", "esx1")
    for number, vm in enumerate(VMS):
        world.estate.add_vm(vm, f"esx{1 + number % 2}", ("vSwitch0", "before"))
    world.macs = {card.vm: card.mac for card in world.estate.estate().cards.values()}
    world.want(VMS)
    world.restart()
    world.run()
    before = world.store.snapshot()

    with pytest.raises(TerminalError, match="virtual intranet"):
        world.estate.begin_move("vm0", "esx2")
    world.run(looks=2)

    after = world.store.snapshot()
    assert (after.attachments, after.tags, after.placements) == (
        before.attachments,
        before.tags,
        before.placements,
    )
    assert world.reconciler.reconcile().steps == ()
    assert {world.ready(vm) for vm in VMS} == {"Up"}
