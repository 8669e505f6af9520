# SPDX-License-Identifier: Apache-2.0
"""One tag per network: no two networks share one, and the pairs that are named are those that share a group."""

from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.cli.plan_text import plan_lines
from anyvisor.codec.site import parse_site
from anyvisor.codec.site_yaml import dump_site
from anyvisor.lab.expectation import Expectation, Picture
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import (
    AttachmentKind,
    Direction,
    Hypervisor,
    NetworkKind,
    Protocol,
    Scheme,
    SwitchKind,
    TagPer,
)
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import AppliancePolicy, Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import CardReading, HostState, State, Tag, Telemetry, VnicReading
from anyvisor.model.vnic import Counters
from anyvisor.planner.allocate import network_holder, network_of
from anyvisor.planner.capacity import capacities
from anyvisor.planner.decide import Decider
from anyvisor.planner.escape import NO_INGRESS, OWN_ADDRESSES, escape_groups, escapes, unenforced
from anyvisor.planner.explain import explain_port
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.inner import group_name, inner_place, network_group_name, shared_group_name
from anyvisor.planner.paper import plan
from anyvisor.planner.sharing import sharing
from anyvisor.reconcile.engine import every_key
from anyvisor.view.coverage import overall_view

OWNER = "0f0f0f0f"
VDS = (NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",)),)
VSS = (NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",)),)
HTTP = SecurityGroup(name="http", rules=(Rule(direction=Direction.INGRESS, protocol=Protocol.ICMP),))
APPLIANCE = AppliancePolicy(
    template="t", management="m", tunnel="t", database="ssl:192.0.2.1:6640", tags=TagPer.NETWORK
)


def esx(name, cluster, switches=VDS):
    return Host(
        name=name, hypervisor=Hypervisor.ESXI, version="8.0.3", cluster=cluster, switches=switches,
        scheme=Scheme.APPLIANCE, manager="vc1", facts={"spare_vcpus": 8, "spare_memory_gib": 32},
    )  # fmt: skip


HOSTS = {
    "esx1": esx("esx1", "c1"),
    "esx2": esx("esx2", "c1"),
    "esx3": esx("esx3", "c2"),
    "kvm1": Host(
        name="kvm1",
        hypervisor=Hypervisor.KVM,
        switches=(NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),),
        scheme=Scheme.BASELINE,
    ),
}
SCHEMES = {name: host.scheme for name, host in HOSTS.items()}
NETWORKS = ("web", "db", "lan")


def site(ports, tags=TagPer.NETWORK, **more):
    """`ports`: pairs of network and host."""
    return Site(
        managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
        hosts=HOSTS,
        policy=Policy(appliance=replace(APPLIANCE, tags=tags)),
        networks={
            name: Network(name=name, kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr=f"10.{n}.0.0/24"),))
            for n, name in enumerate(NETWORKS)
        },
        security_groups={"http": HTTP},
        ports={
            f"p{n}": Port(
                name=f"p{n}", network=network, host=host, ips=(f"10.{NETWORKS.index(network)}.0.{n + 10}",),
                security_groups=("http",),
            )
            for n, (network, host) in enumerate(ports)
        },
        **more,
    )  # fmt: skip


def decided(wanted, before=None):
    """What is decided for a site, on top of what was."""
    known = replace(before or State(owner=OWNER), site=wanted)
    decider = Decider(Fleet())
    decider.load(known)
    found = decider.round(known, every_key(known), now_seconds=1000)
    attachments = {**known.attachments, **found.attachments}
    return replace(
        known,
        tags={**known.tags, **found.tags},
        attachments={port: a for port, a in attachments.items() if a is not None},
        ports={**known.ports, **found.ports},
        hosts={name: HostState(scheme=host.scheme) for name, host in wanted.hosts.items()},
    )


placed = st.lists(st.tuples(st.sampled_from(NETWORKS), st.sampled_from(sorted(HOSTS))), max_size=10)


@settings(deadline=None, max_examples=80)
@given(ports=placed, before=placed, policy_before=st.sampled_from(TagPer))
def test_no_two_networks_share_a_tag_and_every_escape_is_named(ports, before, policy_before):
    earlier = decided(site(before, policy_before))
    state = decided(site(ports), earlier)
    on_wire = defaultdict(set)
    for a in state.attachments.values():
        if a.kind is AttachmentKind.VLAN_ACCESS and a.port in state.site.ports:
            on_wire[inner_place(HOSTS[a.host], OWNER).scope, a.vlan].add(a)

    assert all(len({a.network for a in members}) == 1 for members in on_wire.values())
    together = {
        frozenset((a.port, b.port))
        for members in on_wire.values()
        for a, b in combinations(members, 2)
        if a.host == b.host
    }
    shared = sharing(state.site, SCHEMES)
    named = escapes(state.site, SCHEMES, shared=shared)
    assert {frozenset((pair.source, pair.target)) for pair in named} == together
    assert len(named) == sum(g.pair_count for g in escape_groups(state.site, SCHEMES, shared=shared))
    assert all("policy.appliance.tags" in pair.why for pair in named)


@given(ports=placed)
def test_with_a_tag_per_vnic_nobody_shares_and_nothing_escapes(ports):
    state = decided(site(ports, TagPer.VNIC))
    tags = [(a.vlan, a.host in {"esx1", "esx2"}) for a in state.attachments.values() if a.vlan is not None]

    assert len(set(tags)) == len(tags)
    assert not any(a.shared for a in state.attachments.values())
    assert sharing(state.site, SCHEMES, state=state) == frozenset()


@pytest.mark.parametrize(("per", "most"), [(TagPer.NETWORK, 1), (TagPer.VNIC, 2)])
def test_of_several_appliances_one_alone_speaks_on_a_tag(per, most):
    """Or the switch would learn a remote MAC behind the one and deliver what is for it there, where nobody serves."""
    wanted = site([(network, host) for network in NETWORKS for host in ("esx1", "esx2")] * 4, per)
    policy = replace(wanted.policy, appliance=replace(wanted.policy.appliance, count=2))

    state = decided(replace(wanted, policy=policy))

    serving = defaultdict(set)
    for a in state.attachments.values():
        serving[a.network, a.host].add(a.appliance)
    assert max(len(numbers) for numbers in serving.values()) == most
    assert set.union(*serving.values()) == {1, 2}


def test_a_port_that_is_called_like_a_network_holds_a_tag_of_its_own():
    wanted = site([("web", "esx1")], TagPer.VNIC)
    wanted = replace(wanted, ports={"web": replace(wanted.ports["p0"], name="web")})
    alone = decided(wanted)

    both = decided(site([("web", "esx1")]), alone)

    assert len({tag.vlan for tag in both.tags.values()}) == 2
    assert network_of("web") is None
    assert network_of(network_holder("web")) == "web"


def test_a_changed_policy_reaches_every_port_and_no_tag_passes_on():
    before = decided(site([("web", "esx1"), ("web", "esx2"), ("db", "esx1")], TagPer.VNIC))
    fleet = Fleet()
    decider = Decider(fleet)
    decider.load(before)
    decider.round(before, every_key(before), now_seconds=1000)
    after = replace(before, site=site([("web", "esx1"), ("web", "esx2"), ("db", "esx1")]))

    found = decider.round(after, [ObjectKey("policy", "")], now_seconds=1000)

    assert set(found.attachments) == {"p0", "p1", "p2"}
    assert all(a.shared for a in found.attachments.values())
    old = {a.vlan for a in before.attachments.values()}
    assert old.isdisjoint(a.vlan for a in found.attachments.values())


def test_until_the_last_has_left_the_networks_tag_its_ports_count_as_sharing():
    """The policy has changed back, but cards may still be where they were."""
    earlier = decided(site([("web", "esx1"), ("web", "esx1"), ("db", "esx1")]))
    state = decided(site([("web", "esx1"), ("web", "esx1"), ("db", "esx1")], TagPer.VNIC), earlier)

    assert sharing(state.site, SCHEMES, state=state) == {"p0", "p1", "p2"}
    rested = {
        key: replace(tag, released=900) if network_of(tag.holder) else tag for key, tag in state.tags.items()
    }
    assert sharing(state.site, SCHEMES, state=replace(state, tags=rested)) == frozenset()


def test_one_that_fell_open_shares_nothing():
    wanted = site([("web", "esx1"), ("web", "esx1")])

    assert sharing(wanted, SCHEMES, {"p0"}) == {"p1"}


def test_names_of_groups_never_meet():
    place, other = inner_place(HOSTS["esx1"], OWNER), inner_place(HOSTS["esx3"], OWNER)
    lone = inner_place(esx("esx4", None, VSS), OWNER)
    long = "n" * 63
    names = [
        shared_group_name(place, "web"), shared_group_name(other, "web"), shared_group_name(lone, "web"),
        network_group_name(OWNER, "web"), group_name(OWNER, "web"), f"{place.switch}+trunk",
        shared_group_name(place, "trunk"), shared_group_name(inner_place(esx("e", long), OWNER), long),
        shared_group_name(inner_place(esx("e", long), OWNER), long[:-1]),
    ]  # fmt: skip

    assert len(set(names)) == len(names)
    assert all(len(name) <= 80 for name in names)


def test_rules_are_said_not_to_hold_towards_neighbours_alone():
    wanted = site([("web", "esx1"), ("web", "esx1"), ("web", "esx2"), ("db", "esx1")])

    found = unenforced(wanted, SCHEMES, shared=sharing(wanted, SCHEMES))

    assert {(rule.port, rule.rule) for rule in found} == {
        (port, rule)
        for port in ("p0", "p1")
        for rule in ("http: ingress icmp from any", NO_INGRESS, OWN_ADDRESSES)
    }
    assert all("everybody else" in rule.why for rule in found)
    assert {rule.why.split()[2].rstrip(":") for rule in found if rule.port == "p0"} == {"p1"}


def test_what_packets_should_do_follows():
    wanted = site([("web", "esx1"), ("web", "esx1"), ("web", "esx2")])
    addresses = {name: port.ips for name, port in wanted.ports.items()}
    expectation = Expectation(
        Picture(site=wanted, schemes=SCHEMES, addresses=addresses, shared=sharing(wanted, SCHEMES))
    )

    def tcp(source, target):
        return expectation.between(source, target, protocol=Protocol.TCP, port=80, version=4)

    around, across = tcp("p0", "p1"), tcp("p0", "p2")
    assert (around.allow, around.escape, around.unenforced) == (True, True, True)
    assert (across.allow, across.escape) == (False, False)


def test_explain_says_what_holds_in_part_and_who_sees_what():
    state = decided(site([("web", "esx1"), ("web", "esx1"), ("web", "esx2")]))

    shown, alone = (explain_port(state.site, state, name, SCHEMES) for name in ("p0", "p2"))

    assert [pair.target for pair in shown.escapes] == ["p1"]
    assert shown.enforced
    assert shown.unenforced
    assert "but for what is said between" in shown.seen
    assert (alone.escape_count, alone.unenforced) == (0, ())
    assert "but for" not in alone.seen


def test_the_plan_promises_nothing_and_a_floor_refuses():
    wanted = site([("web", "esx1"), ("web", "esx1"), ("web", "esx2")])
    pinned = {host.host: host for host in plan(wanted, State()).hosts}

    assert (pinned["esx1"].predicts.controlled, pinned["esx1"].predicts.observed) == (0.0, 1.0)
    assert pinned["esx2"].predicts.controlled == 1.0

    free = {name: replace(host, scheme=None) for name, host in HOSTS.items()}
    policy = replace(wanted.policy, default=Preference(floor=Floor(controlled=0.5)))
    chosen = {host.host: host for host in plan(replace(wanted, hosts=free, policy=policy), State()).hosts}
    assert chosen["esx1"].scheme is not Scheme.APPLIANCE
    assert ("appliance", "BELOW_FLOOR") in {(v.scheme, v.code) for v in chosen["esx1"].rejected}


def test_a_plan_names_the_pairs_and_a_step_says_together():
    wanted = site([("web", "esx1"), ("web", "esx1")])
    text = "\n".join(plan_lines(plan(wanted, State()), wanted, source="site.yaml", why=False))

    assert "those of a network together on a VLAN" in text
    assert "policy.appliance.tags" in text
    assert "one tag per network" in text


def test_capacity_counts_networks():
    state = decided(site([("web", "esx1"), ("web", "esx2"), ("db", "esx1"), ("lan", "esx3")]))

    by_switch = {len(c.hosts): c for c in capacities(state.site, state, SCHEMES, now_seconds=1000)}

    assert (by_switch[2].taken, by_switch[2].coming, by_switch[1].taken) == (2, 0, 1)
    fresh = capacities(state.site, State(owner=OWNER), SCHEMES, now_seconds=1000)[0]
    assert "2 networks are to come" in str(fresh)
    assert "each network there" in fresh.remedy


def reading(port, controlled):
    return VnicReading(
        port=port, host="esx1", kind=AttachmentKind.VLAN_ACCESS, controlled=Counters(rx_bytes=controlled),
        hypervisor=Counters(rx_bytes=controlled),
    )  # fmt: skip


@pytest.mark.parametrize(("counted", "share"), [(1000, 0.25), (250, 1.0)])
def test_the_card_is_the_yardstick_of_a_vnic_that_shares(counted, share):
    state = decided(site([("web", "esx1")]))
    card = CardReading(port="p0", host="esx1", counted=Counters(tx_bytes=counted), shown=Counters())

    shown = overall_view(state, Telemetry(vnics={"p0": reading("p0", 250)}, cards={"p0": card}), ())

    assert (shown.ports["p0"].controlled, shown.ports["p0"].observed) == (share, 1.0)


def test_where_nobody_reads_the_card_the_appliances_own_count_proves_nothing():
    state = decided(site([("web", "esx1")]))
    elsewhere = CardReading(port="p0", host="esx2", counted=Counters(tx_bytes=250), shown=Counters())

    for cards in ({}, {"p0": elsewhere}):
        shown = overall_view(state, Telemetry(vnics={"p0": reading("p0", 250)}, cards=cards), ())
        assert shown.ports["p0"].bytes == shown.ports["p0"].controlled_bytes == 0


def test_the_policy_survives_the_way_through_a_file():
    wanted = Site(policy=Policy(appliance=APPLIANCE))

    assert "tags: network" in dump_site(wanted)
    assert parse_site(dump_site(wanted)).policy == wanted.policy
    assert "tags" not in dump_site(Site(policy=Policy(appliance=replace(APPLIANCE, tags=TagPer.VNIC))))


def test_a_tag_of_the_network_rests_like_any_other():
    scope = inner_place(HOSTS["esx1"], OWNER).scope
    resting = Tag(scope=scope, vlan=2, holder=network_holder("web"), released=999)

    other = decided(site([("db", "esx1")]), State(owner=OWNER, tags={(scope, 2): resting}))
    same = decided(site([("web", "esx1")]), State(owner=OWNER, tags={(scope, 2): resting}))

    assert other.attachments["p0"].vlan != 2
    assert same.attachments["p0"].vlan == 2


def test_vnics_of_a_cluster_that_gets_another_name_are_given_tags_of_its_inner_switch():
    wanted = site([("web", "esx1"), ("db", "esx3")])
    before = decided(wanted)
    renamed = replace(wanted, hosts={**HOSTS, "esx1": replace(HOSTS["esx1"], cluster="c9")})
    decider = Decider(Fleet())
    decider.load(before)
    decider.round(before, every_key(before), now_seconds=1500)

    found = decider.round(replace(before, site=renamed), [ObjectKey("host", "esx1")], now_seconds=2000)

    assert set(found.attachments) == {"p0"}
    assert found.attachments["p0"].switch == inner_place(renamed.hosts["esx1"], OWNER).switch
    assert found.attachments["p0"].switch != before.attachments["p0"].switch
