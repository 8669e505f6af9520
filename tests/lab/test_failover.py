# SPDX-License-Identifier: Apache-2.0
"""Hosts with two appliances: who dies is stood in for, or is not, as each network says; with real packets."""

import os
import sys
import time

import pytest

from anyvisor.lab import down, report, session, topology_file, up
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.kinds import AttachmentKind

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

STANDBY_MS, OPEN_MS = 5_000, 10_000
"""What the policies promise."""


def wrong(found):
    return [report.in_words(failure) for failure in found.failures]


def eventually(what, true, seconds=60):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


class Fleet:
    """The lab with a daemon at work in it."""

    def __init__(self, place, product):
        self.place, self.product = place, product
        self.vcenter = centre.control(place)

    def state(self):
        return session.state_of(self.place)

    def attachments(self, host="esx1"):
        return {a.port: a for a in self.state().attachments.values() if a.host == host}

    def vm_of(self, number):
        owner = self.state().owner[:8]
        return f"av-{owner}-esx1" + (f"-{number}" if number > 1 else "")

    def dies(self, *numbers):
        """They stay dead until `may_boot`: a real one takes longer to boot than the lab's."""
        self.vcenter.inject(Fault(method="PowerOnVM_Task", fault="InvalidState", count=-1))
        for number in numbers:
            self.vcenter.vm(self.vm_of(number), power="dies")

    def may_boot(self):
        self.vcenter.clear_faults()

    def out(self):
        return self.state().hosts["esx1"].out

    def is_whole(self):
        state = self.state()
        here = [a.port for a in state.attachments.values()]
        ready = all(any(c.true for c in state.conditions.get(("port", port), ())) for port in here)
        return not state.hosts["esx1"].duties and ready

    def port_served_by(self, number, network):
        return next(
            port
            for port, a in sorted(self.attachments().items())
            if (a.appliance, a.network) == (number, network)
        )


@pytest.fixture(scope="module")
def fleet(product_of, options):
    place = Place(name=f"f{os.getpid()}")
    up.up(place, topology_file.load("appliances"), options(), silent)
    try:
        product = product_of(place)
        with product.serving():
            product.apply()
            yield Fleet(place, product)
    finally:
        down.down(place)


@pytest.fixture(autouse=True)
def whole(fleet):
    """Each test finds every appliance serving, and leaves it so."""
    eventually("every appliance serves", fleet.is_whole, seconds=120)
    yield
    fleet.may_boot()
    eventually("every appliance serves again", fleet.is_whole, seconds=120)


def test_two_appliances_of_a_host_share_its_vnics_and_every_packet_does_what_was_planned(fleet):
    found = session.check(fleet.place, silent)

    assert wrong(found) == []
    assert found.duplicates == {}
    assert {a.appliance for a in fleet.attachments().values()} == {1, 2}


@pytest.mark.parametrize("number", [1, 2])
def test_standby_is_taken_over_in_time_closed_is_cut_off_and_nothing_flaps(fleet, number, capsys):
    other = 3 - number
    standby, kept = fleet.port_served_by(number, "web"), fleet.port_served_by(other, "web")
    closed = fleet.port_served_by(number, "db")
    flows = [
        session.flow(fleet.place, "kweb", standby),
        session.flow(fleet.place, "kweb", kept),
        session.flow(fleet.place, "kdb", closed),
    ]

    with session.measuring(fleet.place, *flows) as measured:
        time.sleep(1)
        fleet.dies(number)
        eventually("it is known to be dead", lambda: fleet.out() == {number})
        time.sleep(4)
        served = {a.appliance for a in fleet.attachments().values() if a.network == "web"}
        in_time = fleet.out() == {number}

    with capsys.disabled():
        for found in measured.outages:
            sys.stdout.write(f"\n    appliance {number} dead: {found}")
    moved, stayed, cut = measured.outages
    assert moved.longest_gap_ms < STANDBY_MS, str(moved)
    assert stayed.longest_gap_ms < 1_000, str(stayed)
    assert cut.longest_gap_ms > 3_000, str(cut)
    assert {found.duplicates for found in measured.outages} == {0}
    assert (served, in_time) == ({other}, True)
    assert fleet.product.view()["escapes"] == []


def test_open_falls_to_the_native_switch_when_nobody_is_left_and_its_escapes_are_named(fleet, capsys):
    flows = [session.flow(fleet.place, "klan", "lan2"), session.flow(fleet.place, "kweb", "web1")]

    with session.measuring(fleet.place, *flows) as measured:
        time.sleep(1)
        fleet.dies(1, 2)
        eventually("both are known to be dead", lambda: fleet.out() == {1, 2})
        eventually(
            "lan is on the native switch",
            lambda: all(
                a.kind is AttachmentKind.EXTERNAL for a in fleet.attachments().values() if a.network == "lan"
            ),
        )
        time.sleep(5)
        view, told = fleet.product.view(), fleet.product.run("explain", "lan1")

    with capsys.disabled():
        for found in measured.outages:
            sys.stdout.write(f"\n    both dead: {found}")
    opened, closed = measured.outages
    assert opened.longest_gap_ms < OPEN_MS, str(opened)
    assert opened.duplicates == 0
    assert closed.longest_gap_ms > 3_000, str(closed)
    assert {frozenset((pair["from"], pair["to"])) for pair in view["escapes"]} == {
        frozenset(("lan1", "lan2"))
    }
    assert "not enforced" in told
    conditions = next(host["conditions"] for host in view["hosts"] if host["host"] == "esx1")
    assert any("Appliance" in condition for condition in conditions)


def test_once_all_is_over_every_packet_obeys_again_and_nothing_escapes(fleet):
    found = session.check(fleet.place, silent)

    assert wrong(found) == []
    assert found.duplicates == {}
    assert fleet.product.view()["escapes"] == []
    assert {a.kind for a in fleet.attachments().values()} == {AttachmentKind.VLAN_ACCESS}
