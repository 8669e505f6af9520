# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.lab.stream import runs, summary


def every_10_ms(count):
    return [number / 100 for number in range(count)]


def answered(count, *, but=()):
    return {number: 1 for number in range(count) if number not in but}


def test_nothing_lost_is_no_gap():
    assert summary(every_10_ms(100), answered(100)) == {
        "sent": 100,
        "lost": 0,
        "duplicates": 0,
        "longest_gap_ms": 0,
    }


def test_the_gap_lies_between_the_answered_requests_around_it():
    found = summary(every_10_ms(100), answered(100, but=range(20, 29)))

    assert found["lost"] == 9
    assert found["longest_gap_ms"] == 100


def test_of_several_gaps_the_longest_counts():
    found = summary(every_10_ms(100), answered(100, but=[3, 50, 51, 52, 80]))

    assert found["lost"] == 5
    assert found["longest_gap_ms"] == 40


@pytest.mark.parametrize("lost", [range(10), range(90, 100)], ids=["begin", "end"])
def test_losses_at_the_edge_count_up_to_it(lost):
    assert 90 <= summary(every_10_ms(100), answered(100, but=lost))["longest_gap_ms"] <= 100


def test_all_lost_is_one_gap():
    assert summary(every_10_ms(100), {})["longest_gap_ms"] == 990


def test_an_answer_that_comes_twice_is_a_duplicate():
    assert summary(every_10_ms(3), {0: 1, 1: 3, 2: 1})["duplicates"] == 2


def test_an_empty_stream_has_a_summary():
    assert summary([], {})["longest_gap_ms"] == 0


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], []), ([4], [(4, 4)]), ([1, 2, 3], [(1, 3)]), ([1, 3, 4, 9], [(1, 1), (3, 4), (9, 9)])],
)
def test_runs_are_unbroken(numbers, expected):
    assert list(runs(numbers)) == expected
