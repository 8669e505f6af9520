# SPDX-License-Identifier: Apache-2.0
"""A network driver domain asks xenstored: it sees what it serves, and comes by another way."""

import os
import threading
import tty
from contextlib import closing

import pytest

from anyvisor.drivers.xl.channel import DeviceChannel, opened
from anyvisor.drivers.xl.hypervisor import XlHypervisor
from anyvisor.drivers.xl.wire import HEADER, Message, Type, packed, unpacked
from anyvisor.drivers.xl.xenstore import Xenstore
from anyvisor.errors import UnreachableError
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Vnic
from anyvisor.testing.xenstore import FakeXenstore

XEN1 = HostName("xen1")
MINE = 3
WEB, DB = Mac("00:16:3e:00:00:11"), Mac("00:16:3e:00:00:12")


@pytest.fixture
def store(tmp_path):
    with FakeXenstore(tmp_path / "socket", asked_by=MINE) as one:
        yield one


@pytest.fixture
def device():
    """A character device with somebody at its other end, who speaks xenstored's protocol: both descriptors' owner."""
    theirs, ours = os.openpty()
    tty.setraw(ours)
    yield theirs, os.ttyname(ours)
    os.close(theirs)
    os.close(ours)


def test_it_sees_the_vifs_that_it_serves_without_their_vms_names(store):
    store.introduce(1, "web1")
    store.introduce(2, "db1--incoming")
    store.vif(1, 0, WEB, backend=MINE)
    store.vif(2, 0, DB, backend=0)
    xen = XlHypervisor(XEN1, path=str(store.path))

    assert xen.vnics(XEN1) == (Vnic(mac=WEB, device="vif1.0"),)
    assert xen.arriving(XEN1) == frozenset()


def test_it_is_told_of_a_vif_that_comes(store):
    told = threading.Semaphore(0)
    xen = XlHypervisor(XEN1, path=str(store.path))

    with xen.watch(lambda _: told.release()):
        assert told.acquire(timeout=5), "setting the one watch that it may have"
        store.vif(1, 0, WEB, backend=MINE)
        assert told.acquire(timeout=5)


def test_the_same_messages_go_through_a_device(device):
    theirs, path = device
    answers = threading.Thread(target=serve_one, args=(theirs, b"3"), daemon=True)
    answers.start()

    with Xenstore(path) as store:
        assert store.read("domid") == "3"
    answers.join(5)


def test_an_event_before_the_answer_is_kept(device):
    theirs, path = device
    event = packed(Message(type=Type.WATCH_EVENT, body=b"backend/vif/1/0\0backend/vif\0"))
    threading.Thread(target=serve_one, args=(theirs, b"3", event), daemon=True).start()

    with Xenstore(path) as store:
        assert store.read("domid") == "3"
        assert store.next_event(seconds=1) == "backend/vif/1/0"
        assert store.next_event(seconds=0.05) is None


def test_who_waits_at_a_device_can_be_interrupted(device):
    store = Xenstore(device[1])
    threading.Timer(0.1, store.interrupt).start()

    with pytest.raises(UnreachableError, match="ended"):
        store.next_event(seconds=None)
    store.close()
    store.interrupt()  # a second time, and too late: no harm


def test_which_way_it_is_follows_from_the_path(store, device):
    with closing(opened(device[1], 1.0)) as one, closing(opened(str(store.path), 1.0)) as other:
        assert isinstance(one, DeviceChannel)
        assert not isinstance(other, DeviceChannel)
    with pytest.raises(UnreachableError, match="does not answer at /nowhere"):
        Xenstore("/nowhere")


def serve_one(descriptor, value, before=b""):
    """Answer one request with that value."""
    data = b""
    while (found := unpacked(data))[0] is None:
        data += os.read(descriptor, HEADER.size + 64)
    request = found[0].request
    os.write(descriptor, before + packed(Message(type=Type.READ, request=request, body=value)))
