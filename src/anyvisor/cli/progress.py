# SPDX-License-Identifier: Apache-2.0
"""What goes on, on standard error: one line that renews itself on a terminal, a line per change elsewhere."""

from __future__ import annotations

import sys
import time

import click

_QUIET_SECONDS = 2.0
"""What is over sooner needs no progress."""


class Progress:
    """Tells how far something is. Silent for the first two seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    @property
    def elapsed_seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Where things stand now; the same text again prints nothing."""
        if self.elapsed_seconds < _QUIET_SECONDS or text == self._shown:
            return
        self._shown = text
        stamp = f"[{self.elapsed_seconds:5.1f} s] "
        if self._terminal:
            click.echo(f"\r\x1b[2K{stamp}{text}", nl=False, err=True)
        else:
            click.echo(f"{stamp}{text}", err=True)

    def end(self) -> None:
        """Leave the line to what comes next."""
        if self._terminal and self._shown:
            click.echo("\r\x1b[2K", nl=False, err=True)
        self._shown = ""
