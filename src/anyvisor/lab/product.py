# SPDX-License-Identifier: Apache-2.0
"""The product's own commands, run against a lab as its operator would: from outside of it, by its databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyvisor.errors import TerminalError
from anyvisor.lab.place import Place


class Product:
    """Commands against one lab."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def run(self, *arguments: str, quiet: bool = False) -> None:
        """Run a command; what it prints is seen unless `quiet`, where it is told if the command fails.

        Raises:
            TerminalError: it failed.
        """
        output = subprocess.PIPE if quiet else None
        done = subprocess.run(
            self._argv(*arguments), env=self._environment(), stdout=output, stderr=output, check=False
        )
        if done.returncode != 0:
            said = b"\n".join(filter(None, (done.stdout, done.stderr))).decode(errors="replace")
            hint = said[-2000:]
            raise TerminalError(f"`anyvisor {arguments[0]}` ended with status {done.returncode}", hint=hint)

    def json(self, *arguments: str) -> Any:
        """The document that a command prints.

        Raises:
            TerminalError: it failed.
        """
        argv = self._argv(*arguments, "--json")
        done = subprocess.run(argv, env=self._environment(), stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise TerminalError(f"`anyvisor {arguments[0]}` ended with status {done.returncode}")
        return json.loads(done.stdout)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start anyvisord, as it would run on a machine of its own; the caller ends it."""
        with (self._place.folder / "anyvisord.log").open("wb") as log:
            return subprocess.Popen(self._argv("serve"), env=self._environment(), stderr=log)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A daemon for as long as the context lasts."""
        daemon = self.serve()
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait()

    @staticmethod
    def _argv(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "anyvisor", *arguments]

    def _environment(self) -> dict[str, str]:
        sys.stdout.flush()
        return {**os.environ, "ANYVISOR_DATABASE": self._place.database}
