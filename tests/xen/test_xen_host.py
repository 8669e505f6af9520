# SPDX-License-Identifier: Apache-2.0
"""A real Xen host under one OVN with a KVM host: its switch stays, then is replaced while its guests run.

The tests are one story and run in their order.
"""

import sys
import time

import pytest

pytestmark = [pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(1800)]
FORBIDDEN = 81
"""Guests listen there, and no rule of their group lets anybody in."""


def tell(capsys, text):
    with capsys.disabled():
        sys.stdout.write(f"\n    {text}")


def test_one_command_installs_the_agent_in_dom0(xen):
    assert "write /etc/xen/scripts/vif-anyvisor (mode 755)" in xen.installed
    assert "apt-get" not in xen.installed, "Open vSwitch and ovn-controller are there"
    assert 'hypervisor = "xl"' in xen.machine.do("cat", "/etc/anyvisor/anyvisor.toml")


def test_guests_behind_the_native_switch_get_what_was_decided(xen):
    xen.apply("separation")
    xen.create("g1")
    xen.create("g2", xen.guests["g1"][1])

    leases = {name: xen.await_lease(name)["ip"] for name in xen.guests}

    assert leases == {name: address for name, (_, address) in xen.guests.items()}
    xen.eventually("both are attached", lambda: xen.host()["attached"] == xen.host()["vnics"] == 2)


def test_what_the_native_switch_leaves_open_is_what_was_said(xen):
    address = xen.guests["g1"][1]
    xen.eventually("a VM of the KVM host reaches a guest", lambda: xen.connects("web1", address, 80))

    assert xen.pings("web1", address)
    assert xen.connects("web1", address, FORBIDDEN), "nothing filters what the native switch delivers"
    assert "not enforced" in xen.anyvisor("explain", "g1")
    xen.eventually("the guests have pinged each other", lambda: xen.said("g2", "ping"))
    pairs = {frozenset((pair["from"], pair["to"])) for pair in xen.view()["escapes"]}
    assert pairs == {frozenset(("g1", "g2"))}


def test_the_bridge_becomes_open_vswitch_while_the_guests_run(xen, capsys):
    with xen.streaming("web1", "g1") as measured:
        time.sleep(2)
        said = xen.apply("substitution", wait=300)
        time.sleep(5)

    (found,) = measured.outages
    tell(capsys, f"substitution under load: {found}")
    assert found.duplicates == 0
    assert found.longest_gap_ms < 60_000
    assert "2 vNICs moved while their VMs ran" in said
    assert "ovn-installed" in xen.marks(f"vif{xen.domain('g1')}.0")
    assert xen.host()["scheme"] == "substitution"
    assert xen.host()["attached"] == 2


def test_the_security_group_holds_in_dom0_and_nothing_escapes(xen):
    for name in xen.guests:
        address = xen.guests[name][1]
        xen.eventually(f"{name} is reached", lambda address=address: xen.connects("web1", address, 80))
        assert xen.pings("web1", address)
        assert not xen.connects("web1", address, FORBIDDEN)
    assert xen.view()["escapes"] == []
    assert xen.host()["controlled"] > 0


def test_without_its_agent_packets_pass_and_a_new_guest_waits_for_it(xen):
    xen.kill_agent()
    address = xen.guests["g1"][1]
    assert xen.connects("web1", address, 80)
    assert not xen.connects("web1", address, FORBIDDEN)
    xen.machine.do("xl", "destroy", "g2")
    xen.create("g2", address)
    xen.eventually("it asks for an address", lambda: xen.said("g2", "booted"), seconds=120)
    time.sleep(5)
    assert xen.said("g2", "lease") == [], "a vif that nobody plugged is in no switch"

    xen.start_agent()

    assert xen.await_lease("g2")["ip"] == xen.guests["g2"][1]
    assert "iface-id=g2" in xen.marks(f"vif{xen.domain('g2')}.0")
    xen.eventually("the guests have pinged each other", lambda: xen.said("g2", "ping"))
    (ping,) = xen.said("g2", "ping")[-1:]
    assert ping["received"] == ping["sent"]
