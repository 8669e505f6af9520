# SPDX-License-Identifier: Apache-2.0
"""Which device belongs to which vNIC, told by MAC."""

import pytest

from anyvisor.drivers.listed.matching import match_devices
from anyvisor.model.names import Mac
from anyvisor.netlink.links import Link

GUEST = Mac("52:54:00:00:00:01")
TAP = Mac("fe:54:00:00:00:01")


def link(name, mac, kind="tun"):
    return Link(index=1, name=name, mac=mac, kind=kind)


def test_libvirts_end_of_a_guests_device_is_found():
    assert match_devices([link("vnet0", TAP)], [GUEST], {}) == {GUEST: "vnet0"}


def test_a_device_with_the_very_same_mac_is_found():
    assert match_devices([link("vnet0", GUEST)], [GUEST], {}) == {GUEST: "vnet0"}


def test_libvirts_end_is_preferred_to_the_same_mac():
    assert match_devices([link("a", GUEST), link("b", TAP)], [GUEST], {}) == {GUEST: "b"}


def test_what_open_vswitch_knows_is_preferred_to_both():
    links = [link("a", GUEST), link("b", TAP), link("c", Mac("02:00:00:00:00:09"))]

    assert match_devices(links, [GUEST], {GUEST: "c"}) == {GUEST: "c"}


def test_what_open_vswitch_knows_but_the_kernel_does_not_is_gone():
    assert match_devices([], [GUEST], {GUEST: "c"}) == {}


@pytest.mark.parametrize("kind", ["", "bridge", "vlan", "bond"])
def test_a_card_or_a_bridge_is_no_vnic(kind):
    assert match_devices([link("eth0", GUEST, kind)], [GUEST], {}) == {}


def test_a_device_that_fits_two_vnics_belongs_to_neither():
    other = Mac("02" + GUEST[2:])

    assert match_devices([link("vnet0", TAP)], [GUEST, other], {}) == {}


def test_a_mac_that_nobody_wants_is_ignored():
    assert match_devices([link("vnet0", TAP)], [Mac("52:54:00:00:00:02")], {}) == {}
