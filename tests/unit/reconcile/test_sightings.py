# SPDX-License-Identifier: Apache-2.0
"""VMs that move between hosts without a manager: the agents say what they see, anyvisord follows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.contracts.store import HostReport
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.sighting import Sighting
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import HostState, Placement, Plugged, State
from anyvisor.planner.sightings import Sightings
from anyvisor.reconcile.engine import Engine
from anyvisor.testing.controller import FakeController
from anyvisor.testing.store import FakeStore

OVS = (NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),)
LINUX = (NativeSwitch(name="xenbr0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),)
MAC, OTHER = "00:16:3e:00:00:11", "00:16:3e:00:00:99"
WEB1 = Port(name="p1", network="web", host="xen1", vm="web1", mac=MAC)
XL = {"toolstack": "xl"}


def xen(name, switches=OVS, **more):
    nics = (Nic(name="eth0", physical="fabric"),)
    return Host(
        name=name, hypervisor=Hypervisor.XEN, version="4.17", switches=switches, nics=nics, facts=XL, **more
    )


THREE = tuple(xen(name) for name in ("xen1", "xen2", "xen3"))


def site(*ports, hosts=THREE):
    web = Network(name="web", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.1.0.0/24", dhcp=True),))
    return Site(
        hosts={host.name: host for host in hosts},
        networks={"web": web},
        ports={port.name: port for port in ports or (WEB1,)},
        policy=replace(Site().policy, vlans={"fabric": (100, 200)}),
    )


class World:
    """anyvisord, and agents of which only the words are there."""

    def __init__(self, wanted):
        self.store, self.controller = FakeStore(), FakeController()
        self.store.write_site(wanted)
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.now = 1000.0
        self.engine.round((), everything=True)
        for name in wanted.hosts:
            self.says(name)
        self.says("xen1", plugged="vif1.0")

    def says(self, host, *seen, plugged=None, carried=None):
        """An agent's whole report; `plugged` is the device of p1, where p1 is its own."""
        known = self.state.hosts[host]
        attachment = self.state.attachments.get("p1")
        mine = attachment is not None and attachment.host == host
        self.store.report(
            HostReport(
                host=host,
                carried=carried or known.scheme,
                plugged={"p1": Plugged(device=plugged)} if mine else {},
                sighted=seen,
            )
        )
        self.now += 1
        self.engine.round({ObjectKey("host", host), ObjectKey("port", "p1")})

    @property
    def state(self):
        return self.store.snapshot()

    @property
    def place(self):
        return self.state.placements.get("p1")

    @property
    def chassis(self):
        return self.controller.objects[ObjectKey("port", "p1")].chassis

    @property
    def staged(self):
        attachment = self.state.attachments["p1"]
        return attachment.host, attachment.staged

    @property
    def moves(self):
        return self.state.moves.get("p1", ())


ARRIVES = Sighting(vm="web1", arriving=True)
BEFORE = Sighting(vm="web1", mac=MAC, arriving=True)
RUNS = Sighting(vm="web1", mac=MAC)


def test_a_vm_that_stays_is_where_the_site_says():
    world = World(site())

    assert (world.place, world.staged, world.chassis) == (None, ("xen1", None), ("xen1",))


def test_a_migration_is_staged_at_its_first_sign_and_finished_when_the_vm_has_left():
    world = World(site())

    world.says("xen2", ARRIVES)
    assert world.place == Placement(host="xen1", moving_to="xen2")
    assert world.staged == ("xen1", "xen2")
    assert world.chassis == ("xen1", "xen2")

    world.says("xen2", BEFORE)
    world.says("xen2", RUNS)
    assert world.staged == ("xen1", "xen2"), "the old host has not said yet that it is gone there"

    world.says("xen1")
    assert world.place == Placement(host="xen2")
    assert (world.staged, world.chassis) == (("xen2", None), ("xen2",))
    (move,) = world.moves
    assert (move.origin, move.target, move.returned) == ("xen1", "xen2", None)
    assert move.begun < move.arrived

    world.says("xen2", plugged="vif7.0")
    assert world.place == Placement(host="xen2")


def test_a_migration_that_fails_leaves_everything_as_it_was():
    world = World(site())
    world.says("xen2", ARRIVES)

    world.says("xen2")

    assert world.place == Placement(host="xen1")
    assert (world.staged, world.chassis) == (("xen1", None), ("xen1",))
    assert world.moves[0].returned is not None


def test_it_goes_back_where_it_came_from():
    world = World(site())
    for there, other, seen in (("xen2", "xen1", 7), ("xen1", "xen2", 9)):
        world.says(there, ARRIVES)
        world.says(there, RUNS)
        world.says(other)
        world.says(there, plugged=f"vif{seen}.0")

    assert world.place == Placement(host="xen1")
    assert world.staged == ("xen1", None)
    assert [(move.origin, move.target) for move in world.moves] == [("xen1", "xen2"), ("xen2", "xen1")]


def test_a_vm_that_was_started_elsewhere_is_followed():
    world = World(site())
    world.says("xen1")

    world.says("xen3", RUNS)

    assert world.staged == ("xen3", None)


def test_a_copy_of_a_running_vm_gets_nothing():
    world = World(site())

    world.says("xen2", RUNS)

    assert (world.place, world.staged, world.chassis) == (None, ("xen1", None), ("xen1",))


def test_another_vm_with_its_mac_and_its_vm_with_another_mac_are_nobodys():
    world = World(site())
    world.says("xen1")

    world.says("xen2", Sighting(vm="evil", mac=MAC))
    world.says("xen3", Sighting(vm="web1", mac=OTHER))

    assert world.place is None


def test_of_two_that_claim_to_be_it_none_is():
    world = World(site())
    world.says("xen1")
    world.says("xen2", RUNS)
    assert world.staged == ("xen2", None)
    world.says("xen2")

    world.says("xen1", RUNS)
    world.says("xen1")
    world.says("xen3", ARRIVES)
    world.says("xen2", ARRIVES)

    assert world.place.host == "xen1"


def test_what_a_dead_agent_said_last_does_not_pull_the_vm_back():
    """xen2 saw it, and died; it was started on xen1 again, whose agent has not plugged it yet."""
    world = World(site())
    world.says("xen1")
    world.says("xen2", RUNS)

    world.says("xen1", RUNS)
    assert world.staged == ("xen1", None)
    world.says("xen3")
    assert world.staged == ("xen1", None)


def test_behind_a_native_switch_it_is_attached_once_it_has_arrived():
    hosts = [xen(name, LINUX, scheme=Scheme.SEPARATION) for name in ("xen1", "xen2")]
    world = World(site(hosts=hosts))

    world.says("xen2", ARRIVES)
    assert world.staged == ("xen1", None)
    world.says("xen2", RUNS)
    world.says("xen1")

    assert world.staged == ("xen2", None)


def test_where_a_manager_tells_agents_are_not_asked():
    managed = replace(xen("xen1"), manager="pool1", facts={"toolstack": "xapi"})
    wanted = site(hosts=(managed, xen("xen2")))
    world = World(
        replace(wanted, managers={"pool1": Manager(name="pool1", driver="xapi", url="https://pool1")})
    )
    world.says("xen1")

    world.says("xen2", RUNS)

    assert world.place is None


SEEN = st.lists(
    st.sampled_from([ARRIVES, BEFORE, RUNS, Sighting(vm="evil", mac=MAC), Sighting(mac=MAC)]), max_size=2
)
WORDS = st.tuples(st.sampled_from(["xen1", "xen2", "xen3"]), SEEN.map(tuple), st.booleans())


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_whatever_agents_say_a_vm_moves_only_to_where_it_was_seen_and_then_rests(words):
    world = World(site())
    for host, seen, plugged in words:
        before, stood = world.place, plugged_at(world.state)
        world.says(host, *seen, plugged="vif1.0" if plugged else None)
        after = world.place
        if after is not None and (before is None or before.host != after.host) and after.host != "xen1":
            assert any(s.mac == MAC and not s.arriving for s in world.state.hosts[after.host].sighted)
        if before is not None and after is not None and before.host != after.host:
            assert stood != before.host or host == before.host, "it was still plugged where it was"
        settled = world.place
        world.engine.round(every(world.state))
        assert world.place == settled, "a look without news made some"


def plugged_at(state: State):
    attachment = state.attachments["p1"]
    return attachment.host if state.plugged.get("p1", Plugged()).device is not None else None


def every(state: State):
    return {*(ObjectKey("host", name) for name in state.hosts), ObjectKey("port", "p1")}


def test_a_look_costs_what_changed():
    """Of a thousand VMs seen somewhere only the one is looked up whose sighting is new."""
    ports = [
        replace(WEB1, name=f"p{n}", vm=f"vm{n}", mac=f"00:16:3e:00:{n // 256:02x}:{n % 256:02x}")
        for n in range(1000)
    ]
    state = State(site=site(*ports))
    sightings = Sightings()
    sightings.news(state, {ObjectKey("port", port.name) for port in ports})
    seen = Sighting(vm="vm7", mac=ports[7].mac)
    state = replace(state, hosts={"xen2": HostState(sighted=(seen,))})

    assert sightings.news(state, {ObjectKey("host", "xen2")}) == {"p7": Placement(host="xen2")}


def test_a_host_that_leaves_the_site_holds_nobody():
    world = World(site())
    world.says("xen1")
    world.says("xen2", RUNS)
    assert world.staged == ("xen2", None)

    world.store.write_site(site(hosts=(xen("xen1"), xen("xen3"))))
    world.engine.round({ObjectKey("host", "xen2")})

    assert world.place is None
    assert world.staged == ("xen1", None)
    world.says("xen3", RUNS)
    assert world.staged == ("xen3", None)
