# SPDX-License-Identifier: Apache-2.0
"""Programs that a sandbox runs: started in the foreground, known by their process id, ended for certain."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

SOCKET_PATH_MAX = 107  # sun_path holds 108 bytes with its closing zero
PROGRAMS = (
    "ovsdb-server",
    "ovsdb-tool",
    "ovsdb-client",
    "ovs-vswitchd",
    "ovn-northd",
    "ovn-controller",
    "ovn-nbctl",
)
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"])


def program(name: str) -> str:
    """Its path, also where the directory of system programs is not searched by default."""
    found = shutil.which(name, path=_SEARCH)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def missing_programs() -> tuple[str, ...]:
    """Which of the programs that a sandbox needs are not installed."""
    return tuple(name for name in PROGRAMS if shutil.which(name, path=_SEARCH) is None)


def wait_until(holds: Callable[[], bool], what: str, timeout_seconds: float = 20.0) -> None:
    """Look every few milliseconds; AssertionError after the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s still not: {what}")
        time.sleep(0.005)


def run(*argv: str, env: Mapping[str, str] | None = None, timeout_seconds: float = 30.0) -> str:
    """Run a program to its end and return what it printed; CalledProcessError with its complaint if it fails."""
    done = subprocess.run(
        [program(argv[0]), *argv[1:]],
        env=None if env is None else {**os.environ, **env},
        timeout=timeout_seconds,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Scratch:
    """A temporary directory with a path so short that sockets fit in it. Removed when closed."""

    def __init__(self) -> None:
        shortest = min([Path("/tmp"), Path(tempfile.gettempdir())], key=lambda path: len(str(path)))
        self.path = Path(tempfile.mkdtemp(prefix="av-", dir=shortest))

    def close(self) -> None:
        """Remove it with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


class Daemon:
    """One program that keeps running. `ready` is a socket that it answers on once it works."""

    def __init__(
        self, argv: Sequence[str], *, ready: Path | None, env: Mapping[str, str] | None = None, log: Path
    ) -> None:
        self._argv = [program(argv[0]), *argv[1:]]
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until it has ended, in whatever way."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        assert not self.running, f"{self._argv[0]} runs already"
        if self._ready is not None:
            assert len(str(self._ready)) <= SOCKET_PATH_MAX, f"too long for a socket: {self._ready}"
            self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        atexit.register(self.kill)
        if self._ready is not None:
            wait_until(self._answers, f"{self._argv[0]} answers on {self._ready}")
        return self

    def _answers(self) -> bool:
        if not self.running:
            raise AssertionError(f"{self._argv[0]} ended: {self._log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._ready))
            return True
        return False

    def stop(self) -> None:
        """Ask it to end (SIGTERM); force it after five seconds."""
        if self.running and self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()

    def kill(self) -> None:
        """Kill it (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            atexit.unregister(self.kill)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()


def database_server(
    directory: Path, name: str, databases: Sequence[Path], *remotes: str, options: Sequence[str] = ()
) -> Daemon:
    """An ovsdb-server on ``NAME.sock`` in `directory` and on further `remotes` (``ptcp:…``)."""
    listen = [f"--remote={remote}" for remote in (f"punix:{directory / name}.sock", *remotes)]
    return Daemon(
        [
            "ovsdb-server",
            "--no-chdir",
            "-vconsole:warn",
            *listen,
            f"--unixctl={directory / name}.ctl",
            *options,
            *map(str, databases),
        ],
        ready=directory / f"{name}.sock",
        env={"OVS_RUNDIR": str(directory)},
        log=directory / f"{name}.log",
    )
