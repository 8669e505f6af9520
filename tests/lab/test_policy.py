# SPDX-License-Identifier: Apache-2.0
"""The product in the lab: what it plans and reports is what real packets do."""

import os
import signal
import time

import pytest

from anyvisor.lab import host, manifest, prober_client, process, report, session, status
from anyvisor.lab.place import FABRIC
from anyvisor.lab.progress import silent
from anyvisor.testing.namespace import ip

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]
SOON_SECONDS = 60
HOSTS = ("kvm1", "kvm2", "kvm3")


def wrong(found):
    return [report.in_words(failure) for failure in found.failures]


def eventually(true, seconds=SOON_SECONDS):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def kill(place, *daemons):
    for one in manifest.read(place.manifest).processes:
        if one.what in daemons and process.alive(one.pid, one.start):
            os.kill(one.pid, signal.SIGKILL)


def test_with_a_native_switch_every_packet_does_what_was_predicted(separated):
    found = session.check(separated.place, silent)

    assert wrong(found) == []
    assert found.duplicates == {}
    assert any(result.check.expected.escape for result in found.results)


def test_a_switch_that_crashes_during_the_checks_is_named_and_what_failed_is_checked_again(separated):
    def fault(line):
        if line.startswith("addresses:"):
            pid_file = separated.place.part("kvm2") / "run" / "ovs-vswitchd.pid"
            os.kill(int(pid_file.read_text()), signal.SIGABRT)

    found = session.check(separated.place, fault)

    assert {(crash.part, crash.daemon) for crash in found.crashes} == {("kvm2", "ovs-vswitchd")}
    assert wrong(found) == []
    assert all(one["alive"] for one in status.status(separated.place)["processes"])


def test_the_view_names_who_talks_around_the_controller(separated):
    pairs = {frozenset((pair["from"], pair["to"])) for pair in separated.view()["escapes"]}

    assert pairs == {frozenset(("web4", "web5"))}


def test_escaped_bytes_are_counted(separated):
    before = separated.host("kvm3")["bytes"]

    with session.measuring(separated.place, session.flow(separated.place, "web4", "web5", port=53)):
        eventually(lambda: separated.host("kvm3")["bytes"] > before)

    assert separated.host("kvm3")["escaped"] > 0


def test_a_host_is_converted_while_its_machines_run(separated):
    flows = [
        session.flow(separated.place, "web4", "web5"),
        session.flow(separated.place, "web4", "web1"),
        session.flow(separated.place, "db1", "db3"),
    ]

    with session.measuring(separated.place, *flows) as measured:
        separated.apply()

    assert separated.host("kvm3")["scheme"] == "substitution"
    assert separated.view()["escapes"] == []
    for found in measured.outages:
        assert found.longest_gap_ms < 10_000, str(found)
        assert found.duplicates == 0
    assert wrong(session.check(separated.place, silent)) == []


def test_with_every_switch_programmed_every_packet_obeys_the_policy(converted):
    found = session.check(converted.place, silent)

    assert wrong(found) == []
    assert found.duplicates == {}
    assert not any(
        result.check.expected.escape or result.check.expected.unenforced for result in found.results
    )


def test_applying_the_same_again_changes_nothing(converted):
    converted.apply()

    converted.run("plan", "-f", str(converted.place.site()), "--check", status=0)


@pytest.mark.timeout(480)
def test_an_underlay_that_shrinks_behind_the_hosts_back_is_named_and_its_mending_too(converted):
    """The fabric's end of kvm2's cable: no sender can know."""
    place = converted.place

    def all_say(*words):
        told = {host["host"]: " ".join(host["conditions"]) for host in converted.view()["hosts"]}
        return all(word in told[name] for name, word in zip(HOSTS, words, strict=True))

    well = ["Underlay=true Carries: carries 1500 bytes to 2 of 2 chassis"] * 3
    needed = "Underlay=false TooSmall: tunnels need packets of 1500 bytes; "
    too_small = [f"{needed}kvm2 (192.168.77.12) gets 1400. Raise".replace("TooSmall", "TooSmallForSome")] * 3
    too_small[1] = f"{needed}kvm1 (192.168.77.11) gets 1400, kvm3 (192.168.77.13) gets 1400. Raise"

    eventually(lambda: all_say(*well))
    ip("-n", place.namespace(FABRIC), "link", "set", "kvm2-0", "mtu", "1400")
    try:
        eventually(lambda: all_say(*too_small), seconds=180)
    finally:
        ip("-n", place.namespace(FABRIC), "link", "set", "kvm2-0", "mtu", "1700")
    eventually(lambda: all_say(*well), seconds=120)


def test_machines_reach_each_other_with_every_anyvisor_process_dead(converted):
    flows = [session.flow(converted.place, source, "web1") for source in ("web3", "web4")]

    kill(converted.place, host.AGENT, "anyvisor-db")
    with session.measuring(converted.place, *flows) as measured:
        time.sleep(2)

    assert [found.lost for found in measured.outages] == [0, 0]


def test_a_prober_that_died_is_started_again(separated):
    kill(separated.place, prober_client.PROBER)

    assert wrong(session.check(separated.place, silent)) == []
