# SPDX-License-Identifier: Apache-2.0
"""Keeps docs/reference/commands.md true: puts each command's own `--help` below its marker.

A marker is a line ``<!-- help: apply -->``; the fenced block after it is replaced. Run by `make docs`; with
``--check`` nothing is written and the exit status is 1 if something differs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from anyvisor.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"
BLOCK = re.compile(r"<!-- help:(?P<command>[a-z -]*) -->\n```text\n.*?```\n", re.DOTALL)


def help_of(command: str) -> str:
    """What ``anyvisor COMMAND --help`` prints on a terminal of 80 columns."""
    result = CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="anyvisor", terminal_width=80)
    if result.exit_code != 0:
        raise click.ClickException(f"anyvisor {command} --help failed: {result.output}")
    return "\n".join(line.rstrip() for line in result.output.splitlines())


def filled(page: str) -> str:
    """The page with every block as it should be."""

    def block(match: re.Match[str]) -> str:
        command = match["command"].strip()
        return f"<!-- help:{f' {command}' if command else ''} -->\n```text\n{help_of(command)}\n```\n"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    PAGE.write_text(after, encoding="utf-8")
