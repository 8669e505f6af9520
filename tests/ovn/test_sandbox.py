# SPDX-License-Identifier: Apache-2.0
"""The sandbox itself: what other tests stand on."""

from anyvisor.testing.daemons import wait_until
from anyvisor.testing.sandbox import OvnSandbox


def test_a_logical_port_comes_up_on_a_chassis(ovn):
    host = ovn.add_chassis("kvm1")
    ovn.nbctl(
        "ls-add",
        "s1",
        "--",
        "lsp-add",
        "s1",
        "p1",
        "--",
        "lsp-set-addresses",
        "p1",
        "02:00:00:00:00:01 10.0.0.1",
    )

    host.plug("p1")
    ovn.nbctl("wait-until", "Logical_Switch_Port", "p1", "up=true")

    assert ovn.rows("Logical_Switch_Port", "name", "up") == [{"name": "p1", "up": True}]


def test_killed_daemons_come_back_where_they_were(ovn):
    host = ovn.add_chassis("kvm1")
    ovn.nbctl("ls-add", "s1")
    for daemon in (ovn.northd, host.controller, ovn.nb_server):
        daemon.restart()

    ovn.sync()

    assert [row["external_ids"][1][0] for row in ovn.rows("Datapath_Binding", southbound=True)]


def test_nothing_is_left_of_a_closed_sandbox():
    with OvnSandbox() as sandbox:
        host = sandbox.add_chassis("kvm1")
        daemons = [sandbox.northd, sandbox.nb_server, sandbox.sb_server, host.controller, host.vswitchd]
        directory = sandbox.directory
        assert all(daemon.running for daemon in daemons)

    wait_until(lambda: not directory.exists(), "the directory is gone")
    assert not any(daemon.running for daemon in daemons)
