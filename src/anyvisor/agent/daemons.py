# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping the host's Open vSwitch and ovn-controller by the commands in the settings."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from anyvisor.agent.settings import AgentSettings
from anyvisor.errors import AnyvisorError, TerminalError

if TYPE_CHECKING:
    from anyvisor.contracts.host import Daemons

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 60.0
_LAST_BYTES = 2000


class CommandDaemons:
    """Runs the commands; each ends by itself once the daemon is up or down."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    def missing(self) -> tuple[str, ...]:
        """Commands that this host does not have."""
        commands = {
            "start_openvswitch": self._settings.start_openvswitch,
            "start_ovn_controller": self._settings.start_ovn_controller,
        }
        return tuple(
            f"the setting {name} names {command[0] if command else 'nothing'}, which cannot be run"
            for name, command in commands.items()
            if not command or shutil.which(command[0]) is None
        )

    def start_switch(self) -> None:
        """Start Open vSwitch."""
        _run(self._settings.start_openvswitch)

    def stop_switch(self) -> None:
        """Stop it, if the settings say how."""
        _try(self._settings.stop_openvswitch)

    def start_controller(self) -> None:
        """Start ovn-controller."""
        _run(self._settings.start_ovn_controller)

    def stop_controller(self) -> None:
        """Stop it, if the settings say how."""
        _try(self._settings.stop_ovn_controller)


def _run(command: Sequence[str]) -> None:
    if not command:
        raise TerminalError("no command is set")
    # A daemon that keeps its starter's output open must not hold us: what was said goes into a file, not a pipe.
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{' '.join(command)} did not end within {_TIMEOUT_SECONDS:g} s"
            raise TerminalError(message + _last_words(said)) from error
        except OSError as error:
            raise TerminalError(f"{' '.join(command)}: {error.strerror}") from error
        if done.returncode:
            message = f"{' '.join(command)} ended with status {done.returncode}"
            raise TerminalError(message + _last_words(said))


def _last_words(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def _try(command: Sequence[str]) -> None:
    """A daemon that stays up unused does no harm, so this is no reason to stop an undo."""
    if not command:
        return
    try:
        _run(command)
    except AnyvisorError as error:
        log.warning("%s", error)


if TYPE_CHECKING:
    _conforms: type[Daemons] = CommandDaemons
