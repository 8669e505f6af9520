# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.lab.crash import Crash, CrashWatch, crashes_in
from anyvisor.lab.place import Place

DIED = (
    "2026-11-26T01:05:02.433Z|00001|daemon_unix(monitor)|ERR|1 crashes: pid 22211 died, killed (Aborted), "
    "core dumped, restarting\n"
)
OTHER = "2026-11-26T01:05:02.440Z|00002|ovs_numa|INFO|Discovered 2 CPU cores on NUMA node 0\n"
STOPPED = "2026-11-26T01:05:02.433Z|00003|daemon_unix(monitor)|INFO|pid 22211 died, exit status 0, exiting\n"


@pytest.fixture
def place(tmp_path):
    return Place(name="paper", root=tmp_path)


@pytest.fixture
def log(place):
    def write(part, daemon, text):
        path = place.part(part) / f"{daemon}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    return write


def test_a_monitor_that_starts_its_daemon_again_is_heard_once(place, log):
    log("kvm2", "ovs-vswitchd", OTHER)
    watch = CrashWatch(place)
    assert watch.new() == ()

    log("kvm2", "ovs-vswitchd", DIED + OTHER)

    (crash,) = watch.new()
    assert crash == Crash("kvm2", "ovs-vswitchd", "killed (Aborted), core dumped")
    assert str(crash) == "ovs-vswitchd of kvm2 died (killed (Aborted), core dumped)"
    assert watch.new() == ()


def test_a_crash_soon_after_another_is_heard_while_the_monitor_waits_and_counted_once(place, log):
    watch = CrashWatch(place)
    log(
        "kvm2",
        "ovs-vswitchd",
        DIED.replace("|ERR|", "|WARN|").replace("restarting", "waiting until 10 seconds since last restart"),
    )
    assert len(watch.new()) == 1

    log("kvm2", "ovs-vswitchd", DIED)
    log("kvm2", "ovs-vswitchd", DIED.replace("22211", "22212"))

    assert len(watch.new()) == 1


def test_what_happened_before_is_not_heard(place, log):
    log("kvm2", "ovs-vswitchd", DIED)

    assert CrashWatch(place).new() == ()


def test_a_line_is_heard_when_it_is_whole_and_a_part_that_came_later_too(place, log):
    watch = CrashWatch(place)
    log("kvm3", "ovn-controller", DIED[:60])
    assert watch.new() == ()
    log("kvm3", "ovn-controller", DIED[60:])

    assert [crash.part for crash in watch.new()] == ["kvm3"]


def test_logs_of_other_programs_are_not_read(place, log):
    watch = CrashWatch(place)
    log("kvm3", "agent", DIED)

    assert watch.new() == ()


@pytest.mark.parametrize("text", ["", OTHER, STOPPED])
def test_an_orderly_end_is_no_crash(text):
    assert crashes_in(text) == {}
