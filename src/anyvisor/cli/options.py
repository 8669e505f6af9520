# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from anyvisor import settings, wiring
from anyvisor.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def site_option(command: F) -> F:
    """``-f SITE``."""
    return click.option(
        "-f",
        "--file",
        "site_file",
        metavar="SITE",
        required=True,
        type=click.Path(path_type=Path),
        help="The site file: what exists and what is wanted.",
    )(command)


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(
        command
    )


def settings_of(context: click.Context) -> Settings:
    """What the file, the environment and the global flags say; ``ssl:`` remotes work from here on.

    Raises:
        InputError: with every mistake there is.
        TerminalError: a TLS file cannot be used.
    """
    given: dict[str, Any] = context.find_root().obj or {}
    loaded = settings.load(given.get("config"), given.get("flags", {}))
    wiring.secure(loaded)
    return loaded


def print_json(document: object) -> None:
    """One document on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
