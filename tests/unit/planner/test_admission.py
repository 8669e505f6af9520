# SPDX-License-Identifier: Apache-2.0
"""A vNIC waits while it is known that its packets do not get through, and for nothing else."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.condition import Condition
from anyvisor.model.kinds import NetworkKind
from anyvisor.model.network import Network
from anyvisor.model.state import HostState
from anyvisor.planner.admission import held_back
from anyvisor.planner.underlay import (
    Finding,
    Question,
    probing_condition,
    trunk_carried,
    trunk_condition,
    tunnel_carried,
    tunnel_size,
    underlay_condition,
)

PEERS = {"kvm2": "192.0.2.2", "kvm3": "192.0.2.3", "kvm4": "192.0.2.4"}
QUESTION = Question(host="esx1", source="192.0.2.1", size=1500, peers=PEERS)


def network(mtu=None, kind=NetworkKind.OVERLAY):
    return Network(name="web", kind=kind, mtu=mtu)


def found(*passed):
    """What the peers answered to, one after the other."""
    return underlay_condition(
        QUESTION,
        [
            Finding(peer=peer, address=address, passed=size)
            for (peer, address), size in zip(PEERS.items(), passed, strict=False)
        ],
    )


def held(*conditions, mtu=None, kind=NetworkKind.OVERLAY, underlay=1500):
    return held_back(HostState(conditions=conditions), network(mtu, kind), underlay)


def test_what_is_not_known_holds_nobody_back():
    assert held() is None
    assert held(found(None, None, None)) is None
    assert held(Condition(kind="Underlay", true=False, reason="NotProbed", message="no raw socket")) is None
    assert held(found(1500, 1500, None)) is None


def test_a_first_probe_is_waited_for():
    (reason, message) = held(probing_condition(QUESTION))

    assert reason == "WaitsForProbe"
    assert "1500" in message
    assert held(probing_condition(QUESTION), kind=NetworkKind.VLAN) is None


def test_an_underlay_that_is_too_small_holds_back_and_says_what_to_do():
    (reason, message) = held(found(1400, 1400, 1300))

    assert reason == "MtuTooSmall"
    assert "1500" in message
    assert "carries 1300" in message
    assert "underlay_mtu: 1300" in message


@pytest.mark.parametrize(
    ("why", "condition", "more"),
    [
        ("it is small enough", found(1400, 1400, 1400), {"mtu": 1342}),
        ("the fleet is laid out for that", found(1400, 1400, 1400), {"underlay": 1400}),
        ("it has no tunnels", found(1400, 1400, 1400), {"kind": NetworkKind.VLAN}),
        ("one other chassis is at fault, not this host", found(1500, 1500, 1400), {}),
    ],
)
def test_a_network_that_gets_through_is_let_in(why, condition, more):
    assert not condition.true, why
    assert held(condition, **more) is None


def test_one_bad_chassis_among_many_is_named_but_stops_nobody_else():
    assert found(1400, 1500, 1500).reason == "TooSmallForSome"
    assert found(1400, 1400, 1500).reason == "TooSmall"


def test_a_trunk_that_is_too_small_holds_back_whom_it_cannot_carry():
    small = trunk_condition("eth0", 1400, 1446)

    assert held(small).reason == "MtuTooSmall"
    assert held(small, kind=NetworkKind.VLAN).reason == "MtuTooSmall"
    assert "eth0" in held(small).message
    assert held(small, mtu=1396) is None
    assert held(trunk_condition("eth0", 1446, 1446)) is None


@given(
    st.lists(st.integers(68, 1499), min_size=1, max_size=3),
    st.sampled_from(["192.0.2.{}", "2001:db8::{}"]),
)
def test_the_size_that_was_found_is_read_as_it_was_written(sizes, pattern):
    findings = [
        Finding(peer=f"kvm{n}", address=pattern.format(n), passed=size) for n, size in enumerate(sizes, 1)
    ]
    condition = underlay_condition(QUESTION, findings)

    assert tunnel_carried(condition) == (min(sizes), ip_address(findings[0].address).version)


@given(st.integers(68, 1445))
def test_the_mtu_of_a_card_is_read_as_it_was_written(mtu):
    assert trunk_carried(trunk_condition("eth0", mtu, 1446)) == mtu


@given(st.integers(576, 1500), st.integers(576, 1442), st.sampled_from([4, 6]))
def test_who_is_held_back_would_have_lost_packets_and_who_is_let_in_would_not(carried, mtu, version):
    address = "192.0.2.2" if version == 4 else "2001:db8::2"
    condition = underlay_condition(
        Question(host="esx1", source=address, size=1600, peers={"kvm2": address}),
        [Finding(peer="kvm2", address=address, passed=carried)],
    )

    verdict = held_back(HostState(conditions=(condition,)), network(mtu), 1500)

    assert (verdict is not None) is (tunnel_size([network(mtu)], 1500, version) > carried)
