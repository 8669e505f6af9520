# SPDX-License-Identifier: Apache-2.0
"""Jobs are begun together and waited for together; whoever interferes is waited out, whoever refuses is heard."""

import itertools

import pytest
from pyVmomi import vim

from anyvisor.drivers.vsphere import work as module
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import ConflictError, RetryableError, TerminalError, UnreachableError


class Session:
    """Carries everything out at once."""

    name = "vc1"

    def write(self, order, doing):
        return order(None)

    read = write


class Bench:
    """Jobs by name; `log` says which were begun."""

    def __init__(self, monkeypatch):
        self.log = []
        self.states = {}
        self.time = 0.0
        monkeypatch.setattr(module, "properties", self._properties)
        picture = Picture("owner", "vc1", vcenter=True)
        self.work = Work(
            Session(), lambda: picture, lambda: None, patience_seconds=10, clock=self._now, sleep=self._sleep
        )

    def job(self, name, *outcomes, task=None):
        """Each outcome is an error or None; the last one holds for good."""
        waiting = itertools.chain(outcomes, itertools.repeat(outcomes[-1] if outcomes else None))

        def start(opened):
            self.log.append(name)
            outcome = next(waiting)
            if outcome is not None:
                raise outcome
            return None if task is None else vim.Task(task, None)

        return Job(name, start)

    def _properties(self, opened, kind, keys, paths):
        return {key: self.states[key].pop(0) for key in keys if self.states[key]}

    def _now(self):
        return self.time

    def _sleep(self, seconds):
        self.time += seconds


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


CONFLICT, REFUSAL = ConflictError("meanwhile"), TerminalError("no")
SUCCESS, RUNNING = {"info.state": "success"}, {"info.state": "running"}


def test_what_somebody_interfered_with_is_begun_again(bench):
    bench.work.run([bench.job("a"), bench.job("b", CONFLICT, CONFLICT, None), bench.job("c")])

    assert bench.log == ["a", "b", "c", "b", "b"]


def test_who_interferes_each_time_is_reported(bench):
    with pytest.raises(ConflictError):
        bench.work.run([bench.job("a", CONFLICT), bench.job("b")])

    assert bench.log == ["a", "b", "a", "a"]


def test_what_comes_after_a_refusal_is_not_begun(bench):
    with pytest.raises(TerminalError, match="no"):
        bench.work.run([bench.job("a"), bench.job("b", REFUSAL), bench.job("c")])

    assert bench.log == ["a", "b"]


def test_a_refusal_of_a_later_batch_ends_it(bench):
    many = [bench.job(str(n)) for n in range(40)]

    with pytest.raises(TerminalError):
        bench.work.run([*many, bench.job("x", REFUSAL), *many])

    assert len(bench.log) == 41


def test_tasks_are_waited_for_together(bench):
    bench.states = {"t1": [RUNNING, RUNNING, SUCCESS], "t2": [RUNNING, SUCCESS]}

    bench.work.run([bench.job("a", task="t1"), bench.job("b", task="t2")])

    assert bench.states == {"t1": [], "t2": []}


def test_a_task_that_fails_says_why(bench):
    bench.states = {"t1": [{"info.state": "error", "info.error": vim.fault.ResourceInUse(name="g")}]}

    with pytest.raises(RetryableError, match="vc1: a: g is in use"):
        bench.work.run([bench.job("a", task="t1")])


def test_a_task_that_fails_without_a_reason_is_reported_too(bench):
    bench.states = {"t1": [{"info.state": "error"}]}

    with pytest.raises(RetryableError, match="without a reason"):
        bench.work.run([bench.job("a", task="t1")])


def test_a_task_is_not_waited_for_for_ever(bench):
    bench.states = {"t1": [RUNNING] * 1000}

    with pytest.raises(RetryableError, match="more than 10 s"):
        bench.work.run([bench.job("a", task="t1")])

    assert 10 <= bench.time < 12


def test_a_task_that_is_gone_leaves_open_whether_it_was_done(bench):
    bench.states = {"t1": []}

    with pytest.raises(UnreachableError, match="not known"):
        bench.work.run([bench.job("a", task="t1")])
