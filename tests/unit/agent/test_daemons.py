# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping the daemons by the commands in the settings."""

import logging
import os
import signal

import pytest

from anyvisor.agent import daemons
from anyvisor.agent.daemons import CommandDaemons
from anyvisor.agent.settings import AgentSettings
from anyvisor.errors import TerminalError
from anyvisor.model.names import HostName


@pytest.fixture
def made(tmp_path):
    """Daemons whose commands write down that they ran; `scripts` replace some of them."""

    def make(**scripts):
        names = ("start_openvswitch", "stop_openvswitch", "start_ovn_controller", "stop_ovn_controller")
        commands = {name: ("sh", "-c", scripts.get(name, f"echo {name} >> {tmp_path}/log")) for name in names}
        return CommandDaemons(AgentSettings(database="tcp:192.0.2.1:6640", host=HostName("kvm1"), **commands))

    return make


def plain(**commands):
    return CommandDaemons(AgentSettings(database="tcp:192.0.2.1:6640", host=HostName("kvm1"), **commands))


def test_each_command_does_its_own(made, tmp_path):
    both = made()

    both.start_switch()
    both.start_controller()
    both.stop_controller()
    both.stop_switch()

    assert (tmp_path / "log").read_text().split() == [
        "start_openvswitch",
        "start_ovn_controller",
        "stop_ovn_controller",
        "stop_openvswitch",
    ]


@pytest.mark.parametrize("name", ["start_switch", "start_controller"])
def test_a_start_that_fails_says_what_the_command_said(made, name):
    script = "echo Starting; echo >&2; echo Unit is masked. >&2; echo >&2; exit 5"
    both = made(start_openvswitch=script, start_ovn_controller=script)

    with pytest.raises(TerminalError, match=r"ended with status 5: Unit is masked\.$"):
        getattr(both, name)()


def test_a_start_that_fails_without_a_word_gives_its_status(made):
    with pytest.raises(TerminalError, match=r"ended with status 3$"):
        made(start_openvswitch="exit 3").start_switch()


def test_a_command_that_is_not_there_is_refused():
    with pytest.raises(TerminalError, match="No such file"):
        plain(start_openvswitch=("/nonexistent/ovs-ctl",)).start_switch()


def test_a_command_that_is_empty_is_refused():
    with pytest.raises(TerminalError, match="no command"):
        plain(start_openvswitch=()).start_switch()


def test_a_daemon_that_keeps_the_output_open_holds_nobody(made, tmp_path):
    script = f"sleep 300 & echo $! > {tmp_path}/pid; exit 0"

    made(start_openvswitch=script).start_switch()

    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_does_not_end_is_given_up(made, monkeypatch):
    monkeypatch.setattr(daemons, "_TIMEOUT_SECONDS", 0.2)

    with pytest.raises(TerminalError, match=r"did not end within 0\.2 s: waiting$"):
        made(start_openvswitch="echo waiting; exec sleep 300").start_switch()


@pytest.mark.parametrize("name", ["stop_switch", "stop_controller"])
def test_a_stop_that_fails_holds_up_no_undo(made, name, caplog):
    both = made(stop_openvswitch="exit 4", stop_ovn_controller="exit 4")

    with caplog.at_level(logging.WARNING):
        getattr(both, name)()

    assert "status 4" in caplog.text


@pytest.mark.parametrize("name", ["stop_switch", "stop_controller"])
def test_without_a_command_nothing_is_stopped(name, caplog):
    with caplog.at_level(logging.WARNING):
        getattr(plain(), name)()

    assert caplog.text == ""


def test_nothing_is_missing_where_both_can_be_started(made):
    assert made().missing() == ()


def test_all_that_is_missing_is_named():
    said = plain(start_openvswitch=("/nonexistent/ovs-ctl", "start"), start_ovn_controller=()).missing()

    assert said == (
        "the setting start_openvswitch names /nonexistent/ovs-ctl, which cannot be run",
        "the setting start_ovn_controller names nothing, which cannot be run",
    )
