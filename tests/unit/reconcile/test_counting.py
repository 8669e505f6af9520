# SPDX-License-Identifier: Apache-2.0
"""Sums of what was counted: what belongs to another VM, or was not read, is never in them."""

import pytest

from anyvisor.errors import UnreachableError
from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import State
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.reconcile.counting import Counting, Raw
from anyvisor.reconcile.measuring import Measuring, Sources
from anyvisor.testing.memory import DictMemory

HOST, PORT = HostName("kvm1"), PortName("web")
ATTACHMENT = Attachment(
    port=PORT, host=HOST, kind=AttachmentKind.REPRESENTOR, mac=Mac("52:54:00:00:00:01"), network="blue"
)


@pytest.fixture
def memory():
    return DictMemory()


def raw(device, sent, slow=0):
    counters = {PORT: Counters(tx_bytes=sent)}
    path = {PORT: PathCount(entered=sent, slow=slow)}
    return Raw(hypervisor=counters, controlled=counters, paths=path, functions={PORT: device})


def taken(counting, *seen):
    for each in seen:
        ((reading,), _) = counting.take([ATTACHMENT], each)
    return reading


@pytest.mark.parametrize("restarted", [False, True])
def test_a_vm_that_gets_another_function_gets_none_of_what_was_counted_there_before(memory, restarted):
    counting = Counting(HOST, memory, lambda: 0.0)
    taken(counting, raw("pf0vf0", 1000), raw("pf0vf0", 1500))
    if restarted:
        counting = Counting(HOST, memory, lambda: 0.0)

    reading = taken(counting, raw("pf0vf7", 90_000), raw("pf0vf7", 90_200))

    assert (reading.hypervisor.tx_bytes, reading.controlled.tx_bytes) == (700, 700)
    assert reading.path.entered == 700


def test_no_more_took_the_slow_path_than_entered(memory):
    reading = taken(Counting(HOST, memory, lambda: 0.0), raw("pf0vf0", 100), raw("pf0vf0", 150, slow=90))

    assert reading.path == PathCount(entered=50, slow=50)


class Switch:
    sent = 1000

    def counters(self):
        return {PORT: Counters(tx_bytes=self.sent)}

    def observe(self):
        return {PORT: Plug(port=PORT, device="pf0vf0", bridge="br-int")}


class Dump:
    failure = None

    def paths(self):
        if self.failure is not None:
            raise self.failure
        return {"pf0vf0": PathCount(entered=10, slow=1)}


class Sink:
    def write(self, vnics, stations, *, spared):
        (self.reading,) = vnics


def test_a_slow_path_that_cannot_be_read_takes_no_other_count_with_it(memory, caplog):
    switch, dump, sink = Switch(), Dump(), Sink()
    measuring = Measuring(HOST, Counting(HOST, memory, lambda: 0.0), sink, slow_path=dump)
    state = State(attachments={PORT: ATTACHMENT})
    sources = Sources(programmed=switch, mappings={})
    measuring.take(state, sources)
    dump.failure = UnreachableError("ovs-appctl does not end")
    for sent in (1400, 1500):
        switch.sent = sent
        measuring.take(state, sources)

    assert sink.reading.controlled.tx_bytes == 500
    assert sink.reading.path == PathCount(entered=0, slow=0)
    assert [record.message for record in caplog.records] == [
        "the slow path is not counted: ovs-appctl does not end"
    ]
