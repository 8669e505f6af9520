# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

import pytest

from anyvisor.lab import process


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


@pytest.fixture
def stubborn():
    """A process that ignores SIGTERM, and has said so."""
    argv = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as child:
        child.stdout.readline()
        yield child
        os.killpg(child.pid, 9)


def test_a_process_is_known_by_pid_and_start_time(sleeper):
    start = process.start_time(sleeper.pid)

    assert process.alive(sleeper.pid, start)
    assert not process.alive(sleeper.pid, start + 1)


def test_a_process_that_was_killed_is_not_alive_even_as_a_zombie(sleeper):
    start = process.start_time(sleeper.pid)

    process.end([sleeper.pid])

    assert not process.alive(sleeper.pid, start)


def test_one_that_does_not_want_to_end_is_killed(stubborn):
    start = process.start_time(stubborn.pid)

    process.end([stubborn.pid], patience_seconds=0.05)

    assert not process.alive(stubborn.pid, start)


def test_ending_what_is_gone_is_fine(sleeper):
    sleeper.kill()
    sleeper.wait()

    process.end([sleeper.pid])


def test_processes_are_found_through_their_namespace(sleeper):
    own = process.namespace_of(os.getpid(), "net")

    assert {os.getpid(), sleeper.pid} <= process.in_namespaces("net", {own})
    assert process.in_namespaces("net", set()) == frozenset()
