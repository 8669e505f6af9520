# SPDX-License-Identifier: Apache-2.0
"""The real programs against real databases: the daemon, a second one, and what a kill -9 in the middle leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyvisor.codec.site_yaml import dump_site
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Protocol, SwitchKind
from anyvisor.model.network import Network, Router, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Controller, Site
from anyvisor.testing.daemons import wait_until
from anyvisor.testing.sandbox import AnyvisorDatabase, OvnSandbox

pytestmark = [pytest.mark.ovn, pytest.mark.timeout(120)]

MANY = 1500


@pytest.fixture
def ovn() -> Iterator[OvnSandbox]:
    with OvnSandbox() as running:
        yield running


@pytest.fixture
def database() -> Iterator[AnyvisorDatabase]:
    with AnyvisorDatabase() as running:
        yield running


class World:
    """The programs of one installation, each ended at the end."""

    def __init__(self, ovn: OvnSandbox, database: AnyvisorDatabase, folder: Path) -> None:
        self.ovn, self.database, self.folder = ovn, database, folder
        self.started: list[subprocess.Popen[str]] = []

    def site(self, ports: int) -> Path:
        path = self.folder / f"site{ports}.yaml"
        path.write_text(dump_site(site(self.ovn, ports)))
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "anyvisor", "-v", "--database", self.database.remote, *arguments]
        with (self.folder / f"{len(self.started)}.log").open("w") as log:
            program = subprocess.Popen(
                argv, stdout=log, stderr=log, text=True, env={**os.environ, "COLUMNS": "100"}
            )
        self.started.append(program)
        return program

    def apply(self, ports: int, wait: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "anyvisor", "--database", self.database.remote]
        argv += ["apply", "-f", str(self.site(ports)), "--wait", str(wait)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)

    def ports_in_ovn(self) -> int:
        return len([row for row in self.ovn.rows("Logical_Switch_Port", "name", "type") if row["type"] == ""])

    def log(self, number: int) -> str:
        return (self.folder / f"{number}.log").read_text()

    def close(self) -> None:
        for program in self.started:
            program.kill()
            program.wait()


@pytest.fixture
def world(ovn: OvnSandbox, database: AnyvisorDatabase, tmp_path: Path) -> Iterator[World]:
    made = World(ovn, database, tmp_path)
    yield made
    made.close()


def site(ovn: OvnSandbox, ports: int) -> Site:
    host = Host(
        name="kvm1",
        hypervisor=Hypervisor.KVM,
        tunnel_ip="192.0.2.1",
        switches=(NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),),
        nics=(Nic(name="eth0", physical="fabric"),),
    )
    web = Network(
        name="web",
        kind=NetworkKind.OVERLAY,
        subnets=(Subnet(cidr="10.1.0.0/16", gateway="10.1.0.1", dhcp=True),),
    )
    group = SecurityGroup(name="web", rules=(Rule(direction=Direction.INGRESS, protocol=Protocol.TCP),))
    return Site(
        controller=Controller(driver="ovn", northbound=ovn.northbound, southbound=ovn.southbound),
        hosts={"kvm1": host},
        networks={"web": web},
        routers={"r1": Router(name="r1", networks=("web",))},
        security_groups={"web": group},
        ports={
            f"p{number}": Port(name=f"p{number}", network="web", host="kvm1", security_groups=("web",))
            for number in range(ports)
        },
    )


def test_the_daemon_carries_out_what_apply_hands_over(world):
    world.start("serve")
    wait_until(lambda: "active" in world.log(0), "an active daemon")

    world.apply(5)

    wait_until(lambda: world.ports_in_ovn() == 5, "five ports in OVN")


def test_the_daemon_puts_a_port_back_that_somebody_took_out_of_its_groups(world):
    world.start("serve")
    world.apply(3)
    wait_until(lambda: world.ports_in_ovn() == 3, "three ports in OVN")
    groups = [row["name"] for row in world.ovn.rows("Port_Group", "name", "ports") if row["ports"][1]]

    for group in groups:
        world.ovn.nbctl("clear", "Port_Group", group, "ports")

    def whole():
        rows = world.ovn.rows("Port_Group", "name", "ports")
        return all(len(row["ports"][1]) == 3 for row in rows if row["name"] in groups)

    wait_until(whole, "every port is back")
    assert len(groups) == 2


def test_a_second_daemon_takes_over_when_the_first_is_killed(world):
    first = world.start("serve")
    wait_until(lambda: "active" in world.log(0), "an active daemon")
    world.start("serve")
    wait_until(lambda: "waiting for the lock" in world.log(1), "a second daemon")
    world.apply(3)
    wait_until(lambda: world.ports_in_ovn() == 3, "three ports in OVN")

    assert "active" not in world.log(1)
    first.send_signal(signal.SIGKILL)
    wait_until(lambda: "active" in world.log(1), "the second daemon to take over")
    world.apply(6)

    wait_until(lambda: world.ports_in_ovn() == 6, "six ports in OVN")


def test_a_daemon_killed_in_the_middle_leaves_what_a_second_apply_completes(world):
    daemon = world.start("serve")
    wait_until(lambda: "active" in world.log(0), "an active daemon")
    world.apply(3)
    applying = world.start("apply", "-f", str(world.site(MANY)), "--wait", "60")
    wait_until(lambda: len(world.database.rows("Port", "name")) == MANY, "the intent to be stored")

    daemon.kill()
    applying.kill()
    before = world.ports_in_ovn()
    done = world.apply(MANY)

    assert before in range(3, MANY + 1)
    assert world.ports_in_ovn() == MANY, done.stderr
    addresses = [row["addresses"] for row in world.database.rows("Port", "name", "addresses")]
    assert len({str(address) for address in addresses}) == MANY


def test_an_apply_without_a_daemon_killed_in_the_middle_is_completed_by_the_next(world):
    applying = world.start("apply", "-f", str(world.site(MANY)), "--wait", "60")
    wait_until(lambda: len(world.database.rows("Port", "name")) == MANY, "the intent to be stored")
    applying.kill()

    done = world.apply(MANY)

    assert world.ports_in_ovn() == MANY, done.stderr


def test_northd_killed_in_the_middle_costs_nothing_that_its_return_does_not_bring_back(world):
    applying = world.start("apply", "-f", str(world.site(MANY)), "--wait", "5")
    wait_until(lambda: world.database.rows("Port", "name") != [], "the intent to be stored")
    world.ovn.northd.kill()
    applying.wait(60)

    world.ovn.northd.start()
    world.apply(MANY)
    world.ovn.sync()

    assert world.ports_in_ovn() == MANY
    bound = [
        row
        for row in world.ovn.rows("Port_Binding", "logical_port", "type", southbound=True)
        if row["type"] == ""
    ]
    assert len(bound) == MANY


def test_a_database_that_restarts_under_the_daemon_is_found_again(world):
    world.start("serve")
    wait_until(lambda: "active" in world.log(0), "an active daemon")
    world.apply(2)
    wait_until(lambda: world.ports_in_ovn() == 2, "two ports in OVN")

    world.ovn.nb_server.kill()
    world.ovn.nb_server.start()
    world.database.server.kill()
    world.database.server.start()
    world.apply(4)

    wait_until(lambda: world.ports_in_ovn() == 4, "four ports in OVN")


def test_a_controller_that_does_not_answer_is_named_and_nothing_is_lost(world):
    world.ovn.nb_server.kill()

    done = world.apply(2, wait=3)

    assert done.returncode == 1
    assert world.ovn.northbound in done.stderr
    assert len(world.database.rows("Port", "name")) == 2


def test_apply_without_the_controller_s_address_says_what_to_write(world, tmp_path):
    path = tmp_path / "bare.yaml"
    path.write_text("networks: [{name: web, kind: overlay}]\n")
    argv = [sys.executable, "-m", "anyvisor", "--database", world.database.remote, "apply", "-f", str(path)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "names no controller" in done.stderr
    assert "controller: {driver: ovn" in done.stderr
