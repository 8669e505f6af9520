# SPDX-License-Identifier: Apache-2.0
"""What is replaced on a Linux bridge host, what forbids it, and the journal that outlives the agent."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName, Mac, SwitchName
from anyvisor.planner.chassis import ProviderBridge, provider_bridges
from anyvisor.planner.conversion import (
    Address,
    ConversionPlan,
    HostBridge,
    Journal,
    MovedVnic,
    Replacement,
    Route,
    conversion_plan,
    journal_document,
    journal_of,
    replacement_of,
    wanted_bridges,
)

MAC = Mac("52:54:00:00:00:aa")
BR0 = HostBridge(
    name="br0",
    mac=MAC,
    mtu=1450,
    members=("eth0", "tap1"),
    addresses=(Address(address="192.0.2.11", prefix_length=24),),
)
BECOMES = ProviderBridge(name="br-fabric", physical=("fabric",), uplinks=("eth0",), mac=MAC, mtu=1450)


def linux(name, *uplinks):
    return NativeSwitch(name=SwitchName(name), kind=SwitchKind.LINUX_BRIDGE, uplinks=uplinks)


TRUNK = (Nic(name="eth0", physical="fabric"),)


def described(*switches, nics=TRUNK, **more):
    return Host(name=HostName("kvm1"), hypervisor=Hypervisor.KVM, switches=switches, nics=nics, **more)


HOST = described(linux("br0", "eth0"))


def plan(host=HOST, *bridges, vnics=("tap1",), **more):
    listed = bridges or (BR0,)
    return conversion_plan(host, {bridge.name: bridge for bridge in listed}, vnics=vnics, **more)


class TestWhatIsReplaced:
    def test_the_bridge_on_a_trunk_card_with_its_mac_and_mtu(self):
        assert plan() == ConversionPlan(replacements=(Replacement(before=BR0, after=BECOMES),))
        assert plan().needed

    @pytest.mark.parametrize(
        ("host", "bridge"),
        [
            (described(), BR0),
            (HOST, replace(BR0, name="br9")),
            (described(linux("br0")), BR0),
            (HOST, replace(BR0, members=("tap1",))),
            (described(linux("br0", "eth0"), nics=()), BR0),
            (described(linux("br0", "eth0"), nics=(Nic(name="eth0"),)), BR0),
            (described(linux("br0", "eth0"), nics=(Nic(name="eth0", physical="fabric", vlan=7),)), BR0),
            (
                described(
                    NativeSwitch(name=SwitchName("br0"), kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",))
                ),
                BR0,
            ),
        ],
        ids=[
            "the site lists no switch",
            "it is not there",
            "the site names no uplink",
            "its uplink has left it",
            "a card that nobody knows",
            "a card that leads nowhere",
            "a card with one VLAN",
            "not a Linux bridge",
        ],
    )
    def test_nothing_else(self, host, bridge):
        assert plan(host, bridge) == ConversionPlan()
        assert not plan(host, bridge).needed

    def test_the_bridge_of_the_tunnel_address_where_open_vswitch_runs_in_user_space(self):
        host = described(linux("br0", "eth0"), nics=(), tunnel_ip="192.0.2.11")

        assert not plan(host).needed
        (only,) = plan(host, datapath="netdev").replacements
        assert only.after == ProviderBridge(name="br-eth0", physical=(), uplinks=("eth0",), mac=MAC, mtu=1450)

    def test_a_bridge_whose_uplink_has_left_is_done_so_a_second_plan_is_empty(self):
        assert not plan(HOST, replace(BR0, members=(), addresses=())).needed

    def test_the_chassis_then_wants_those_bridges_beside_its_others(self):
        host = described(
            linux("br0", "eth0"), nics=(Nic(name="eth0", physical="fabric"), Nic(name="eth1", physical="dmz"))
        )

        wanted = wanted_bridges(host, plan(host).replacements)

        assert wanted == (ProviderBridge(name="br-dmz", physical=("dmz",), uplinks=("eth1",)), BECOMES)
        assert wanted_bridges(host, ()) == provider_bridges(host)


class TestWhatForbidsIt:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"members": ("eth0", "tap1", "tap8", "tap9")}, "tap8, tap9 in br0 belong to no port of kvm1"),
            ({"stacked": ("br0.7", "br0.8")}, "br0.7, br0.8 are stacked on br0"),
            ({"shared_routes": 2}, "2 routes over br0 have several next hops"),
            (
                {"addresses": (Address(address="192.0.2.11", prefix_length=24, valid=3600),)},
                "192.0.2.11 of br0 is leased",
            ),
        ],
    )
    def test_each_on_its_own(self, changes, said):
        (problem,) = plan(HOST, replace(BR0, **changes)).problems

        assert problem.startswith(said)

    def test_a_second_uplink(self):
        nics = (Nic(name="eth0", physical="fabric"), Nic(name="eth1", physical="fabric"))
        host = described(linux("br0", "eth0", "eth1"), nics=nics)

        (problem,) = plan(host, replace(BR0, members=("eth0", "eth1", "tap1"))).problems

        assert "several uplinks (eth0, eth1)" in problem

    def test_a_bridge_of_somebody_else_with_that_name(self):
        (problem,) = plan(switch_bridges=("br-fabric", "br-other")).problems

        assert problem == "Open vSwitch has a bridge br-fabric already"

    def test_two_bridges_that_would_become_one(self):
        nics = (Nic(name="eth0", physical="fabric"), Nic(name="eth1", physical="fabric"))
        host = described(linux("br0", "eth0"), linux("br1", "eth1"), nics=nics)
        other = HostBridge(name="br1", mac=MAC, mtu=1500, members=("eth1",))

        assert plan(host, BR0, other).problems == ("two bridges of kvm1 would both become br-fabric",)

    def test_all_of_it_at_once(self):
        worse = replace(BR0, members=("eth0", "tap9"), stacked=("br0.7",), shared_routes=1)

        assert len(plan(HOST, worse, switch_bridges=("br-fabric",)).problems) == 4

    def test_not_an_ipv6_address_that_routers_renew(self):
        advertised = Address(address="2001:db8::5", prefix_length=64, valid=3600, preferred=1800)

        assert plan(HOST, replace(BR0, addresses=(advertised,))).problems == ()

    def test_not_a_bridge_that_is_not_replaced(self):
        other = HostBridge(name="docker0", mac=MAC, mtu=1500, members=("veth1",), stacked=("x",))

        assert plan(HOST, BR0, other).problems == ()


texts = st.text("abc:/.0-é", max_size=6)
maybe = st.none() | texts
numbers = st.none() | st.integers(0, 2**32 - 1)
addresses = st.builds(
    Address,
    address=texts,
    prefix_length=st.integers(0, 128),
    peer=maybe,
    flags=st.integers(0, 0xFFFF),
    broadcast=maybe,
    label=texts,
    metric=numbers,
    valid=numbers,
    preferred=numbers,
)
routes = st.builds(
    Route,
    family=st.sampled_from([2, 10]),
    destination=maybe,
    gateway=maybe,
    source=maybe,
    metric=numbers,
    table=st.integers(0, 2**32 - 1),
    metrics=st.lists(st.tuples(texts, st.integers(0, 9000) | texts), max_size=2).map(tuple),
)
names = st.lists(texts, max_size=3).map(tuple)
replacements = st.builds(
    Replacement,
    before=st.builds(
        HostBridge,
        name=texts,
        mac=texts,
        mtu=st.integers(68, 65535),
        members=names,
        addresses=st.lists(addresses, max_size=3).map(tuple),
        routes=st.lists(routes, max_size=3).map(tuple),
        stacked=names,
        shared_routes=st.integers(0, 3),
        ipv6=st.booleans(),
    ),
    after=st.builds(ProviderBridge, name=texts, physical=names, uplinks=names, mac=maybe, mtu=numbers),
)
journals = st.builds(
    Journal,
    phase=st.sampled_from(["", "under way", "done", "undone"]),
    subject=texts,
    owner=texts,
    started=names,
    replacements=st.lists(replacements, max_size=2).map(tuple),
    vnics=st.lists(st.builds(MovedVnic, port=texts, device=texts, bridge=texts), max_size=2).map(tuple),
    settings=st.none() | st.dictionaries(texts, texts, max_size=3),
    bridges=names,
    attempts=st.integers(0, 3),
    reason=texts,
)


@given(journals)
def test_a_journal_comes_back_from_the_disk_as_it_was(journal):
    assert journal_of(json.loads(json.dumps(journal_document(journal)))) == journal


@given(replacements)
def test_so_does_a_replacement(replacement):
    assert replacement_of(json.loads(json.dumps(asdict(replacement)))) == replacement


def test_an_empty_document_is_the_empty_journal():
    assert journal_of({}) == Journal()


@given(journals)
def test_a_journal_of_a_newer_version_is_understood_as_far_as_can_be(journal):
    document = json.loads(json.dumps(journal_document(journal)))
    document["invented"] = 1
    for entry in document["replacements"]:
        for part in (entry, entry["before"], entry["after"], *entry["before"]["routes"]):
            part["invented"] = 1

    assert journal_of(document) == journal


@pytest.mark.parametrize(
    "name", ["settings", "bridges", "attempts", "reason", "vnics", "started", "replacements"]
)
def test_what_an_older_version_did_not_write_is_as_in_the_empty_journal(name):
    document = {key: value for key, value in journal_document(Journal()).items() if key != name}

    assert journal_of(document) == Journal()
