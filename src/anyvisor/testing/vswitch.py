# SPDX-License-Identifier: Apache-2.0
"""One host's Open vSwitch in a folder: ovsdb-server and ovs-vswitchd, in the namespace of the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SCHEMA = Path(os.environ.get("OVS_PKGDATADIR", "/usr/share/openvswitch"), "vswitch.ovsschema")
_WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class VSwitch:
    """Where it runs. `remote` is its OVSDB; OpenFlow sockets are in `folder` as ``BRIDGE.mgmt``."""

    folder: Path

    @property
    def remote(self) -> str:
        """The OVSDB remote."""
        return f"unix:{self.folder}/db.sock"

    @property
    def environment(self) -> dict[str, str]:
        """What the command-line tools need."""
        return {**os.environ, "OVS_RUNDIR": str(self.folder), "OVN_RUNDIR": str(self.folder)}

    def run(self, *command: str) -> str:
        """Run a tool beside this switch and return what it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=_WAIT_SECONDS, check=False
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl on it."""
        return self.run("ovs-vsctl", f"--db={self.remote}", "--timeout=15", *arguments).strip()

    def pid(self, daemon: str) -> int:
        """The process of a daemon that runs."""
        return int((self.folder / f"{daemon}.pid").read_text(encoding="ascii"))

    def start(self, *, dummy: bool) -> None:
        """Start both daemons; the database survives a stop."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / "conf.db"
        if not database.exists():
            self.run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self.run(
            "ovsdb-server", "--detach", "--no-chdir", "-vconsole:off", f"--pidfile={folder}/ovsdb-server.pid",
            f"--log-file={folder}/ovsdb-server.log", f"--remote=punix:{folder}/db.sock",
            f"--unixctl={folder}/ovsdb-server.ctl", str(database),
        )  # fmt: skip
        self.vsctl("--no-wait", "init")
        self.start_switch(dummy=dummy)

    def start_switch(self, *, dummy: bool) -> None:
        """Start ovs-vswitchd alone."""
        folder = self.folder
        self.run(
            "ovs-vswitchd", "--detach", "--no-chdir", "-vconsole:off", f"--pidfile={folder}/ovs-vswitchd.pid",
            f"--log-file={folder}/ovs-vswitchd.log", f"--unixctl={folder}/ovs-vswitchd.ctl",
            *(["--enable-dummy=override", "--disable-system"] if dummy else []), self.remote,
        )  # fmt: skip

    def stop(self, *daemons: str) -> None:
        """End daemons by their recorded process ids; all if none is named."""
        for pidfile in sorted(self.folder.glob("*.pid")):
            if not daemons or pidfile.stem in daemons:
                end_process(pidfile)
                pidfile.unlink(missing_ok=True)


def end_process(pidfile: Path) -> None:
    """End exactly the process that a pid file names, and wait until it is gone."""
    with suppress(OSError, ValueError):
        pid = int(pidfile.read_text(encoding="ascii"))
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
                return  # ended; that its parent has not noticed yet is nothing to wait for
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)


@contextmanager
def vswitch(folder: Path, *, dummy: bool = True) -> Iterator[VSwitch]:
    """A running switch. With `dummy` its devices are pretended and it needs no privilege."""
    switch = VSwitch(folder)
    try:
        switch.start(dummy=dummy)
        yield switch
    finally:
        switch.stop()
