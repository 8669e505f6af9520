# SPDX-License-Identifier: Apache-2.0
"""Programs that the lab runs: where they come from, how they are run, and what is said when one fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyvisor.errors import TerminalError

PATH = os.pathsep.join(
    dict.fromkeys(
        [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    )
)
"""The user's own path and the administrator's programs, which a plain user's path may lack."""

NEEDED = {
    "ip": "iproute2",
    "busybox": "busybox-static",
    "setsid": "util-linux",
    "ovsdb-server": "openvswitch-common",
    "ovsdb-tool": "openvswitch-common",
    "ovs-vsctl": "openvswitch-common",
    "ovs-ofctl": "openvswitch-common",
    "ovs-vswitchd": "openvswitch-switch",
    "ovn-nbctl": "ovn-common",
    "ovn-sbctl": "ovn-common",
    "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host",
}
"""Program to the package that has it on Debian and Ubuntu."""
FROM_THE_LAB_MACHINE = ("ip", "busybox", "setsid")

CHROOTED = """\
#!/bin/sh
# Runs a program of another system's folder, with this machine's devices, processes and lab folder visible there.
exec unshare --mount sh -c '
  for folder in dev proc sys run tmp; do mount --rbind "/$folder" "{root}/$folder"; done
  exec chroot "{root}" "$@"' sh "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where Open vSwitch's and OVN's programs come from: this machine, or the folder of another system.

    `prefix` goes before every command line.
    """

    root: Path | None = None
    prefix: tuple[str, ...] = ()

    def command(self, *argv: str) -> tuple[str, ...]:
        """The command line that runs the program from there."""
        return (*self.prefix, *argv)

    def missing(self) -> tuple[str, ...]:
        """Programs that are not there."""
        inside = str(self.root) if self.root else ""
        path = os.pathsep.join(inside + folder for folder in PATH.split(os.pathsep))
        return tuple(
            name
            for name in NEEDED
            if shutil.which(name, path=PATH if name in FROM_THE_LAB_MACHINE else path) is None
        )


def from_folder(root: Path, script: Path) -> Programs:
    """Programs of the system in `root`; `script` is written to run them there."""
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(CHROOTED.format(root=root), encoding="utf-8")
    script.chmod(0o755)
    return Programs(root=root, prefix=(str(script),))


def require(programs: Programs) -> None:
    """Say what to install, all of it at once.

    Raises:
        TerminalError: a program is missing.
    """
    missing = programs.missing()
    if missing:
        packages = " ".join(dict.fromkeys(NEEDED[name] for name in missing))
        where = f" in {programs.root}" if programs.root else ""
        raise TerminalError(
            f"not found{where}: {', '.join(missing)}",
            hint=f"on Debian and Ubuntu: apt-get install {packages} (`make setup` does it)",
        )


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with the administrator's programs in the path.

    Without settings of anyvisor: the user's are for his commands, the lab's agents have files of their own.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ANYVISOR_") or name.startswith("ANYVISOR_LAB_")
    }
    return {**inherited, "PATH": PATH, **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    given: str = "",
    extra: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        TerminalError: it failed or did not end; with its own words.
    """
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=environment(extra),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TerminalError(f"{_short(argv)}: {error}") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise TerminalError(f"{_short(argv)}: {said}")
    return done.stdout


def _short(argv: Iterable[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 100 else text[:97] + "…"
