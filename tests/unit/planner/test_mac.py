# SPDX-License-Identifier: Apache-2.0
"""A MAC follows from the name."""

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.planner.mac import mac_of


@given(st.text())
def test_a_mac_is_stable_local_unicast_and_never_that_of_libvirts_end(name):
    mac = mac_of(name)
    first = int(mac[:2], 16)

    assert mac == mac_of(name)
    assert len(mac) == 17
    assert first & 0x03 == 0x02
    assert first != 0xFE


def test_a_mac_that_is_taken_is_not_given_to_another_name():
    first = mac_of("vm1")
    second = mac_of("vm1", {first})

    assert second != first
    assert second == mac_of("vm1", {first})


def test_ten_thousand_names_have_ten_thousand_macs():
    assert len({mac_of(f"vm{number}") for number in range(10_000)}) == 10_000
