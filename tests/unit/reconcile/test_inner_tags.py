# SPDX-License-Identifier: Apache-2.0
"""Tags of an inner switch that an agent drives: one rests only once its vNIC was seen to leave."""

from dataclasses import replace

import pytest

from anyvisor.contracts.store import HostReport
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import HostName, NetworkName, ObjectKey, PortName, SwitchName
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import AppliancePolicy, Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import Plugged
from anyvisor.planner.allocate import REST_SECONDS
from anyvisor.planner.inner import inner_place
from anyvisor.reconcile.engine import Engine
from anyvisor.testing.controller import FakeController
from anyvisor.testing.store import FakeStore

XEN1, WEB = HostName("xen1"), NetworkName("web")
THREE = Policy(
    appliance=AppliancePolicy(
        template="t", management="m", tunnel="u", database="tcp:192.0.2.1:6640", count=3
    )
)


class World:
    """A Xen host under `appliance`, with the ports that a test names."""

    def __init__(self):
        self.now = 1000.0
        self.store, self.controller = FakeStore(), FakeController()
        self.engine = Engine(self.store, self.controller, clock=lambda: self.now)
        self.host = Host(
            name=XEN1,
            hypervisor=Hypervisor.XEN,
            version="4.17",
            scheme=Scheme.APPLIANCE,
            tunnel_ip="192.0.2.41",
            switches=(
                NativeSwitch(name=SwitchName("xenbr0"), kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),
            ),
        )

    def want(self, *ports, policy=None):
        network = Network(name=WEB, kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.1.0.0/24"),))
        site = Site(
            hosts={XEN1: self.host},
            networks={WEB: network},
            ports={PortName(p): Port(name=PortName(p), network=WEB, host=XEN1) for p in ports},
            policy=policy or Policy(),
        )
        self.store.write_site(site)
        self.look()

    def look(self):
        self.engine.round(self.store.changed(0.0), everything=True)

    def says(self, *vlans):
        """The agent in dom0."""
        self.store.report(HostReport(host=XEN1, carried=Scheme.APPLIANCE, inner_vlans=frozenset(vlans)))
        self.look()

    def tags(self):
        return {tag.holder: (tag.vlan, tag.released) for tag in self.store.snapshot().tags.values()}


@pytest.fixture
def world():
    return World()


def test_each_vnic_gets_a_tag_of_its_hosts_own_bridge(world):
    world.want("vm1", "vm2")

    state = world.store.snapshot()
    place = inner_place(world.host, state.owner)
    assert place.kind is SwitchKind.LINUX_BRIDGE
    assert len(place.switch) <= 15, "the kernel's limit"
    assert {tag.scope for tag in state.tags.values()} == {place.scope}
    assert {a.kind for a in state.attachments.values()} == {AttachmentKind.VLAN_ACCESS}
    assert len({vlan for vlan, _ in world.tags().values()}) == 2


def test_the_tag_of_a_port_that_goes_is_held_while_its_vnic_is_seen(world):
    world.want("vm1", "vm2")
    world.says(*(vlan for vlan, _ in world.tags().values()))
    vlan, _ = world.tags()["vm1"]

    world.want("vm2")
    world.look()

    assert world.tags()["vm1"] == (vlan, 0)


def test_it_rests_once_its_vnic_was_seen_to_leave_and_is_then_given_to_another(world):
    world.want("vm1", "vm2")
    world.says(*(vlan for vlan, _ in world.tags().values()))
    first, second = world.tags()["vm1"][0], world.tags()["vm2"][0]
    world.want("vm2")

    world.says(second)

    assert world.tags()["vm1"] == (first, 1000)
    assert world.tags()["vm2"] == (second, 0)
    world.want("vm2", "vm3")
    assert world.tags()["vm3"][0] not in {first, second}, "it rests"
    world.now += REST_SECONDS + 1
    world.want("vm2", "vm3", "vm4")
    assert world.tags()["vm4"][0] == first


def test_a_tag_that_is_wanted_is_held_though_its_vnic_is_not_there_yet(world):
    world.want("vm1")

    world.says()

    assert world.tags()["vm1"][1] == 0


def test_where_no_agent_has_spoken_nothing_is_given_back(world):
    world.want("vm1", "vm2")

    world.want("vm2")
    world.look()

    assert world.tags()["vm1"][1] == 0


def test_a_host_without_manager_has_one_appliance_whatever_the_policy_says_of_others(world):
    world.want(*(f"vm{n}" for n in range(8)), policy=THREE)

    assert {a.appliance for a in world.store.snapshot().attachments.values()} == {1}


def test_another_hosts_vlans_are_not_this_ones(world):
    world.want("vm1")
    vlan, _ = world.tags()["vm1"]
    other = replace(world.host, name=HostName("xen2"))

    assert inner_place(other, "0f0f").scope != inner_place(world.host, "0f0f").scope
    assert vlan >= 2


def test_a_port_is_ready_only_once_its_vnic_is_on_the_inner_switch(world):
    world.want("vm1")
    vlan, _ = world.tags()["vm1"]
    key = ObjectKey("port", "vm1")
    way = {PortName("vm1"): Plugged(device="avi0")}
    world.store.report(HostReport(host=XEN1, carried=Scheme.APPLIANCE, plugged=way, inner_vlans=frozenset()))
    world.controller.is_up.add(PortName("vm1"))
    world.look()
    assert not any(c.true for c in world.store.snapshot().conditions[key])

    world.says(vlan)

    assert [c.reason for c in world.store.snapshot().conditions[key] if c.kind == "Ready"] == ["Up"]
