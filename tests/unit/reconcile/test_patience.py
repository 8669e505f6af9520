# SPDX-License-Identifier: Apache-2.0
"""Waiting for the world, for a bounded time."""

import pytest

from anyvisor.errors import RetryableError, TerminalError, UnreachableError
from anyvisor.reconcile.patience import Patience


class Clock:
    def __init__(self):
        self.now = 100.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def patience(clock):
    return Patience(2, clock=lambda: clock.now, sleep=clock.sleep)


def test_what_holds_is_not_waited_for(patience, clock):
    patience.until(lambda: True, "it did not come")

    assert clock.now == 100.0


def test_what_comes_in_time_is_waited_for(patience, clock):
    patience.until(lambda: clock.now >= 101, "it did not come")

    assert 101 <= clock.now < 101.5


def test_what_does_not_come_is_said_with_the_time_that_was_given(patience, clock):
    with pytest.raises(RetryableError, match=r"^it did not come within 2 s$"):
        patience.until(lambda: False, "it did not come")

    assert 102 <= clock.now < 102.5


def test_who_cannot_answer_now_is_asked_again(patience, clock):
    def holds():
        if clock.now < 101:
            raise UnreachableError("not yet")
        return True

    patience.until(holds, "it did not come")


def test_the_last_reason_why_nobody_answered_is_told(patience):
    def holds():
        raise UnreachableError("nobody is at home")

    with pytest.raises(RetryableError, match=r"it did not come within 2 s: nobody is at home") as caught:
        patience.until(holds, "it did not come")

    assert isinstance(caught.value.__cause__, UnreachableError)


def test_what_waiting_cannot_mend_is_not_waited_for(patience, clock):
    def holds():
        raise TerminalError("never")

    with pytest.raises(TerminalError, match="never"):
        patience.until(holds, "it did not come")

    assert clock.now == 100.0


def test_without_patience_one_question_is_asked(clock):
    asked = []

    with pytest.raises(RetryableError):
        Patience(0, clock=lambda: clock.now, sleep=clock.sleep).until(lambda: asked.append(1), "no")

    assert asked == [1]
