# SPDX-License-Identifier: Apache-2.0
"""What is probed, and what the answers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.kinds import NetworkKind
from anyvisor.model.network import Network
from anyvisor.planner.underlay import (
    Finding,
    Question,
    between,
    rungs,
    sample,
    sample_size,
    trunk_condition,
    trunk_size,
    tunnel_size,
    underlay_condition,
)

PEERS = {"kvm2": "192.0.2.2", "kvm3": "192.0.2.3"}
QUESTION = Question(host="kvm1", source="192.0.2.1", size=1558, peers=PEERS)


def network(mtu=None, kind=NetworkKind.OVERLAY):
    return Network(name="web", kind=kind, mtu=mtu)


def found(peer, passed):
    return Finding(peer=peer, address=PEERS[peer], passed=passed)


@pytest.mark.parametrize(
    ("networks", "underlay", "version", "size"),
    [
        ([], 1500, 4, 1500),
        ([network()], 1500, 4, 1500),
        ([network()], 1500, 6, 1520),
        ([network()], 9000, 4, 1558),
        ([network(1500)], 1500, 4, 1558),
        ([network(1500)], 1500, 6, 1578),
        ([network(1500, NetworkKind.VLAN)], 1500, 4, 1500),
        ([network(), network(1300)], 1400, 4, 1400),
    ],
)
def test_tunnels_carry_the_largest_packet_of_an_overlay_network_and_their_own_headers(
    networks, underlay, version, size
):
    assert tunnel_size(networks, underlay, version) == size


def test_a_trunk_carries_the_largest_packet_of_its_vnics_and_a_tag():
    assert trunk_size([network()], 1500) == 1446
    assert trunk_size([network(), network(kind=NetworkKind.VLAN)], 1500) == 1504
    assert trunk_size([network(8900)], 9000) == 8904
    assert trunk_size([], 1500) == 1446


def test_a_trunk_that_is_too_small_says_what_it_has_and_what_is_needed():
    assert trunk_condition("eth2", 1446, 1446).true
    refused = trunk_condition("eth2", 1445, 1446)
    assert not refused.true
    assert "MTU of 1445" in refused.message
    assert "need 1446" in refused.message


def test_when_every_peer_answers_the_underlay_carries_the_size():
    condition = underlay_condition(QUESTION, [found("kvm2", 1558), found("kvm3", 1558)])

    assert str(condition) == "Underlay=true Carries: carries 1558 bytes to 2 of 2 chassis"


def test_a_peer_that_gets_less_is_named_with_what_it_gets_and_what_to_do():
    condition = underlay_condition(QUESTION, [found("kvm2", 1400), found("kvm3", 1558)])

    assert (condition.true, condition.reason) == (False, "TooSmallForSome")
    assert "need packets of 1558 bytes; kvm2 (192.0.2.2) gets 1400." in condition.message
    assert "Raise the MTU along that way to 1558" in condition.message
    assert "underlay_mtu: 1400" in condition.message


def test_a_silent_peer_is_named_and_proves_nothing_while_others_answer():
    condition = underlay_condition(QUESTION, [found("kvm2", None), found("kvm3", 1558)])

    assert condition.true
    assert condition.message.endswith("1 of 2 chassis; no answer of any size from kvm2 (192.0.2.2)")


def test_if_nobody_answers_something_is_wrong():
    condition = underlay_condition(QUESTION, [found("kvm2", None), found("kvm3", None)])

    assert (condition.true, condition.reason) == (False, "NoAnswer")


def test_a_lone_chassis_has_nobody_to_ask():
    condition = underlay_condition(Question(host="kvm1", source="192.0.2.1", size=1500), [])

    assert (condition.true, condition.reason) == (True, "Alone")


def test_of_few_peers_all_are_asked_and_of_many_a_number_that_grows_with_the_logarithm():
    assert [sample_size(count) for count in (0, 1, 8, 16, 64, 1024, 10_000)] == [0, 1, 8, 12, 20, 36, 50]


@given(st.integers(0, 300), st.integers(0, 50))
def test_every_peer_has_its_turn_and_the_bad_ones_are_asked_each_time(count, turn):
    peers = [f"host{number}" for number in range(count)]
    bad = set(peers[:2])
    asked = sample(peers, "me", turn, bad)
    size = sample_size(count)
    turns = range(-(-count // size) + 1) if size else ()

    assert bad <= set(asked) <= set(peers)
    assert len(asked) <= size + 2
    assert {peer for each in turns for peer in sample(peers, "me", turn + each)} == set(peers)


@given(st.integers(68, 9100), st.integers(68, 9100))
def test_the_largest_size_that_passes_is_found_in_four_rounds(limit, size):
    """A path that passes exactly what is not larger than `limit`."""
    passed, failed = 68, max(size, limit + 1)
    for _ in range(4):
        asked = rungs(passed, failed)
        assert len(asked) <= 16
        passed, failed = between(passed, failed, {each for each in asked if each <= limit})

    assert (passed, failed) == (limit, limit + 1)


@given(st.integers(68, 9100), st.integers(69, 9200), st.data())
def test_lost_answers_never_make_it_claim_what_did_not_pass(low, high, data):
    if high <= low:
        return
    asked = rungs(low, high)
    answered = data.draw(st.sets(st.sampled_from(asked))) if asked else set()

    best, worst = between(low, high, answered)

    assert best == max(answered, default=low)
    assert best < worst <= high
