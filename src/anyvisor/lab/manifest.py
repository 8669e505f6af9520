# SPDX-License-Identifier: Apache-2.0
"""The list of what a lab made, written before it is made, so that it can be deleted exactly, also after a crash."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyvisor.errors import RetryableError, TerminalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A daemon that the lab started. `start` is the kernel's start time, so that a reused pid is not taken for it."""

    what: str
    part: str
    pid: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands in the file. `complete` is True once the lab was up."""

    topology: str = ""
    keeper: str | None = None
    """The mark of the lab's user namespace, None where root made the lab."""
    namespaces: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False


def read(path: Path) -> Manifest:
    """What was recorded. A line that a crash cut off was never acted upon and is passed over.

    Raises:
        TerminalError: there is no such file, so the folder is not a lab's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        message = f"{path.parent} holds no lab: it has no manifest"
        raise TerminalError(message, hint="look at it and delete it yourself if it is not needed") from error
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return _folded(entries)


def _folded(entries: list[dict[str, Any]]) -> Manifest:
    first = next((entry for entry in entries if entry["kind"] == "lab"), {})
    processes = {
        (entry["part"], entry["what"]): Process(
            what=entry["what"], part=entry["part"], pid=entry["pid"], start=entry["start"]
        )
        for entry in entries
        if entry["kind"] == "process"
    }
    return Manifest(
        topology=first.get("topology", ""),
        keeper=first.get("keeper"),
        options=first.get("options", {}),
        namespaces=tuple(dict.fromkeys(entry["name"] for entry in entries if entry["kind"] == "namespace")),
        processes=tuple(processes.values()),
        complete=any(entry["kind"] == "complete" for entry in entries),
    )


class Recorder:
    """Appends to the file. Safe from several threads: each record is one write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lab(self, *, topology: str, keeper: str | None, options: Mapping[str, str]) -> None:
        """The first record."""
        self._write({"kind": "lab", "topology": topology, "keeper": keeper, "options": dict(options)})

    def namespace(self, name: str) -> None:
        """To be called before the namespace is made; whatever runs in it is found through it."""
        self._write({"kind": "namespace", "name": name})

    def process(self, process: Process) -> None:
        """For `status` and for restarts; deletion does not need it."""
        self._write(
            {
                "kind": "process",
                "what": process.what,
                "part": process.part,
                "pid": process.pid,
                "start": process.start,
            }
        )

    def complete(self) -> None:
        """The lab is up."""
        self._write({"kind": "complete"})

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, sort_keys=True).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


@contextmanager
def locked(folder: Path, *, timeout_seconds: float = 10.0) -> Iterator[None]:
    """Hold the lab's folder, so that no two commands change one lab at once. A killed holder lets go by itself.

    Raises:
        RetryableError: another command still holds it after the time-out.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        give_up = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    message = f"another command is at work on the lab in {folder}"
                    raise RetryableError(message, hint="wait for it or stop it, then try again") from error
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
