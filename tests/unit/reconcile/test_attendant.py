# SPDX-License-Identifier: Apache-2.0
"""How often an attendant reads counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.reconcile.attendant import MEASURE_SECONDS, RESYNC_SECONDS, measure_again


def test_counters_that_are_read_at_once_are_read_every_two_seconds():
    assert measure_again(0.0) == MEASURE_SECONDS == 2.0


@given(st.floats(min_value=0, max_value=1000))
def test_reading_counters_takes_a_fifth_of_the_managers_time_while_that_is_possible_within_a_minute(took):
    again = measure_again(took)

    assert MEASURE_SECONDS <= again <= RESYNC_SECONDS
    assert again == RESYNC_SECONDS or took <= 0.2001 * again
