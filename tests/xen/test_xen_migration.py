# SPDX-License-Identifier: Apache-2.0
"""A guest moves between two real Xen hosts with `xl migrate`, and the agents' words are all that anyvisord has.

The tests are one story and run in their order, after dom0's switch was replaced (test_xen_host.py).
"""

import json
import subprocess
import sys
import threading
import time

import pytest

pytestmark = [pytest.mark.xen, pytest.mark.slow, pytest.mark.timeout(1800)]
FORBIDDEN = 81
PORT = "7777"
MIGRATE_SECONDS = 900
"""160 MiB of memory through emulated cards take about two minutes on an idle machine."""


class Migration(threading.Thread):
    """`xl migrate` under way, through a bare TCP connection instead of ssh."""

    def __init__(self, guest, source, target):
        super().__init__(daemon=True)
        self.guest, self.source, self.target = guest, source, target
        self.answer = None
        listen = ["busybox", "nc", "-l", "-p", PORT, "-e", "/usr/sbin/xl", "migrate-receive"]
        target.order(*listen, detached="/var/log/receive.log")
        time.sleep(2)

    def run(self):
        way = f"busybox nc {self.target.ip} {PORT}"
        self.answer = self.source.order("xl", "migrate", "-s", "", self.guest, way, seconds=MIGRATE_SECONDS)


def moves(xen):
    return json.loads(xen.anyvisor("explain", "g1", "--json"))["moves"]


def staged(xen):
    return xen.state().attachments["g1"].staged


def requested(xen):
    ask = ["ovn-nbctl", f"--db={xen.place.northbound}", "lsp-get-options", "g1"]
    said = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.split())["requested-chassis"]


def test_the_second_host_joins_and_its_bridge_is_replaced_too(xen, second):
    xen.apply("substitution", wait=300)
    for name in xen.guests:
        if not xen.runs(name):
            xen.create(name)
            xen.await_lease(name)

    xen.eventually("it is ready", lambda: xen.host("xen2")["scheme"] == "substitution", seconds=120)
    assert xen.host("xen2")["attached"] == 0


def test_a_guest_migrates_under_load_and_both_hosts_are_named_meanwhile(xen, second, capsys):
    address = xen.guests["g1"][1]
    migration = Migration("g1", xen.machine, second)
    with xen.streaming("web1", "g1") as measured:
        time.sleep(2)
        migration.start()
        xen.eventually("the target is staged", lambda: staged(xen) == "xen2", seconds=60)
        named = requested(xen)
        migration.join()
        xen.eventually("it is there", lambda: xen.host("xen2")["attached"] == 1, seconds=60)
        time.sleep(3)

    assert migration.answer.status == 0, migration.answer.complained
    assert named == "xen1,xen2"
    xen.eventually("one is left", lambda: requested(xen) == "xen2")
    xen.eventually("it is over", lambda: moves(xen)[0]["finalised_ms"] is not None)
    (move,) = moves(xen)
    (found,) = measured.outages
    with capsys.disabled():
        sys.stdout.write(f"\n    xl migrate under load: {found}\n    kept of it: {json.dumps(move)}\n    ")
    assert (move["from"], move["to"], move["returned_ms"]) == ("xen1", "xen2", None)
    assert move["staged_ms"] < move["arrived_ms"]
    assert move["outage_ms"] == 0, "the port was ready on the new host before its guest ran there"
    assert found.duplicates == 0
    assert xen.connects("web1", address, 80)
    assert not xen.connects("web1", address, FORBIDDEN)


def test_there_it_is_attached_and_nothing_of_it_is_left_behind(xen, second):
    vif = f"vif{xen.domain('g1', second)}.0"
    marks = second.do("ovs-vsctl", "get", "Interface", vif, "external_ids")
    left = xen.machine.do(
        "ovs-vsctl", "--bare", "--columns=name", "find", "Interface", "external_ids:iface-id=g1"
    )

    assert "iface-id=g1" in marks
    assert "ovn-installed" in marks
    assert left.split() == []
    assert xen.host("xen1")["attached"] == 1, "g2 is where it was"
    assert xen.view()["escapes"] == []


def test_a_migration_that_breaks_off_leaves_the_guest_served_where_it_is(xen, second):
    address = xen.guests["g1"][1]
    migration = Migration("g1", second, xen.machine)
    migration.start()
    xen.eventually("the target is staged", lambda: staged(xen) == "xen1", seconds=60)

    second.do("pkill", "-KILL", "-f", "^busybox nc")
    migration.join()

    assert migration.answer.status != 0
    xen.eventually("it is taken back", lambda: staged(xen) is None, seconds=120)
    xen.eventually("one is named", lambda: requested(xen) == "xen2")
    assert moves(xen)[0]["returned_ms"] is not None
    assert xen.connects("web1", address, 80)
    assert not xen.connects("web1", address, FORBIDDEN)
