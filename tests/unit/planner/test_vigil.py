# SPDX-License-Identifier: Apache-2.0
"""Two witnesses, hysteresis and a budget: nothing is moved for what one of them says, nor for many at once."""

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.estate import Health
from anyvisor.model.policy import FailoverPolicy
from anyvisor.model.state import Duty
from anyvisor.planner.vigil import (
    Finding,
    Seat,
    Sight,
    Watch,
    duties_of,
    judged,
    judged_card,
    seat_of,
    within_budget,
)

POLICY = FailoverPolicy(silence_seconds=1.0, return_seconds=10.0, budget=2)


class Story:
    """One appliance over time; its signs of life come until `mute`."""

    def __init__(self, policy=POLICY, health=Health.RUNNING):
        self.policy, self.health = policy, health
        self.now, self.heard, self.beats = 100.0, None, True
        self.finding = Finding(watch=Watch(listening=self.now))

    def goes_on(self, seconds):
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            if self.beats:
                self.heard = self.now
            sight = Sight(health=self.health, heard=self.heard)
            self.finding = judged(self.finding.watch, sight, self.policy, self.now)
        return self

    @property
    def out(self):
        return self.finding.watch.out


def alive():
    return Story().goes_on(20)


def test_one_that_simply_serves_has_nothing_said_of_it():
    story = alive()

    assert (story.out, story.finding.reason) == (False, "")


def test_one_that_is_off_and_silent_is_dead_as_soon_as_its_silence_is_long_enough():
    story = alive()
    story.health, story.beats = Health.OFF, False

    assert not story.goes_on(0.8).out
    assert story.goes_on(0.4).out
    assert story.finding.reason == "Dead"


def test_one_that_was_switched_on_again_before_anybody_noticed_is_dead_until_it_gives_signs_of_life():
    story = alive()
    story.health, story.beats = Health.OFF, False
    story.goes_on(0.3)
    story.health = Health.RUNNING

    assert story.goes_on(1.0).out
    assert "switched on again" in story.finding.message


def test_silence_alone_moves_nothing_and_is_said():
    story = alive()
    story.beats = False

    assert story.goes_on(60).finding.reason == "Doubted"
    assert not story.out


def test_what_the_manager_says_alone_moves_nothing_and_is_said():
    story = alive()
    story.health = Health.LOST

    assert story.goes_on(60).finding.reason == "Doubted"
    assert not story.out


def test_a_manager_that_does_not_answer_moves_nothing():
    story = alive()
    story.health, story.beats = None, False

    assert not story.goes_on(60).out


def test_one_that_comes_back_serves_only_after_a_while_in_which_both_found_it_alive():
    story = alive()
    story.health, story.beats = Health.OFF, False
    story.goes_on(2)
    story.health, story.beats = Health.RUNNING, True

    assert story.goes_on(5).out
    assert story.finding.reason == "Returning"
    story.beats = False
    story.goes_on(6)
    story.beats = True
    assert story.goes_on(9).out, "the time begins anew after each lapse"
    assert not story.goes_on(2).out
    assert story.finding.reason == ""


def test_a_daemon_that_has_just_begun_waits_as_long_as_any_other():
    story = Story(health=Health.OFF)
    story.beats = False

    assert not story.goes_on(0.8).out
    assert story.goes_on(0.4).out


@given(
    st.lists(
        st.tuples(st.sampled_from([None, *Health]), st.booleans(), st.floats(0.1, 30.0)),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_happens_nobody_goes_out_without_both_witnesses_nor_comes_back_before_his_time(events):
    story = Story(health=Health.RUNNING)
    off_said, last_lapse = False, story.now
    for health, beats, seconds in events:
        story.health, story.beats = health, beats
        for _ in range(max(1, round(seconds / 0.5))):
            was_out, heard = story.out, story.heard
            story.goes_on(0.5)
            off_said |= health in {Health.OFF, Health.LOST}
            if story.out and not was_out:
                assert off_said
                assert story.now - max(heard or 100.0, 100.0) >= POLICY.silence_seconds - 0.01
            if was_out and not story.out:
                assert health is Health.RUNNING
                assert story.now - last_lapse >= POLICY.return_seconds - 0.61
            if health is not Health.RUNNING or story.heard is None:
                last_lapse = story.now


def found(host, *, out):
    return Seat(host, 1), Finding(watch=Watch(listening=0.0, out=out), reason="Dead" if out else "")


def before(*hosts, out=()):
    return {Seat(host, 1): Watch(listening=0.0, out=host in out) for host in hosts}


def test_more_hosts_at_once_than_the_budget_allows_are_only_reported():
    names = [f"esx{number}" for number in range(5)]
    kept = within_budget(before(*names), dict(found(name, out=True) for name in names), POLICY)

    assert [seat.host for seat, finding in kept.items() if finding.watch.out] == ["esx0", "esx1"]
    assert {finding.reason for finding in kept.values()} == {"Dead", "OverBudget"}


def test_hosts_that_were_acted_on_stay_so_and_count():
    kept = within_budget(
        before("esx0", "esx1", "esx2", out={"esx2"}),
        dict(found(name, out=True) for name in ("esx0", "esx1", "esx2")),
        POLICY,
    )

    assert {seat.host for seat, finding in kept.items() if finding.watch.out} == {"esx0", "esx2"}


def test_a_policy_that_only_alarms_takes_nobody_out():
    policy = FailoverPolicy(act=False)
    kept = within_budget(before("esx0"), dict([found("esx0", out=True)]), policy)

    assert [(finding.watch.out, finding.reason) for finding in kept.values()] == [(False, "AlarmOnly")]


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)), st.integers(0, 12))
def test_the_budget_is_never_exceeded_by_new_ones(already, dead, budget):
    names = [f"h{number}" for number in range(10)]
    watches = before(*names, out={f"h{number}" for number in already})
    findings = dict(found(f"h{number}", out=number in dead | already) for number in range(10))
    kept = within_budget(watches, findings, FailoverPolicy(budget=budget))

    out = {seat.host for seat, finding in kept.items() if finding.watch.out}
    assert {f"h{number}" for number in already} <= out
    assert len(out) <= max(budget, len(already))


def test_what_is_said_is_news_once_and_keeps_its_time():
    findings = dict([found("esx0", out=True)])
    news = duties_of(findings, {"esx0": {}}, 1000)

    assert news["esx0"][1].since == 1000
    assert duties_of(findings, news, 2000) == {}
    assert duties_of(dict([found("esx0", out=False)]), news, 3000) == {"esx0": {}}


def test_a_reason_that_changes_keeps_the_time_at_which_it_went_out():
    known = {"esx0": {1: Duty(out=True, since=1000, reason="Dead")}}
    returning = Finding(watch=Watch(listening=0.0, out=True), reason="Returning")

    assert duties_of({Seat("esx0", 1): returning}, known, 2000)["esx0"][1].since == 1000


def test_only_what_names_a_host_and_a_number_is_a_seat():
    assert seat_of("esx1/2") == Seat("esx1", 2)
    assert seat_of("esx1") is None
    assert seat_of("esx1/x") is None


# --- cards ------------------------------------------------------------------------------------------------------------


def card_at(now, *, heard, listening=100.0):
    return judged_card(Watch(listening=listening), heard, POLICY, now)


def test_a_card_that_gives_signs_of_life_has_nothing_said_of_it():
    assert card_at(200.0, heard=199.5).reason == ""


def test_a_card_is_silent_only_after_a_while_and_nothing_is_moved():
    assert card_at(204.9, heard=200.0).reason == ""

    silent = card_at(205.1, heard=200.0)

    assert (silent.reason, silent.watch.out) == ("Silent", False)


def test_a_card_is_given_time_after_we_have_begun_to_listen():
    assert card_at(104.0, heard=None).reason == ""
    assert card_at(104.0, heard=20.0).reason == ""
    assert card_at(106.0, heard=None).reason == "Silent"
