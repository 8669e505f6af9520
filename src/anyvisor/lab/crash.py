# SPDX-License-Identifier: Apache-2.0
"""Daemons of a lab that die of a fault of their own: their monitors start them again and write it into the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anyvisor.lab.place import Place

DIED = re.compile(r"\|\d+ crashes: pid (?P<pid>\d+) died, (?P<how>.+), (?:restarting|waiting until .*)$")
"""What the monitor of an Open vSwitch or OVN daemon (``--monitor``, ovs-vswitchd(8)) logs; where it waits between two
crashes, it logs the second twice."""


@dataclass(frozen=True, slots=True, order=True)
class Crash:
    """A daemon of a part that died and was started again. `how`: the monitor's words, as ``killed (Aborted)``."""

    part: str
    daemon: str
    how: str

    def __str__(self) -> str:
        return f"{self.daemon} of {self.part} died ({self.how})"


class CrashWatch:
    """Hears of crashes since it was made; reads only what was logged since it last looked."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._read: dict[Path, int] = {}
        self._told: set[tuple[Path, int]] = set()
        self.new()

    def new(self) -> tuple[Crash, ...]:
        """The crashes since the last call."""
        found = {
            (path, pid): Crash(path.parent.name, path.stem, how)
            for path, text in sorted(self._written().items())
            for pid, how in crashes_in(text).items()
        }
        new = tuple(crash for key, crash in found.items() if key not in self._told)
        self._told |= found.keys()
        return new

    def _written(self) -> Mapping[Path, str]:
        return {path: text for path in self._logs() if (text := self._rest(path))}

    def _rest(self, path: Path) -> str:
        """Whole lines alone: the end of one that is being written belongs to the next look."""
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                text, _, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return ""
        if text:
            self._read[path] = self._read.get(path, 0) + len(text) + 1
        return text.decode(errors="replace")

    def _logs(self) -> tuple[Path, ...]:
        return tuple(self._folder.glob("*/ov[ns]*.log"))


def crashes_in(log: str) -> Mapping[int, str]:
    """The processes of the daemon that died, by pid, and how, as its monitor says in this part of its log."""
    found = (DIED.search(line) for line in log.splitlines())
    return {int(one["pid"]): one["how"] for one in found if one is not None}
