# SPDX-License-Identifier: Apache-2.0
"""What is found out about frames from what captures saw; and that what is built is what is read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.lab.capture import Sighting
from anyvisor.lab.frame import EXPERIMENT, Card, Kind, Read, build, read
from anyvisor.lab.leak import Ground, Sent, judge

A, B = (
    Card(mac="52:54:00:00:00:0a", ip="10.0.0.10", tag=2),
    Card(mac="52:54:00:00:00:0b", ip="10.0.0.11", tag=3),
)
TAGS = {Kind.TAGGED: (3,), Kind.PRIORITY: (0,), Kind.DOUBLE: (2, 3)}
GROUND = Ground(
    networks={"a": "red", "b": "red", "c": "blue"},
    hosts={name: frozenset({"esx1"}) for name in "abc"},
    tags={"a": frozenset({2}), "b": frozenset({3}), "c": frozenset({4})},
    appliances={"av": "esx1"},
)
SENT = Sent(token=1, kind=Kind.UNICAST, sender="a", victim="b")


def seen(part, card, direction, *tags):
    return Sighting(token=1, part=part, card=card, outgoing=direction == "out", tags=tags)


def at(name):
    return [seen("esx1", f"tap-{name}", "out"), seen(name, "eth0", "in")]


def into(tag):
    return [seen("esx1", "nic-1", "out", tag), seen("av", "trunk0", "in", tag)]


def out(tag):
    return [seen("av", "trunk0", "out", tag), seen("esx1", "nic-1", "in", tag)]


WAY = [seen("a", "eth0", "out"), seen("esx1", "tap-a", "in"), *into(2), *out(3), *at("b")]


@given(st.sampled_from(Kind), st.integers(0, 2**64 - 1))
def test_a_frame_is_known_again_by_its_token_and_its_tags(kind, token):
    data = build(kind, token, A, B)

    assert read(data) == Read(token=token, tags=TAGS.get(kind, ()))
    assert read(data, stripped=7) == Read(token=token, tags=(7, *TAGS.get(kind, ())))


@given(st.binary(max_size=80))
def test_what_was_not_made_here_is_nobodys(data):
    assert read(data) is None
    assert read(b"\0" * 12 + EXPERIMENT.to_bytes(2) + data) is None


def test_a_frame_that_went_through_the_appliance_is_as_it_should_be():
    verdict = judge([SENT], WAY, GROUND)

    assert (verdict.leaks, verdict.duplicates, verdict.losses) == ((), (), ())
    assert (verdict.pairs, verdict.heard, verdict.through) == ({("a", "b")}, 1, 1)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (out(3), "0 times came out of the trunk"),
        (into(2), "never went into the trunk"),
        (out(3)[:1], "0 times came out of the trunk"),
        (out(3)[1:], "0 times came out of the trunk"),
    ],
)
def test_a_frame_that_was_not_seen_on_both_ends_of_the_trunk_both_ways_has_leaked(missing, said):
    (leak,) = judge([SENT], [one for one in WAY if one not in missing], GROUND).leaks

    assert said in leak


def test_a_frame_that_came_out_of_the_trunk_with_somebody_elses_tag_has_leaked():
    way = [*into(2), *out(4), *at("b")]

    assert len(judge([SENT], way, GROUND).leaks) == 1


def test_a_copy_that_took_the_way_on_the_native_switch_beside_the_right_one_has_leaked():
    verdict = judge([SENT], [*WAY, *at("b")], GROUND)

    assert "2 times at b, but 1 times came out" in verdict.leaks[0]
    assert len(verdict.duplicates) == 1


@pytest.mark.parametrize(
    "kind", [Kind.FORGED, Kind.STOLEN, Kind.TAGGED, Kind.PRIORITY, Kind.DOUBLE, Kind.UNKNOWN]
)
def test_frames_that_are_for_nobody_may_be_heard_by_nobody(kind):
    one = replace(SENT, kind=kind)

    assert "which it is not for" in judge([one], WAY, GROUND).leaks[0]
    assert judge([one], WAY[:2], GROUND).losses == ()


def test_another_network_hears_nothing_even_through_the_appliance():
    way = [*into(2), *out(4), *at("c")]

    assert "which it is not for" in judge([replace(SENT, kind=Kind.BROADCAST)], way, GROUND).leaks[0]


def test_a_frame_that_the_hosts_end_of_a_card_gave_out_was_heard():
    assert judge([SENT], [seen("esx1", "tap-c", "out")], GROUND).leaks


@pytest.mark.parametrize("tags", [(), (2,), (205, 2)])
def test_nothing_may_leave_by_the_uplink_as_it_is(tags):
    assert "left by vmnic0" in judge([SENT], [*WAY, seen("esx1", "vmnic0", "out", *tags)], GROUND).leaks[0]


def test_what_the_product_names_as_an_escape_takes_its_vlan_and_no_other():
    ground = replace(GROUND, escapes=frozenset({frozenset("ab")}), ways_out={"a": frozenset({205})})
    way = [*at("b"), seen("esx1", "vmnic0", "out", 205)]

    assert judge([SENT], way, ground).leaks == ()
    assert judge([SENT], [*way, seen("esx1", "vmnic0", "out", 3)], ground).leaks


def test_what_does_not_arrive_is_lost_but_for_those_that_move():
    assert judge([SENT], WAY[:4], GROUND).losses == ("frame 1 (unicast, a at b) did not reach b",)
    assert judge([SENT], WAY[:4], replace(GROUND, unsteady=frozenset("b"))).losses == ()


def test_an_echo_is_a_duplicate():
    assert judge([SENT], [*WAY, seen("a", "eth0", "in")], GROUND).duplicates
