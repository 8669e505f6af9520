# SPDX-License-Identifier: Apache-2.0
"""`anyvisor serve`: the daemon."""

from __future__ import annotations

import logging

import click

from anyvisor.cli.options import settings_of
from anyvisor.daemon.serve import Daemon


@click.command("serve")
@click.pass_context
def serve(context: click.Context) -> None:
    """Run anyvisord in the foreground until SIGTERM or Ctrl-C.

    Several may run: one is active, the others wait on a lock of the database and take over when it dies.
    """
    if not context.find_root().obj.get("verbose"):
        logging.getLogger().setLevel(logging.INFO)
    Daemon(settings_of(context)).run()
