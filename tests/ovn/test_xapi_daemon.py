# SPDX-License-Identifier: Apache-2.0
"""The real programs against real OVN, with an XAPI pool that is none: found, planned, wired under separation, let go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anyvisor.testing.daemons import wait_until
from anyvisor.testing.xapi.pool import Pool, made_mac
from anyvisor.testing.xapi.server import PASSWORD, USER, FakeXapi

pytestmark = [pytest.mark.ovn, pytest.mark.timeout(180)]

SITE = """\
controller: {{driver: ovn, northbound: "{northbound}", southbound: "{southbound}"}}
managers:
  - {{name: pool1, driver: xapi, url: "{url}", credentials: "file:{secret}", ca: "{ca}"}}
hosts:
  - {{name: xen1, hypervisor: xen, scheme: separation, nics: [{{name: eth0}}, {{name: eth1, physical: fabric}}]}}
  - {{name: xen2, hypervisor: xen, scheme: separation, nics: [{{name: eth0}}, {{name: eth1, physical: fabric}}]}}
networks:
  - {{name: web, kind: overlay, physical: fabric, vlan: 200, subnets: [{{cidr: 10.1.0.0/24, dhcp: true}}]}}
ports:
{ports}
"""


class World:
    """The pool, and one daemon."""

    def __init__(self, ovn, database, folder: Path) -> None:
        self.ovn, self.database, self.folder = ovn, database, folder
        self.pool = Pool()
        for name in ("xen1", "xen2"):
            self.pool.add_host(name, "eth0", "eth1")
        self.guests = self.pool.network("", "xenbr1")
        for vm, host in (("vm1", "xen1"), ("vm2", "xen2")):
            self.pool.add_vm(vm, self.pool.named("host", host), self.guests)
        self.xapi = FakeXapi(folder, self.pool)
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(f"{USER}:{PASSWORD}")
        self.daemon: subprocess.Popen[str] | None = None

    def site(self, *vms: str) -> str:
        ports = "\n".join(
            f'  - {{name: {vm}, network: web, vm: {vm}, mac: "{made_mac(vm, 0)}", ips: [10.1.0.1{vm[-1]}]}}'
            for vm in vms
        )
        path = self.folder / f"site{len(vms)}.yaml"
        path.write_text(
            SITE.format(
                northbound=self.ovn.northbound,
                southbound=self.ovn.southbound,
                url=self.xapi.url,
                secret=self.secret,
                ca=self.xapi.certificate.certificate,
                ports=ports or "  []",
            )
        )
        return str(path)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "anyvisor", "--database", self.database.remote, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)

    def serve(self) -> None:
        argv = [sys.executable, "-m", "anyvisor", "-v", "--database", self.database.remote, "serve"]
        with (self.folder / "log").open("w") as log:
            self.daemon = subprocess.Popen(argv, stdout=log, stderr=log, text=True, env=dict(os.environ))

    def close(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
        self.xapi.close()

    def locked(self) -> bool:
        wires = {vm: self.pool.wire(vm) for vm in ("vm1", "vm2")}
        return all(
            wire is not None and wire.addresses == (f"10.1.0.1{vm[-1]}",) for vm, wire in wires.items()
        )


@pytest.fixture
def world(ovn, database, tmp_path):
    made = World(ovn, database, tmp_path)
    yield made
    made.close()


def test_a_pool_is_found_planned_wired_and_let_go(world):
    planned = world.run("plan", "-f", world.site("vm1", "vm2"), "--json")
    assert planned.returncode == 0, planned.stderr
    hosts = {each["host"]: each for each in json.loads(planned.stdout)["hosts"]}
    assert (hosts["xen1"]["scheme"], hosts["xen1"]["version"]) == ("separation", "8.3.0")
    foreseen = world.run("apply", "-f", world.site("vm1", "vm2"), "--dry-run")
    assert foreseen.returncode == 0, foreseen.stderr
    assert world.xapi.writes == []

    world.serve()
    applied = world.run("apply", "-f", world.site("vm1", "vm2"), "--wait", "0")
    assert "the intent is stored" in applied.stderr  # nobody waits here for what follows
    wait_until(world.locked, "vNICs locked to their addresses in their network's VLAN")
    wait_until(
        lambda: {"vm1", "vm2"} <= {row["name"] for row in world.ovn.rows("Logical_Switch_Port", "name")},
        "the ports in OVN",
    )

    world.run("apply", "-f", world.site(), "--wait", "0")
    wait_until(lambda: not world.pool.records.rows("VLAN"), "no VLAN of ours left")
    wires = {vm: world.pool.wire(vm) for vm in ("vm1", "vm2")}
    assert all(
        wire is not None and (wire.bridge, wire.direct) == ("xenbr1", False) for wire in wires.values()
    )
    assert all(row["other_config"] == {} for row in world.pool.records.rows("VIF").values())


def test_what_the_account_may_not_do_is_said_before(world):
    world.xapi.rights = ("vif.move",)

    planned = world.run("plan", "-f", world.site("vm1"))

    assert "VLAN.create" in planned.stdout + planned.stderr
    assert PASSWORD not in planned.stdout + planned.stderr
