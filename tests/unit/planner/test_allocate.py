# SPDX-License-Identifier: Apache-2.0
"""A tag is unique, stable, and rests before anybody else gets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.state import Tag
from anyvisor.planner.allocate import TagPool, claim, forecast, physical_scope, release, switch_scope, take

SCOPE = switch_scope("esx1", "av0")
FIRST, LAST, REST = 10, 14, 60


def taken(tags, holder, now):
    return take(SCOPE, holder, tags, first=FIRST, last=LAST, now_seconds=now, rest_seconds=REST)


def test_scopes_name_what_the_tag_is_unique_on():
    assert SCOPE == "switch/esx1/av0"
    assert physical_scope("fabric") == "physical/fabric"


def test_the_lowest_free_vlan_is_taken_and_the_same_holder_keeps_it():
    first = taken({}, "vm1", 0)
    tags = {(first.scope, first.vlan): first}

    assert first == Tag(scope=SCOPE, vlan=10, holder="vm1")
    assert taken(tags, "vm1", 5) == first
    assert taken(tags, "vm2", 5).vlan == 11


def test_a_released_tag_rests_but_its_own_holder_may_have_it_back():
    resting = release(Tag(scope=SCOPE, vlan=10, holder="vm1"), now_seconds=1000)
    tags = {(SCOPE, 10): resting}

    assert taken(tags, "vm2", 1059).vlan == 11
    assert taken(tags, "vm2", 1060).vlan == 10
    assert taken(tags, "vm1", 1001) == Tag(scope=SCOPE, vlan=10, holder="vm1")


def test_releasing_twice_does_not_prolong_the_rest():
    once = release(Tag(scope=SCOPE, vlan=10, holder="vm1"), now_seconds=1000)

    assert release(once, now_seconds=2000) == once


def test_vlans_that_the_operator_gave_away_are_left_alone():
    tag = take(SCOPE, "web", {}, first=10, last=14, now_seconds=0, rest_seconds=REST, reserved={10, 12})

    assert tag.vlan == 11


def test_a_full_range_is_terminal_and_says_how_full_it_is():
    tags = {(SCOPE, vlan): Tag(scope=SCOPE, vlan=vlan, holder=f"vm{vlan}") for vlan in range(FIRST, LAST + 1)}

    with pytest.raises(TerminalError, match="of the 5 VLANs 10-14, 5 are held, 0 rest and 0 are free"):
        taken(tags, "late", 0)


def test_a_range_that_only_rests_says_when_to_come_back():
    tags = {(SCOPE, vlan): Tag(scope=SCOPE, vlan=vlan, holder=f"vm{vlan}") for vlan in range(FIRST, LAST + 1)}
    tags[SCOPE, 12] = release(tags[SCOPE, 12], now_seconds=1000)

    with pytest.raises(RetryableError) as caught:
        taken(tags, "late", 1010)

    assert caught.value.after == 50


def test_an_operators_own_vlan_is_claimed_unless_another_holds_it():
    tags = {(SCOPE, 10): Tag(scope=SCOPE, vlan=10, holder="web")}

    assert claim(SCOPE, "web", 10, tags, now_seconds=0, rest_seconds=REST).holder == "web"
    assert claim(SCOPE, "db", 11, tags, now_seconds=0, rest_seconds=REST).vlan == 11
    with pytest.raises(TerminalError, match="held by web"):
        claim(SCOPE, "db", 10, tags, now_seconds=0, rest_seconds=REST)


def test_a_forecast_counts_held_resting_and_free():
    tags = {
        (SCOPE, 10): Tag(scope=SCOPE, vlan=10, holder="a"),
        (SCOPE, 11): Tag(scope=SCOPE, vlan=11, holder="b", released=100),
        (SCOPE, 12): Tag(scope=SCOPE, vlan=12, holder="c", released=1),
    }

    told = forecast(SCOPE, tags, first=FIRST, last=LAST, now_seconds=120, rest_seconds=REST)

    assert (told.held, told.resting, told.free, told.rests_until) == (1, 1, 3, 160)


@given(holders=st.lists(st.text(max_size=3), max_size=40))
def test_a_pool_hands_out_as_single_takes_would(holders):
    pool = TagPool(SCOPE, {}, first=1, last=50, now_seconds=0, rest_seconds=REST)
    tags = {}

    for holder in holders:
        one = take(SCOPE, holder, tags, first=1, last=50, now_seconds=0, rest_seconds=REST)
        tags[one.scope, one.vlan] = one
        assert pool.take(holder) == one


class Tags(RuleBasedStateMachine):
    """Any order of taking, releasing and waiting."""

    def __init__(self):
        super().__init__()
        self.now = 1000
        self.tags = {}
        self.left = {}

    @rule(holder=st.sampled_from("abcdefgh"))
    def take(self, holder):
        before = self.held(holder)
        try:
            tag = taken(self.tags, holder, self.now)
        except (RetryableError, TerminalError):
            assert all(
                not known.released or known.released + REST > self.now for known in self.tags.values()
            ), "refused although something was free"
            assert len(self.tags) == LAST - FIRST + 1
            return
        previous = self.tags.get((SCOPE, tag.vlan))
        assert FIRST <= tag.vlan <= LAST
        assert before in (None, tag), "a holder keeps its tag"
        if previous is not None and previous.holder != holder:
            assert previous.released, "a held tag was given away"
            assert self.now - previous.released >= REST, "a tag was used before it had rested"
        self.tags[SCOPE, tag.vlan] = tag

    @rule(holder=st.sampled_from("abcdefgh"))
    def give_back(self, holder):
        tag = self.held(holder)
        if tag is not None:
            self.tags[SCOPE, tag.vlan] = release(tag, now_seconds=self.now)

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds):
        self.now += seconds

    def held(self, holder):
        return next((tag for tag in self.tags.values() if tag.holder == holder and not tag.released), None)

    @invariant()
    def no_holder_has_two(self):
        holders = [tag.holder for tag in self.tags.values() if not tag.released]
        assert len(holders) == len(set(holders))


TestTags = Tags.TestCase
