# SPDX-License-Identifier: Apache-2.0
"""Which drivers a scheme needs on a host, and which of them this release has."""

from dataclasses import replace

import pytest

from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.planner import availability
from anyvisor.planner.facts import traits


def xen(version):
    return Host(name=HostName("xen1"), hypervisor=Hypervisor.XEN, version=version)


@pytest.mark.parametrize("scheme", [Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.SEPARATION])
def test_a_xen_host_under_xl_needs_nothing_that_is_not_there(scheme):
    assert "xl" in availability.needed(xen("4.17"), scheme)
    assert availability.missing(xen("4.17"), scheme) == ()


@pytest.mark.parametrize("scheme", [Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.SEPARATION])
def test_a_xen_host_under_xapi_is_driven_through_its_pool(scheme):
    assert "xapi" in availability.needed(xen("8.3.0"), scheme)
    assert availability.missing(xen("8.3.0"), scheme) == ()


def test_only_where_dom0s_bridges_play_a_part_their_driver_is_needed():
    assert "linuxbridge" not in availability.needed(xen("4.17"), Scheme.BASELINE)
    assert "linuxbridge" not in availability.needed(xen("8.3.0"), Scheme.SEPARATION)


def test_an_appliance_beside_a_linux_bridge_is_there_under_xl():
    assert availability.missing(xen("4.17"), Scheme.APPLIANCE) == ()
    assert "linuxbridge" in availability.needed(xen("4.17"), Scheme.APPLIANCE)


@pytest.mark.parametrize("fact", ["dom0_locked", "driver_domain"])
def test_a_driver_domain_needs_no_switch_of_dom0s(fact):
    locked = replace(xen("4.17"), facts={fact: True})

    assert availability.missing(locked, Scheme.APPLIANCE) == ()
    assert "linuxbridge" not in availability.needed(locked, Scheme.APPLIANCE)


def test_under_xapi_an_appliance_is_planned_only():
    assert "appliance" in availability.missing(xen("8.3.0"), Scheme.APPLIANCE)


def test_a_card_switches_for_any_hypervisor_whose_driver_is_there():
    assert availability.missing(xen("4.17"), Scheme.NIC) == ()
    assert availability.missing(replace(xen("8.0.3"), hypervisor=Hypervisor.ESXI), Scheme.NIC) == ()


def test_an_open_vswitch_in_dom0_is_no_native_switch_under_xl():
    switches = (NativeSwitch(name=SwitchName("xenbr0"), kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),)
    under_xl, under_xapi = (replace(xen(version), switches=switches) for version in ("4.17", "8.3.0"))

    assert traits.native_switch(under_xl) is None
    assert traits.native_switch(under_xapi) == switches[0]


def test_a_scheme_that_is_impossible_anyway_needs_nothing():
    assert availability.needed(xen("4.17"), Scheme.VENDOR) == ()
