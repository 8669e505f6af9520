# SPDX-License-Identifier: Apache-2.0
"""A lab is built whole, and deleted exactly, whatever happened to it meanwhile."""

import os
import signal
import subprocess
import sys

import pytest

from anyvisor.errors import TerminalError
from anyvisor.lab import down, manifest, namespace, process, status, up
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent

pytestmark = pytest.mark.lab
QUICK = up.Options(agents=False)


def namespaces():
    return {entry.name for entry in namespace.FOLDER.iterdir()} if namespace.FOLDER.exists() else set()


def of(place):
    return {name for name in namespaces() if name.startswith(f"av-{place.name}-")}


def members(place):
    return process.in_namespaces("net", {namespace.inode(name) for name in of(place)})


def running(place):
    return {
        (one.part, one.what)
        for one in manifest.read(place.manifest).processes
        if process.alive(one.pid, one.start)
    }


def test_every_part_runs_in_a_namespace_of_its_own(lab, topology):
    parts = [
        "fabric",
        "central",
        "outside",
        *(h.name for h in topology.hosts),
        *(v.name for v in topology.vms),
    ]

    assert of(lab) == {lab.namespace(part) for part in parts}
    assert status.status(lab)["state"] == "up"
    assert all(one["alive"] for one in status.status(lab)["processes"])
    assert {("kvm1", "ovs-vswitchd"), ("kvm1", "ovn-controller"), ("central", "ovn-northd")} <= running(lab)


def test_the_host_with_linux_bridges_starts_without_open_vswitch(lab):
    assert not {what for part, what in running(lab) if part == "kvm3"} & {"ovs-vswitchd", "ovn-controller"}


@pytest.mark.parametrize("host", ["kvm1", "kvm3"])
def test_hosts_reach_central_over_the_fabric(lab, host):
    asked = ["ovsdb-client", "--timeout=10", "list-dbs", "tcp:192.168.77.1:6642"]
    said = subprocess.run(
        namespace.command(lab.namespace(host), asked), capture_output=True, text=True, check=True
    )

    assert "OVN_Southbound" in said.stdout


def test_a_vnic_is_known_by_the_guests_mac_with_fe_before_it(lab):
    with namespace.entered(lab.namespace("kvm3")):
        said = subprocess.run(
            ["ip", "-brief", "link", "show", "tap-web4"], capture_output=True, text=True, check=True
        )

    assert "fe:54:00:00:01:04" in said.stdout


def test_who_looks_into_a_namespace_does_not_live_there(lab):
    name = lab.namespace("kvm3")
    argv = namespace.command(name, ["sh", "-c", "echo there; exec sleep 60"])
    resident = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        resident.stdout.readline()
        with namespace.entered(name):
            inode = namespace.inode(name)
            inside = process.in_namespaces("net", {inode})
            living = process.residents(inode)
    finally:
        resident.kill()
        resident.communicate()

    assert {os.getpid(), resident.pid} <= inside
    assert living == inside - {os.getpid()}


def test_the_start_script_of_a_host_may_be_run_again(lab):
    before = running(lab)

    subprocess.run(
        namespace.command(lab.namespace("kvm1"), [str(lab.part("kvm1") / "start-openvswitch")]),
        check=True,
        capture_output=True,
    )

    assert running(lab) == before


def test_nothing_is_left_after_down(place, topology):
    before = namespaces()
    up.up(place, topology, QUICK, silent)
    pids = members(place)

    assert down.down(place)

    assert namespaces() == before
    assert not place.folder.exists()
    assert pids
    assert not {pid for pid in pids if process.start_time(pid) is not None}


def test_down_twice_is_fine(place, topology):
    up.up(place, topology, QUICK, silent)

    assert down.down(place)
    assert not down.down(place)


def test_a_lab_that_is_there_is_not_built_again(lab, topology):
    before = running(lab)

    with pytest.raises(TerminalError, match="already"):
        up.up(lab, topology, QUICK, silent)

    assert running(lab) == before


def test_two_labs_with_the_same_addresses_do_not_disturb_each_other(lab, place, topology):
    before = running(lab)

    up.up(place, topology, QUICK, silent)
    down.down(place)

    assert running(lab) == before
    assert status.status(lab)["state"] == "up"


@pytest.mark.parametrize("line", [1, 2, 3, 5])
def test_after_a_kill_in_the_middle_of_building_down_deletes_what_there_is(place, line):
    argv = [sys.executable, "-m", "anyvisor", "lab", "up", "--name", place.name]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL) as builder:
        for _ in range(line):
            assert builder.stderr.readline()
        builder.send_signal(signal.SIGKILL)
    pids = members(place)

    assert status.status(place)["state"] == "broken"
    assert down.down(place)

    assert of(place) == set()
    assert not {pid for pid in pids if process.start_time(pid) is not None}
    assert not place.folder.exists()


def test_down_finds_processes_that_nobody_recorded(place, topology):
    up.up(place, topology, QUICK, silent)
    argv = namespace.command(place.namespace("web1"), ["sleep", "600"])
    with subprocess.Popen(argv) as stray:
        down.down(place)

        assert stray.wait(timeout=10) != 0


def test_dead_daemons_do_not_hinder_down(place, topology):
    up.up(place, topology, QUICK, silent)
    for one in manifest.read(place.manifest).processes:
        os.kill(one.pid, signal.SIGKILL)

    assert down.down(place)
    assert of(place) == set()


def test_what_fails_half_way_is_deleted_again(place, topology, tmp_path):
    before = namespaces()

    with pytest.raises(TerminalError, match="not found in"):
        up.up(place, topology, up.Options(chroot=tmp_path, agents=False), silent)

    assert namespaces() == before
    assert not place.folder.exists()


def test_a_foreign_namespace_of_the_same_name_is_left_alone(place, topology):
    foreign = place.namespace("kvm2")
    namespace.create([foreign])
    try:
        with pytest.raises(TerminalError, match="not this lab's"):
            up.up(place, topology, QUICK, silent)

        assert of(place) == {foreign}
    finally:
        namespace.delete([foreign])


def test_a_folder_that_is_no_lab_is_not_deleted(place):
    place.folder.mkdir(parents=True)
    (place.folder / "precious").write_text("mine")
    try:
        with pytest.raises(TerminalError, match="holds no lab"):
            down.down(place)

        assert (place.folder / "precious").exists()
    finally:
        (place.folder / "precious").unlink()
        place.folder.rmdir()


def test_an_absent_lab_has_a_status():
    assert status.status(Place(name="nosuch"))["state"] == "absent"
