# SPDX-License-Identifier: Apache-2.0
"""The program that plays vCenter: where it is, and starting it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anyvisor.errors import TerminalError
from anyvisor.lab.vcenter.client import Control

NAME = "anyvisor-vcenter"
HINT = "`make setup` builds it (tools/vcenter.sh)"


def find() -> Path:
    """The program: what ANYVISOR_VCENTER names, else what lies beside this Python.

    Raises:
        TerminalError: it is not there.
    """
    given = os.environ.get("ANYVISOR_VCENTER")
    path = Path(given) if given else Path(sys.executable).parent / NAME
    if not os.access(path, os.X_OK):
        raise TerminalError(f"the lab's vCenter is not there: {path}", hint=HINT)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a vCenter keeps its files. The same place again is the same vCenter, restarted."""

    folder: Path
    listen: str = "127.0.0.1:0"
    user: str = ""
    password_variable: str = ""  # name of the environment variable

    @property
    def control(self) -> Path:
        """Its control socket."""
        return self.folder / "control"

    @property
    def certificate(self) -> Path:
        """What clients verify it with."""
        return self.folder / "control.pem"

    @property
    def inventory(self) -> Path:
        """Its inventory."""
        return self.folder / "inventory.json"

    @property
    def log(self) -> Path:
        """What it says of itself."""
        return self.folder / "vcenter.log"


def command(place: Place) -> tuple[str, ...]:
    """The command line."""
    account = ("--user", place.user, "--password-env", place.password_variable) if place.user else ()
    return (
        str(find()),
        *("--listen", place.listen),
        *("--inventory", str(place.inventory)),
        *("--control", str(place.control)),
        *("--state", str(place.folder / "state")),
        *account,
    )


class Running:
    """A vCenter that runs as a child of this process. Leaving the `with` block ends it."""

    def __init__(self, place: Place, child: subprocess.Popen[bytes], url: str) -> None:
        self.place = place
        self.child = child
        self.url = url
        self.control = Control(place.control)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, kindly first."""
        self.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(10)
        _end(self.child)

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        _end(self.child)


def start(
    place: Place, inventory: Mapping[str, Any] | None = None, *, patience_seconds: float = 30.0
) -> Running:
    """Start a vCenter and return when it answers. Without an inventory it has the one it had before.

    Raises:
        TerminalError: the program is not there, or it does not begin; with its own words.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    if inventory is not None:
        place.inventory.write_text(json.dumps(inventory), encoding="utf-8")
    with place.log.open("ab") as log:
        child = subprocess.Popen(command(place), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
    line = _first_line(child, patience_seconds)
    if not line:
        _end(child)
        words = place.log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise TerminalError(f"the lab's vCenter does not begin: {' '.join(words)}", hint=f"see {place.log}")
    return Running(place, child, json.loads(line)["url"])


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _first_line(child: subprocess.Popen[bytes], patience_seconds: float) -> bytes:
    deadline = time.monotonic() + patience_seconds
    stream = child.stdout
    if stream is None:
        return b""
    ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
    return stream.readline() if ready else b""
