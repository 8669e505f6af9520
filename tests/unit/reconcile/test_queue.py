# SPDX-License-Identifier: Apache-2.0
"""Keys wait once each, the earliest deadline counts."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.reconcile.backoff import Backoff
from anyvisor.reconcile.queue import KeyQueue


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_added_twice_is_taken_once():
    queue = KeyQueue(Clock())

    queue.add_all(["a", "a", "b"])

    assert queue.take(0) == ("a", "b")
    assert queue.take(0) == ()


def test_an_earlier_deadline_wins_and_a_later_one_changes_nothing():
    clock = Clock()
    queue = KeyQueue(clock)
    queue.add("a", after=10)
    queue.add("a", after=1)
    queue.add("a", after=5)

    clock.now = 2

    assert queue.take(0) == ("a",)
    clock.now = 20
    assert queue.take(0) == ()


def test_a_key_that_is_not_due_stays():
    clock = Clock()
    queue = KeyQueue(clock)
    queue.add("soon", after=0.01)
    queue.add("late", after=60)

    assert not queue.due()
    assert queue.due(within=0.02)
    clock.now = 1
    assert queue.take(0) == ("soon",)
    assert len(queue) == 1


def test_closing_wakes_the_consumer():
    queue = KeyQueue()
    taken = []
    consumer = threading.Thread(target=lambda: taken.append(queue.take(60)))
    consumer.start()

    queue.close()
    consumer.join(10)

    assert taken == [()]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=30))
def test_every_key_comes_out_exactly_once_and_never_early(added):
    clock = Clock()
    queue = KeyQueue(clock)
    for key, after in added:
        queue.add(key, after=after)
    expected = {key: min(after for other, after in added if other == key) for key, _ in added}

    seen = {}
    for now in range(10):
        clock.now = float(now)
        for key in queue.take(0):
            assert key not in seen
            seen[key] = now

    assert seen == expected


def test_delays_double_up_to_the_ceiling_and_start_again_after_success():
    backoff = Backoff(first=1, ceiling=5)

    assert [backoff.after_failure("a") for _ in range(4)] == [1, 2, 4, 5]
    assert backoff.after_failure("b") == 1
    backoff.forget("a")
    assert backoff.after_failure("a") == 1
