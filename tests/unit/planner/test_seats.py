# SPDX-License-Identifier: Apache-2.0
"""Which appliance serves a vNIC: one at a time, the same as long as it lives, nobody's that is dead if another is left."""

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.kinds import Fallback
from anyvisor.planner.seats import chassis_host, chassis_name, serving

names = st.text("abcdef0123456789", min_size=1, max_size=8)
counts = st.integers(1, 8)


@st.composite
def dead(draw):
    count = draw(counts)
    return range(1, count + 1), draw(st.sets(st.integers(1, count)))


@given(names, names, dead())
def test_under_standby_a_dead_one_serves_nobody_while_another_is_left(port, host, numbers_and_out):
    numbers, out = numbers_and_out
    found = serving(port, host, numbers, out, Fallback.STANDBY)

    assert found in numbers
    assert found not in out or out == set(numbers)


@given(names, names, dead())
def test_under_closed_nothing_ever_moves(port, host, numbers_and_out):
    numbers, out = numbers_and_out

    assert serving(port, host, numbers, out, Fallback.CLOSED) == serving(
        port, host, numbers, (), Fallback.CLOSED
    )


@given(names, names, dead())
def test_under_open_nobody_serves_only_when_all_are_dead(port, host, numbers_and_out):
    numbers, out = numbers_and_out
    found = serving(port, host, numbers, out, Fallback.OPEN)

    assert (found is None) == (out == set(numbers))
    assert found not in out


@given(st.lists(names, unique=True, max_size=30), names, dead())
def test_when_one_dies_no_vnic_of_another_moves(ports, host, numbers_and_out):
    numbers, out = numbers_and_out
    before = {port: serving(port, host, numbers, (), Fallback.STANDBY) for port in ports}
    after = {port: serving(port, host, numbers, out, Fallback.STANDBY) for port in ports}

    assert all(after[port] == before[port] for port in ports if before[port] not in out)


def test_several_share_the_vnics():
    served = {serving(f"vm{number}", "esx1", range(1, 4), (), Fallback.CLOSED) for number in range(60)}

    assert served == {1, 2, 3}


def test_the_first_is_called_as_its_host_and_no_other_can_be():
    assert chassis_name("esx1") == "esx1"
    assert chassis_name("esx1", 2) == "esx1+2"


@given(names, counts)
def test_of_every_chassis_its_host_is_known(host, number):
    assert chassis_host(chassis_name(host, number)) == host
