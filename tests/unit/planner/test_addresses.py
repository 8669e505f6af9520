# SPDX-License-Identifier: Apache-2.0
"""Addresses are unique, inside their subnet, and the lowest that is free."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.errors import TerminalError
from anyvisor.model.network import Subnet
from anyvisor.planner.addresses import AddressPool, address, addresses_of, eui64

WEB = Subnet(cidr="10.1.0.0/29", gateway="10.1.0.1", dhcp=True)
WEB6 = Subnet(cidr="fd00:1::/64")
MAC = "52:54:00:00:00:01"


def test_the_lowest_address_that_nobody_has_is_given():
    assert address(WEB, ["10.1.0.2"], ["10.1.0.3"]) == "10.1.0.4"


def test_a_full_subnet_says_so():
    pool = AddressPool(WEB)

    assert [pool.take() for _ in range(5)] == [f"10.1.0.{n}" for n in range(2, 7)]
    with pytest.raises(TerminalError, match=r"10\.1\.0\.0/29 is full"):
        pool.take()


def test_an_address_given_back_is_the_next_to_be_given():
    pool = AddressPool(WEB)
    for _ in range(5):
        pool.take()

    pool.give_back("10.1.0.3")

    assert pool.take() == "10.1.0.3"


def test_reserving_twice_is_noticed():
    pool = AddressPool(WEB)

    assert pool.reserve("10.1.0.5")
    assert not pool.reserve("10.1.0.5")
    assert not pool.reserve("10.1.0.1"), "the gateway has it"


def test_the_interface_identifier_is_that_of_rfc_4291():
    assert eui64("fd00:1::/64", MAC) == "fd00:1::5054:ff:fe00:1"


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("10.0.0.0/31", "10.0.0.0"),
        ("10.0.0.7/32", "10.0.0.7"),
        ("fd00::/127", "fd00::"),
        ("fd00::/120", "fd00::1"),
    ],
)
def test_small_prefixes_are_used_as_their_rfcs_say(cidr, expected):
    assert AddressPool(Subnet(cidr=cidr)).take() == expected


def test_a_port_gets_an_address_in_every_subnet_in_which_it_has_none():
    pools = {subnet.cidr: AddressPool(subnet) for subnet in (WEB, WEB6)}

    assert addresses_of(["10.1.0.6"], (WEB6, WEB), MAC, pools) == ("10.1.0.6", "fd00:1::5054:ff:fe00:1")
    assert addresses_of([], (WEB,), MAC, pools) == ("10.1.0.2",)


def test_a_computed_address_that_somebody_has_is_not_given_twice():
    pool = AddressPool(WEB6, ["fd00:1::5054:ff:fe00:1"])

    assert pool.take_for(MAC) == "fd00:1::1"


@given(st.lists(st.one_of(st.none(), st.integers(0, 70)), max_size=120))
def test_no_address_is_given_twice_and_always_the_lowest_free(actions):
    subnet = Subnet(cidr="10.9.0.0/26", gateway="10.9.0.1")
    free = {str(a) for a in ip_network(subnet.cidr).hosts()} - {subnet.gateway}
    pool = AddressPool(subnet)

    for action in actions:
        if action is not None:
            given_back = str(ip_address("10.9.0.0") + action)
            if given_back != subnet.gateway and action <= 62 and action > 0:
                pool.give_back(given_back)
                free.add(given_back)
            continue
        if not free:
            with pytest.raises(TerminalError):
                pool.take()
            continue
        lowest = min(free, key=ip_address)
        assert pool.take() == lowest
        free.remove(lowest)
