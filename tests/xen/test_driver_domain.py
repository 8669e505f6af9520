# SPDX-License-Identifier: Apache-2.0
"""A real Xen host whose guests are served by a network driver domain: their frames meet no switch of dom0's.

The tests are one story and run in their order, before dom0's own switch is replaced (test_xen_host.py).
"""

import pytest

pytestmark = [pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(1800)]
FORBIDDEN = 81
SERVED = "backend=network"


def test_with_a_driver_domain_the_host_is_under_the_scheme(xen):
    xen.facts = {"driver_domain": True}
    xen.begin("appliance")
    xen.create_driver_domain()

    said = xen.apply("appliance", wait=300)

    assert xen.host()["scheme"] == "appliance", said
    assert xen.conditions()["ChassisReady"] == "ChassisReady=true Configured"
    assert "InnerSwitch" not in xen.conditions(), "there is none"
    console = xen.machine.do("cat", "/var/log/xen/console/guest-network.log")
    assert "write /etc/xen/scripts/vif-anyvisor (mode 755)" in console
    assert "driver_domain=1" in console


def test_guests_get_what_was_decided_from_it_and_its_rules_hold(xen):
    xen.create("g1", served=SERVED)
    xen.create("g2", xen.guests["g1"][1], talk=xen.guests["g1"][1], served=SERVED)

    leases = {name: xen.await_lease(name)["ip"] for name in xen.guests}

    assert leases == {name: address for name, (_, address) in xen.guests.items()}
    for name in xen.guests:
        address = xen.guests[name][1]
        xen.eventually(f"{name} is reached", lambda address=address: xen.connects("web1", address, 80))
        assert xen.pings("web1", address)
        assert xen.pings("web1", address, size=1400), "pages that are not its own are not lost"
        assert not xen.connects("web1", address, FORBIDDEN)
    assert xen.view()["escapes"] == []
    xen.eventually("both are attached", lambda: xen.host()["attached"] == xen.host()["vnics"] == 2)
    kinds = {a.kind.value for a in xen.state().attachments.values() if a.host == "xen1"}
    assert kinds == {"vif"}, "no tag, no patch pair"


def test_no_frame_between_guests_is_heard_in_dom0(xen):
    first, second = (address for _, address in xen.guests.values())
    xen.eventually("the guests talk", lambda: xen.said("g2", "ping"), seconds=120)
    (ping,) = xen.said("g2", "ping")[-1:]

    found = xen.machine.echoes(10)

    assert int(ping["received"]) > 0
    assert f"vif{xen.domain('g1')}." not in xen.machine.do("ip", "-br", "link")
    assert [echo for echo in found if {echo[0], echo[1]} == {first, second}] == []


def test_dead_it_cuts_its_guests_off_and_that_is_said(xen):
    address = xen.guests["g1"][1]
    xen.machine.do("xl", "destroy", "network")

    assert not xen.connects("web1", address, 80)
    xen.eventually("it is said", lambda: "Silent" in xen.conditions().get("Appliance", ""))


def test_started_again_it_serves_guests_that_are_started_again(xen):
    """A guest does not follow its back end: that is Xen's way, and the documentation's word."""
    for name in xen.guests:
        xen.machine.do("xl", "destroy", name)
    xen.create_driver_domain()
    xen.eventually("nothing is said any more", lambda: "Appliance" not in xen.conditions(), seconds=300)
    xen.create("g1", served=SERVED)

    xen.await_lease("g1")

    address = xen.guests["g1"][1]
    # It says its lease before it begins to serve.
    xen.eventually("g1 is reached", lambda: xen.connects("web1", address, 80))
    assert not xen.connects("web1", address, FORBIDDEN)


def test_what_it_was_for_is_undone_with_it(xen):
    for name in ("g1", "network"):
        xen.machine.do("xl", "destroy", name)
    xen.facts = {}
    xen.apply("separation")

    xen.eventually("dom0's bridge serves", lambda: xen.host()["scheme"] == "separation", seconds=60)
