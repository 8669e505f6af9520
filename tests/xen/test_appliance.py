# SPDX-License-Identifier: Apache-2.0
"""A real Xen host whose dom0 keeps its bridge: an appliance domain switches, and each guest is alone on a VLAN.

The tests are one story and run in their order, before dom0's own switch is replaced (test_xen_host.py).
"""

import json
import time

import pytest

from anyvisor.planner.inner import inner_place

pytestmark = [pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(1800)]
FORBIDDEN = 81


def tags_of(xen):
    return {port: a.vlan for port, a in xen.state().attachments.items() if a.host == "xen1"}


def test_with_an_appliance_domain_the_host_is_under_the_scheme(xen):
    xen.begin("appliance")
    xen.create_appliance()

    said = xen.apply("appliance", wait=300)

    assert xen.host()["scheme"] == "appliance", said
    xen.eventually(
        "dom0 has its say", lambda: xen.conditions().get("InnerSwitch") == "InnerSwitch=true Parted"
    )
    assert xen.conditions()["ChassisReady"] == "ChassisReady=true Configured"


def test_guests_get_what_was_decided_through_the_appliance_and_its_rules_hold(xen):
    xen.create("g1")
    xen.create("g2", xen.guests["g1"][1], talk=xen.guests["g1"][1])

    leases = {name: xen.await_lease(name)["ip"] for name in xen.guests}

    assert leases == {name: address for name, (_, address) in xen.guests.items()}
    for name in xen.guests:
        address = xen.guests[name][1]
        xen.eventually(f"{name} is reached", lambda address=address: xen.connects("web1", address, 80))
        assert xen.pings("web1", address)
        assert not xen.connects("web1", address, FORBIDDEN)
    assert xen.view()["escapes"] == []
    xen.eventually("both are attached", lambda: xen.host()["attached"] == xen.host()["vnics"] == 2)


def test_each_guest_is_alone_on_its_vlan_of_a_bridge_without_uplink(xen):
    state = xen.state()
    bridge = inner_place(state.site.hosts["xen1"], state.owner).switch
    vifs = {name: f"vif{xen.domain(name)}.0" for name in xen.guests}

    listed = json.loads(xen.machine.do("bridge", "-j", "vlan", "show"))
    vlans = {port["ifname"]: {vlan["vlan"] for vlan in port["vlans"]} for port in listed}
    links = json.loads(xen.machine.do("ip", "-j", "link", "show", "master", bridge))

    assert {link["ifname"] for link in links} == {*vifs.values(), xen.trunk}
    tags = tags_of(xen)
    assert {name: vlans[vif] for name, vif in vifs.items()} == {name: {tags[name]} for name in vifs}
    assert vlans[xen.trunk] == set(tags.values())
    assert len(set(tags.values())) == 2


def test_no_frame_goes_from_guest_to_guest_but_through_the_appliance(xen):
    vifs = {address: f"vif{xen.domain(name)}.0" for name, (_, address) in xen.guests.items()}
    tags = {address: tags_of(xen)[name] for name, (_, address) in xen.guests.items()}
    first, second = (address for _, address in xen.guests.values())
    xen.eventually("the guests talk", lambda: xen.said("g2", "ping"), seconds=120)

    found = xen.machine.echoes(15)

    between = {echo: seen for echo, seen in found.items() if {echo[0], echo[1]} == {first, second}}
    arrived = 0
    for (source, target, *_), seen in between.items():
        outs = [s for s in seen if s[0] == vifs[target] and s[1]]
        arrived += len(outs)
        into = seen.count((xen.trunk, True, (tags[source],)))
        out = seen.count((xen.trunk, False, (tags[target],)))
        assert len(outs) <= 1, f"twice: {seen}"
        assert not outs or (into == 1 and out == 1), f"past the appliance: {seen}"
        known = {vifs[source], vifs[target], xen.trunk}
        strangers = {device for device, *_ in seen} - known - {inner_bridge(xen)}
        assert not strangers, f"elsewhere: {seen}"
    assert arrived >= 20, f"too few to show anything: {between}"


def test_a_vif_that_is_put_into_a_bridge_of_dom0_is_taken_out_and_let_in_again(xen):
    """As a hotplug script does, or an operator: without the agent's mark."""
    vif, address = f"vif{xen.domain('g1')}.0", xen.guests["g1"][1]
    xen.machine.do("ip", "link", "add", "stray", "type", "bridge")
    xen.machine.do("ip", "link", "set", vif, "alias", "")
    xen.machine.do("ip", "link", "set", vif, "master", "stray")

    def master():
        (link,) = json.loads(xen.machine.do("ip", "-j", "link", "show", vif))
        return link.get("master")

    xen.eventually("it is on the inner switch", lambda: master() == inner_bridge(xen))
    xen.eventually("it is reached", lambda: xen.connects("web1", address, 80))
    assert not xen.connects("web1", address, FORBIDDEN)
    xen.machine.do("ip", "link", "delete", "stray")


def inner_bridge(xen):
    state = xen.state()
    return inner_place(state.site.hosts["xen1"], state.owner).switch


def test_without_the_appliance_nothing_passes_and_it_is_said(xen):
    address = xen.guests["g1"][1]
    xen.machine.do("xl", "destroy", "appliance")

    assert not xen.connects("web1", address, 80)
    found = xen.machine.echoes(5)
    vifs = {f"vif{xen.domain(name)}.0" for name in xen.guests}
    passed = [
        echo
        for echo, seen in found.items()
        if any(device in vifs and outgoing for device, outgoing, _ in seen)
    ]
    assert passed == [], "the guests are apart, with nobody between them"
    xen.eventually("it is said", lambda: "Silent" in xen.conditions().get("Appliance", ""))
    xen.eventually("dom0 misses it", lambda: "trunk" in xen.conditions().get("InnerSwitch", ""))


def test_an_appliance_that_is_started_again_serves_again(xen):
    xen.create_appliance()
    address = xen.guests["g1"][1]

    xen.eventually("a guest is reached again", lambda: xen.connects("web1", address, 80), seconds=300)

    assert not xen.connects("web1", address, FORBIDDEN)
    # Packets pass before its agent is up: what was attached is in its Open vSwitch, and needs nobody.
    xen.eventually("nothing is said any more", lambda: "Appliance" not in xen.conditions(), seconds=300)


def test_a_tag_rests_once_its_guest_was_seen_to_leave(xen):
    before = tags_of(xen)
    xen.apply("appliance", guests={"g1": xen.guests["g1"]})

    def resting():
        held = {
            tag.holder: tag.released
            for tag in xen.state().tags.values()
            if tag.scope.startswith("switch/xen1")
        }
        return held["g2"] > 0 and held["g1"] == 0

    xen.eventually("g2's tag rests, g1's is held", resting)
    assert tags_of(xen) == {"g1": before["g1"]}
    vifs = json.loads(xen.machine.do("ip", "-j", "link", "show", "master", inner_bridge(xen)))
    assert f"vif{xen.domain('g2')}.0" not in {link["ifname"] for link in vifs}


def test_what_the_appliance_was_for_is_undone_with_it(xen):
    for name in (*xen.guests, "appliance"):
        xen.machine.do("xl", "destroy", name)
    xen.apply("separation")

    xen.eventually("dom0's bridge serves", lambda: xen.host()["scheme"] == "separation", seconds=60)
    time.sleep(3)
    assert inner_bridge(xen) not in xen.machine.do("ip", "-br", "link")
