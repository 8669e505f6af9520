# SPDX-License-Identifier: Apache-2.0
"""Daemons of a lab: start scripts that may be run again, and processes that outlive the command that starts them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from anyvisor.errors import TerminalError
from anyvisor.lab import namespace, process
from anyvisor.lab.manifest import Process, Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import PATH, Programs, run

QUIET = ("--detach", "--no-chdir", "-vconsole:off", "-vsyslog:off")
"""Without these a daemon holds its starter's standard output, or changes folder under relative paths."""
MONITORED = "--monitor"
"""As the distributions' services start these daemons: one that crashes is started again, one that is killed is not."""

HEADER = """\
#!/bin/sh
# {what}. What runs already is left alone, so this may be run again.
set -e
cd {folder}
export PATH={path} OVS_RUNDIR={folder}/run OVN_RUNDIR={folder}/run OVS_LOGDIR={folder} OVN_LOGDIR={folder}
runs() {{ [ -f "run/$1.pid" ] && kill -0 "$(cat "run/$1.pid")" 2>/dev/null; }}
"""


def script(folder: Path, name: str, *, what: str, lines: Iterable[str]) -> Path:
    """Write a start script into a part's folder; its working folder is that one, sockets are under ``run/``."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    path = folder / name
    header = HEADER.format(what=what, folder=shlex.quote(str(folder)), path=shlex.quote(PATH))
    path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def start_line(
    programs: Programs, folder: Path, program: str, *arguments: str, name: str | None = None
) -> str:
    """The script line that starts one daemon of Open vSwitch or OVN unless it runs; its files are called `name`."""
    name = name or program
    standard = (*QUIET, MONITORED, f"--pidfile={folder}/run/{name}.pid", f"--log-file={folder}/{name}.log")
    return f"runs {name} || {shlex.join(programs.command(program, *standard, *arguments))}"


def stop_script(folder: Path, name: str, *, what: str, daemons: Iterable[str]) -> Path:
    """Write a script that ends daemons, in that order, and waits until they are gone."""
    end = 'kill "$(cat run/{0}.pid)"; while runs {0}; do sleep 0.05; done'
    return script(
        folder, name, what=what, lines=[f"if runs {one}; then {end.format(one)}; fi" for one in daemons]
    )


def start_by_script(place: Place, part: str, path: Path, names: Iterable[str], recorder: Recorder) -> None:
    """Run a start script in a part's namespace and record the daemons whose pid files it leaves."""
    run(namespace.command(place.namespace(part), [str(path)]), timeout_seconds=60)
    for name in names:
        record(part, name, place.part(part) / "run" / f"{name}.pid", recorder)


def record(part: str, what: str, pid_file: Path, recorder: Recorder) -> None:
    """Record a daemon that has written its pid."""
    recorder.process(_process(what, part, int(pid_file.read_text())))


def start_detached(
    place: Place,
    part: str,
    what: str,
    argv: Sequence[str],
    *,
    recorder: Recorder,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Start a program in a part's namespace that runs on by itself; its output goes to ``WHAT.log`` there.

    Raises:
        TerminalError: it could not be started.
    """
    folder = place.part(part)
    folder.mkdir(parents=True, exist_ok=True)
    pid_file, log = folder / f"{what}.pid", folder / f"{what}.log"
    pid_file.unlink(missing_ok=True)
    wrapped = 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"'
    start = [
        "setsid",
        "--fork",
        "sh",
        "-c",
        f"exec </dev/null >>{shlex.quote(str(log))} 2>&1; {wrapped}",
        str(pid_file),
    ]
    run([*start, *namespace.command(place.namespace(part), argv)], extra=extra)
    recorder.process(_process(what, part, _appeared(pid_file, log)))


def _appeared(pid_file: Path, log: Path) -> int:
    give_up = time.monotonic() + 10
    while not pid_file.exists():
        if time.monotonic() > give_up:
            raise TerminalError(f"{pid_file.stem} did not start", hint=f"see {log}")
        time.sleep(0.005)
    return int(pid_file.read_text())


def _process(what: str, part: str, pid: int) -> Process:
    return Process(what=what, part=part, pid=pid, start=process.start_time(pid) or 0)
