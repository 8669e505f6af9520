# SPDX-License-Identifier: Apache-2.0
"""An ovsdb-server of our own, for installations that name no database, and the way from an older schema to ours.

The server is detached: it outlives the program that started it, as packets must need no anyvisor process.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.model.tls import TlsFiles
from anyvisor.ovsdb.handshake import fetch_schema
from anyvisor.ovsdb.schemas import SCHEMAS, schema_file, schema_version
from anyvisor.ovsdb.tls import in_use

log = logging.getLogger(__name__)

SOCKET = "db.sock"
_PIDFILE = "ovsdb-server.pid"
_CONTROL = "ovsdb-server.ctl"
_SOCKET_PATH_MAX = 107
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"])
_TIMEOUT_SECONDS = 30.0


def ensure_server(directory: Path, listen: Sequence[str] = (), tls: TlsFiles | None = None) -> str:
    """Have both databases served from `directory`; returns the remote (a unix socket). Repeating it is no error.

    Missing database files are created; those with an older schema are converted, in place or online. `listen` are
    further remotes (``ptcp:6640:192.0.2.1``, ``pssl:6640``), added to a server that runs already. A server takes `tls`
    at its start alone: for ``pssl:`` one that has others is started anew; its clients come back by themselves.

    Raises:
        TerminalError: ovsdb-server is not installed, a database was made by a newer anyvisor, or `tls` is missing.
        UnreachableError: the server does not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    remote = f"unix:{directory / SOCKET}"
    _check_length(directory / SOCKET)
    secured = any(each.startswith("pssl:") for each in listen)
    if secured and tls is None:
        raise TerminalError(
            "listen names pssl:, which needs TLS, and no private key is set",
            hint="set private_key, certificate and ca_certificate",
        )
    with _only_one(directory):
        if secured and _started_with(directory) != tls_arguments(tls):
            stop(directory)
        if running(directory):
            for database in SCHEMAS:
                upgrade(remote, database)
            for each in listen:
                _control(directory, "ovsdb-server/add-remote", each)
            return remote
        for database in SCHEMAS:
            _prepare(directory / f"{database.lower()}.db", database)
        _start(directory, listen, tls)
    return remote


def tls_arguments(tls: TlsFiles | None) -> list[str]:
    """As every program of Open vSwitch takes them; none without files."""
    if tls is None:
        return []
    named = (
        ("private-key", tls.private_key),
        ("certificate", tls.certificate),
        ("ca-cert", tls.ca_certificate),
    )
    return [f"--{option}={path}" for option, path in named]


def running(directory: Path) -> bool:
    """Whether the server of that directory answers."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        client.connect(str(directory / SOCKET))
        return True
    return False


def stop(directory: Path) -> None:
    """End the server of that directory, if it runs; returns when it has ended."""
    pid = _pid(directory)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while _pid(directory) is not None:
        if time.monotonic() > deadline:
            raise UnreachableError(f"ovsdb-server (process {pid}) does not end")
        time.sleep(0.01)


def upgrade(remote: str, database: str = "Anyvisor", timeout_seconds: float = _TIMEOUT_SECONDS) -> bool:
    """Convert a database that is being served to the schema of this version, data kept; False if it has it already.

    Works for standalone servers and clusters alike. Clients stay connected.

    Raises:
        TerminalError: the database was made by a newer anyvisor, or it cannot be converted.
        UnreachableError: nobody answers at `remote`.
    """
    there = str(fetch_schema(remote, database, timeout_seconds).get("version", "0.0.0"))
    if not _older(database, there, f"{remote}: {database}"):
        return False
    with schema_file(database) as path:
        options = [f"--timeout={timeout_seconds:.0f}", *tls_arguments(in_use())]
        _run("ovsdb-client", *options, "convert", remote, str(path))
    log.info("%s: converted %s from schema %s to %s", remote, database, there, schema_version(database))
    return True


# --- database files -------------------------------------------------------------------------------------------------


def _prepare(file: Path, database: str) -> None:
    with schema_file(database) as schema:
        if not file.exists():
            _run("ovsdb-tool", "create", str(file), str(schema))
            return
        there = _run("ovsdb-tool", "db-version", str(file)).strip()
        if _older(database, there, str(file)):
            _run("ovsdb-tool", "convert", str(file), str(schema))
            log.info("%s: converted from schema %s to %s", file, there, schema_version(database))


def _older(database: str, there: str, where: str) -> bool:
    ours = schema_version(database)
    if _numbers(there) > _numbers(ours):
        raise TerminalError(
            f"{where} has schema {there}; this anyvisor knows {ours}",
            hint="use the anyvisor that wrote it, or a newer one",
        )
    return _numbers(there) < _numbers(ours)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


# --- the process ----------------------------------------------------------------------------------------------------


def _start(directory: Path, listen: Sequence[str], tls: TlsFiles | None) -> None:
    remotes = [f"--remote=punix:{directory / SOCKET}", *(f"--remote={each}" for each in listen)]
    databases = [str(directory / f"{database.lower()}.db") for database in SCHEMAS]
    _run(
        "ovsdb-server",
        "--detach",
        "--no-chdir",
        "-vconsole:off",
        f"--pidfile={directory / _PIDFILE}",
        f"--log-file={directory / 'ovsdb-server.log'}",
        f"--unixctl={directory / _CONTROL}",
        *tls_arguments(tls),
        *remotes,
        *databases,
        detached=True,
    )
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not running(directory):
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"ovsdb-server in {directory} does not answer", hint=f"see {directory / 'ovsdb-server.log'}"
            )
        time.sleep(0.01)
    log.info("started ovsdb-server in %s", directory)


def _pid(directory: Path) -> int | None:
    """The process id of the running server: ovsdb-server keeps its pid file locked as long as it lives."""
    with contextlib.suppress(OSError, ValueError), (directory / _PIDFILE).open("rb+") as pidfile:
        try:
            fcntl.lockf(pidfile, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return int(pidfile.read())
    return None


def _started_with(directory: Path) -> list[str]:
    """The TLS arguments of the running server; none where none runs."""
    pid = _pid(directory)
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes() if pid is not None else b""
    except OSError:  # it has ended
        return []
    words = [os.fsdecode(word) for word in line.split(b"\0")]
    return [word for word in words if word.startswith(("--private-key=", "--certificate=", "--ca-cert="))]


def _control(directory: Path, *command: str) -> None:
    _run("ovs-appctl", "--timeout=10", "-t", str(directory / _CONTROL), *command)


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Two programs that start at once must not both start a server."""
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        raise TerminalError(
            f"{path} is too long for a unix socket ({_SOCKET_PATH_MAX} bytes at most)",
            hint="choose another state_dir",
        )


def _run(name: str, *arguments: str, detached: bool = False) -> str:
    program = shutil.which(name, path=_SEARCH)
    if program is None:
        raise TerminalError(
            f"{name} is not installed",
            hint="install Open vSwitch (Debian: openvswitch-switch or openvswitch-common), or name a database with "
            "--database",
        )
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            start_new_session=detached,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"{name} {arguments[0]} took longer than {_TIMEOUT_SECONDS:g} s") from error
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise TerminalError(f"{name}: {complaint[-1] if complaint else f'exit status {done.returncode}'}")
    return done.stdout
