# SPDX-License-Identifier: Apache-2.0
"""Xen's dom0 as the one that knows its VMs, against a xenstored that keeps the real protocol."""

import logging
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from anyvisor.drivers.xl.hypervisor import XlHypervisor
from anyvisor.drivers.xl.xenstore import Xenstore
from anyvisor.errors import UnreachableError
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Vnic
from anyvisor.testing.xenstore import FakeXenstore

XEN1 = HostName("xen1")
SET = 4
"""Each watch tells once when it is set."""
NODES = 4
"""What a vif is written with, each of which is told."""
WEB, DB = Mac("00:16:3e:00:00:11"), Mac("00:16:3e:00:00:12")


@pytest.fixture
def store(tmp_path):
    with FakeXenstore(tmp_path / "socket") as one:
        yield one


@pytest.fixture
def xen(store):
    return XlHypervisor(XEN1, path=str(store.path))


@contextmanager
def told(xen):
    """All that the driver told; begins when what setting the watches tells is over."""
    times = []
    with xen.watch(times.append):
        eventually(lambda: len(times) == SET)
        yield times


def eventually(true, seconds=10):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_the_vifs_of_all_domains_are_its_vnics(store, xen):
    store.introduce(1, "web1")
    store.introduce(12, "db1")
    store.vif(1, 0, "00:16:3E:00:00:11", bridge="xenbr0")
    store.vif(12, 1, DB, vifname="tenant1")

    assert xen.vnics(XEN1) == (
        Vnic(mac=WEB, vm="web1", device="vif1.0"),
        Vnic(mac=DB, vm="db1", device="tenant1"),
    )
    assert xen.vnics(HostName("other")) == ()


def test_what_a_driver_domain_serves_has_no_device_here(store, xen):
    store.introduce(1, "netdom")
    store.introduce(2, "web1")
    store.vif(2, 0, WEB, backend=1)

    assert xen.vnics(XEN1) == (Vnic(mac=WEB, vm="web1", device=None),)


def test_a_vif_has_its_device_when_the_hotplug_script_is_done_with_it(store, xen):
    store.introduce(1, "web1")
    store.vif(1, 0, WEB, **{"hotplug-status": ""})

    assert xen.vnics(XEN1) == (Vnic(mac=WEB, vm="web1", device=None),)

    store.write({"/local/domain/0/backend/vif/1/0/hotplug-status": "connected"})

    assert xen.vnics(XEN1) == (Vnic(mac=WEB, vm="web1", device="vif1.0"),)


def test_a_vif_that_is_being_taken_away_or_has_no_mac_yet_is_none(store, xen):
    store.introduce(1, "web1")
    store.vif(1, 0, WEB, state="5")
    store.vif(1, 1, "")

    assert xen.vnics(XEN1) == ()


def test_a_vif_that_comes_and_goes_is_told(store, xen):
    store.introduce(1, "web1")
    with told(xen) as times:
        store.vif(1, 0, WEB)
        eventually(lambda: len(times) == SET + NODES)
        store.unplug(1, 0)
        eventually(lambda: len(times) == SET + NODES + 1)

    assert xen.vnics(XEN1) == ()
    assert set(times) == {XEN1}


def test_a_domain_that_ends_is_told(store, xen):
    store.introduce(1, "web1")
    with told(xen) as times:
        store.release(1)
        eventually(lambda: len(times) == SET + 1)


def test_a_xenstored_that_is_away_is_not_a_host_without_vms(store, xen):
    store.stop()

    with pytest.raises(UnreachableError, match="xenstored does not answer") as caught:
        xen.vnics(XEN1)

    assert "dom0" in (caught.value.hint or "")
    with pytest.raises(UnreachableError):
        xen.counters(XEN1)


def test_a_watcher_that_lost_xenstored_follows_it_again_and_says_both(store, xen, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("anyvisor.drivers.xl.hypervisor._AGAIN_SECONDS", 0.05)
    with told(xen) as times:
        for again in (2, 3):
            store.stop()
            time.sleep(0.2)
            store.start()
            eventually(lambda again=again: len(times) == again * SET)
        store.vif(1, 0, WEB)
        eventually(lambda: len(times) == 3 * SET + NODES)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"] * 2


def test_watching_ends_at_once_and_leaves_no_thread(store, xen):
    before = threading.active_count()
    begin = time.monotonic()
    with xen.watch(lambda _: None):
        pass

    assert time.monotonic() - begin < 5
    eventually(lambda: sum(t.name == "xenstore" for t in threading.enumerate()) == 0)
    assert threading.active_count() <= before + 1


def test_an_answer_that_is_none_of_xenstoreds_ends_the_connection(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()
        with Xenstore(str(path)) as store:
            connection, _ = server.accept()
            connection.sendall(b"\xff" * 32)
            with connection, pytest.raises(UnreachableError, match="broke"):
                store.read("domid")


def test_xens_version_is_what_the_kernel_tells(tmp_path, store):
    for name, text in (("major", "4"), ("minor", "17"), ("extra", ".5")):
        (tmp_path / name).write_text(text + "\n")

    found = XlHypervisor(XEN1, path=str(store.path), version=tmp_path).hosts()

    assert found == {XEN1: Host(name=XEN1, hypervisor=Hypervisor.XEN, version="4.17.5")}


def test_a_kernel_that_runs_on_no_xen_says_so(tmp_path, store):
    with pytest.raises(UnreachableError, match="no Xen is seen from here"):
        XlHypervisor(XEN1, path=str(store.path), version=tmp_path / "none").hosts()


def test_a_domain_that_is_received_is_told_before_it_has_a_vif_and_one_that_has_left_is_none(store, xen):
    store.introduce(1, "web1--incoming")
    store.introduce(2, "db1--migratedaway")
    store.vif(2, 0, DB)

    assert xen.arriving(XEN1) == {"web1"}
    assert xen.arriving(HostName("other")) == frozenset()
    assert xen.vnics(XEN1) == ()

    store.vif(1, 0, WEB)
    assert xen.vnics(XEN1) == (Vnic(mac=WEB, vm="web1", device="vif1.0", arriving=True),)

    store.introduce(1, "web1")
    assert xen.arriving(XEN1) == frozenset()
    assert xen.vnics(XEN1) == (Vnic(mac=WEB, vm="web1", device="vif1.0"),)


def test_the_toolstacks_first_note_of_a_domain_is_told(store, xen):
    with told(xen) as times:
        store.write({"/libxl/7/type": "pv"})

        eventually(lambda: len(times) == SET + 1)
