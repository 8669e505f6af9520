# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.lab import manifest
from anyvisor.lab.manifest import Process, Recorder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "manifest"


def test_what_was_recorded_is_read_back(path):
    recorder = Recorder(path)
    agent = Process(what="agent", part="kvm1", pid=7, start=70)

    recorder.lab(topology="kvm", keeper=None, options={"chroot": "/srv/next"})
    recorder.namespace("av-demo-kvm1")
    recorder.process(agent)
    recorder.complete()

    assert manifest.read(path) == manifest.Manifest(
        topology="kvm",
        options={"chroot": "/srv/next"},
        namespaces=("av-demo-kvm1",),
        processes=(agent,),
        complete=True,
    )


def test_a_restarted_daemon_takes_the_place_of_the_old_one(path):
    recorder = Recorder(path)
    recorder.lab(topology="kvm", keeper=None, options={})

    for pid in (7, 8):
        recorder.process(Process(what="agent", part="kvm1", pid=pid, start=pid * 10))

    assert [process.pid for process in manifest.read(path).processes] == [8]


def test_a_line_that_a_crash_cut_off_is_passed_over(path):
    recorder = Recorder(path)
    recorder.lab(topology="kvm", keeper=None, options={})
    recorder.namespace("av-demo-kvm1")
    with path.open("a") as file:
        file.write('{"kind": "namespace", "na')

    assert manifest.read(path).namespaces == ("av-demo-kvm1",)
    assert not manifest.read(path).complete


def test_a_folder_without_a_manifest_is_not_a_lab(path):
    with pytest.raises(TerminalError, match="holds no lab"):
        manifest.read(path)


def test_two_commands_do_not_work_on_one_lab_at_once(tmp_path):
    with (
        manifest.locked(tmp_path),
        pytest.raises(RetryableError, match="another command"),
        manifest.locked(tmp_path, timeout_seconds=0),
    ):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path):
    with manifest.locked(tmp_path):
        pass

    with manifest.locked(tmp_path, timeout_seconds=0):
        pass
