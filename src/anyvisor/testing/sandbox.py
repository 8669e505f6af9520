# SPDX-License-Identifier: Apache-2.0
"""Real OVN and a real Anyvisor database in a temporary directory: no root, no network, gone afterwards.

Each is a context manager that ends exactly the processes it started. Daemons can be killed and started again for
tests of what a crash does.
"""

from __future__ import annotations

import json
import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

from anyvisor.testing.daemons import Daemon, Scratch, database_server, run, wait_until

OVN_SCHEMAS = Path(os.environ.get("OVN_PKGDATADIR", "/usr/share/ovn"))
"""OVN's own variable says where another version lies."""
VSWITCH_SCHEMA = Path(os.environ.get("OVS_PKGDATADIR", "/usr/share/openvswitch"), "vswitch.ovsschema")


class Chassis:
    """A host in the sandbox: an Open vSwitch with a dummy datapath, and ovn-controller."""

    def __init__(self, name: str, directory: Path, southbound: str, encap_ip: str) -> None:
        self.name = name
        self.directory = directory
        self.remote = f"unix:{directory}/db.sock"
        self._env = {"OVS_RUNDIR": str(directory), "OVN_RUNDIR": str(directory)}
        directory.mkdir()
        run("ovsdb-tool", "create", str(directory / "conf.db"), str(VSWITCH_SCHEMA))
        self.ovsdb_server = database_server(directory, "db", [directory / "conf.db"])
        self.vswitchd = Daemon(
            ["ovs-vswitchd", "--no-chdir", "-vconsole:warn", "--enable-dummy=override", "--disable-system",
             f"--unixctl={directory}/vswitchd.ctl", self.remote],
            ready=directory / "vswitchd.ctl", env=self._env, log=directory / "vswitchd.log",
        )  # fmt: skip
        self.controller = Daemon(
            ["ovn-controller", "--no-chdir", "-vconsole:warn", self.remote],
            ready=None, env=self._env, log=directory / "controller.log",
        )  # fmt: skip
        self._settings = {
            "system-id": name,
            "hostname": name,
            "ovn-remote": southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": encap_ip,
        }

    def start(self, *, controller: bool = True) -> Self:
        """Start the switch, and ovn-controller unless told otherwise."""
        self.ovsdb_server.start()
        self.vsctl("--no-wait", "init")
        settings = [f"external_ids:{key}={json.dumps(value)}" for key, value in self._settings.items()]
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", *settings)
        self.vswitchd.start()
        self.vsctl(
            "add-br", "br-int", "--", "set", "Bridge", "br-int", "fail-mode=secure", "datapath-type=dummy"
        )
        if controller:
            self.controller.start()
        return self

    def vsctl(self, *argv: str) -> str:
        """Run ovs-vsctl on this host's switch."""
        return run("ovs-vsctl", f"--db={self.remote}", "--timeout=10", *argv, env=self._env)

    def ofctl(self, *argv: str) -> str:
        """Run ovs-ofctl on this host's switch."""
        return run("ovs-ofctl", *argv, env=self._env)

    def plug(self, port: str, device: str = "") -> None:
        """Plug a dummy device as that logical port."""
        device = device or port[:15]
        self.vsctl(
            "add-port", "br-int", device, "--",
            "set", "Interface", device, "type=dummy", f"external_ids:iface-id={port}",
        )  # fmt: skip

    def close(self) -> None:
        """End everything on it."""
        for daemon in (self.controller, self.vswitchd, self.ovsdb_server):
            daemon.kill()


class OvnSandbox:
    """The northbound and southbound databases and ovn-northd; chassis on demand."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self.directory = self._scratch.path
        self.northbound = f"unix:{self.directory}/nb.sock"
        self.southbound = f"unix:{self.directory}/sb.sock"
        self.chassis: dict[str, Chassis] = {}
        for name in ("nb", "sb"):
            run(
                "ovsdb-tool",
                "create",
                f"{self.directory}/{name}.db",
                str(OVN_SCHEMAS / f"ovn-{name}.ovsschema"),
            )
        self.nb_server = database_server(self.directory, "nb", [self.directory / "nb.db"])
        self.sb_server = database_server(self.directory, "sb", [self.directory / "sb.db"])
        self.northd = Daemon(
            ["ovn-northd", "--no-chdir", "-vconsole:warn", f"--ovnnb-db={self.northbound}",
             f"--ovnsb-db={self.southbound}", f"--unixctl={self.directory}/northd.ctl"],
            ready=self.directory / "northd.ctl", env={"OVN_RUNDIR": str(self.directory)},
            log=self.directory / "northd.log",
        )  # fmt: skip

    def start(self, *, northd: bool = True) -> Self:
        """Start both databases, and northd unless told otherwise."""
        self.nb_server.start()
        self.sb_server.start()
        self.nbctl("init")
        self.sbctl("init")
        if northd:
            self.northd.start()
        return self

    def add_chassis(self, name: str) -> Chassis:
        """A further host, registered in the southbound database when this returns."""
        address = f"127.0.0.{len(self.chassis) + 1}"
        host = Chassis(name, self.directory / f"c{len(self.chassis)}", self.southbound, address)
        self.chassis[name] = host
        host.start()
        wait_until(
            lambda: name in self.sbctl("--bare", "--columns=name", "list", "Chassis"), f"chassis {name}"
        )
        return host

    def nbctl(self, *argv: str) -> str:
        """Run ovn-nbctl; bounded."""
        return run("ovn-nbctl", f"--db={self.northbound}", "--timeout=20", *argv)

    def sbctl(self, *argv: str) -> str:
        """Run ovn-sbctl; bounded."""
        return run("ovn-sbctl", f"--db={self.southbound}", "--timeout=20", *argv)

    def rows(self, table: str, *columns: str, southbound: bool = False) -> list[dict[str, Any]]:
        """All rows of a table as dictionaries, in OVSDB's JSON notation, for assertions on the state of the world."""
        remote, database = (
            (self.southbound, "OVN_Southbound") if southbound else (self.northbound, "OVN_Northbound")
        )
        return select(remote, database, table, *columns)

    def sync(self) -> None:
        """Wait until northd has carried everything into the southbound database."""
        self.nbctl("--wait=sb", "sync")

    def close(self) -> None:
        """End every process and remove the directory."""
        for host in self.chassis.values():
            host.close()
        for daemon in (self.northd, self.nb_server, self.sb_server):
            daemon.kill()
        self._scratch.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


class AnyvisorDatabase:
    """One ovsdb-server with the databases `Anyvisor` and `Anyvisor_Telemetry`, empty at first."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self.directory = self._scratch.path
        self.remote = f"unix:{self.directory}/db.sock"
        """Of both databases."""
        for name in ("anyvisor", "telemetry"):
            with schema(name) as path:
                run("ovsdb-tool", "create", f"{self.directory}/{name}.db", str(path))
        self.server = database_server(
            self.directory, "db", [self.directory / "anyvisor.db", self.directory / "telemetry.db"]
        )

    def start(self) -> Self:
        """Start the server."""
        self.server.start()
        return self

    def rows(self, table: str, *columns: str, database: str = "Anyvisor") -> list[dict[str, Any]]:
        """All rows of a table as dictionaries, in OVSDB's JSON notation."""
        return select(self.remote, database, table, *columns)

    def transact(self, *operations: object, database: str = "Anyvisor") -> list[Any]:
        """Carry out raw OVSDB operations, as somebody else would."""
        return transact(self.remote, database, *operations)

    def offline(self, *operations: object, database: str = "Anyvisor") -> None:
        """Carry out raw OVSDB operations on the file while no server runs."""
        file = self.directory / ("anyvisor.db" if database == "Anyvisor" else "telemetry.db")
        run("ovsdb-tool", "transact", str(file), json.dumps([database, *operations]))

    def close(self) -> None:
        """End the server and remove the directory."""
        self.server.kill()
        self._scratch.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def schema(name: str) -> Any:
    """The path of one of our schemas (``anyvisor``, ``telemetry``), as a context manager."""
    return as_file(files("anyvisor.ovsdb") / "schema" / f"{name}.ovsschema")


def transact(remote: str, database: str, *operations: object) -> list[Any]:
    """Carry out raw OVSDB operations; AssertionError if one of them fails."""
    printed = run("ovsdb-client", "--timeout=10", "transact", remote, json.dumps([database, *operations]))
    answers: list[Any] = json.loads(printed)
    assert not [answer for answer in answers if answer and "error" in answer], answers
    return answers


def select(remote: str, database: str, table: str, *columns: str) -> list[dict[str, Any]]:
    """All rows of a table, in OVSDB's JSON notation."""
    operation: dict[str, object] = {"op": "select", "table": table, "where": []}
    if columns:
        operation["columns"] = list(columns)
    rows: list[dict[str, Any]] = transact(remote, database, operation)[0]["rows"]
    return rows


def keep(sandbox: OvnSandbox | AnyvisorDatabase, target: Path) -> None:
    """Copy the databases and logs of a sandbox, for looking at a failed test."""
    shutil.copytree(
        sandbox.directory, target, ignore=shutil.ignore_patterns("*.sock", "*.ctl"), dirs_exist_ok=True
    )
