# SPDX-License-Identifier: Apache-2.0
"""Keeps pages true that show what the program prints: each command's own `--help`, and the table of schemes.

A marker is a line ``<!-- help: apply -->``; the fenced block after it is replaced. What stands between
``<!-- schemes -->`` and ``<!-- end -->`` is replaced by what `anyvisor schemes --markdown` prints. Run by `make docs`;
with ``--check`` nothing is written and the exit status is 1 if something differs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from anyvisor.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "docs" / "reference" / "commands.md",
    ROOT / "docs" / "schemes" / "index.md",
    ROOT / "README.md",
)
BLOCK = re.compile(r"<!-- help:(?P<command>[a-z -]*) -->\n```text\n.*?```\n", re.DOTALL)


TABLE = re.compile(r"<!-- schemes -->\n.*?<!-- end -->\n", re.DOTALL)


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

    return TABLE.sub(lambda _: f"<!-- schemes -->\n{table()}<!-- end -->\n", BLOCK.sub(block, page))


def table() -> str:
    """What ``anyvisor schemes --markdown`` prints."""
    return CliRunner().invoke(cli, ["schemes", "--markdown"], catch_exceptions=False).output


if __name__ == "__main__":
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    after = {page: filled(text) for page, text in texts.items()}
    if "--check" in sys.argv:
        sys.exit(texts != after)
    for page, text in after.items():
        page.write_text(text, encoding="utf-8")
