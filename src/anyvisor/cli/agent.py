# SPDX-License-Identifier: Apache-2.0
"""`anyvisor agent`: the switch agent on a chassis."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from anyvisor.agent import installation, installing
from anyvisor.agent import settings as agent_settings
from anyvisor.agent.run import run
from anyvisor.errors import TerminalError


@click.command("agent")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file  [default: /etc/anyvisor/anyvisor.toml]"
)
@click.option("--host", metavar="NAME", help="This host's name in the site  [default: the host name]")
@click.option("--database", metavar="REMOTE", help="The Anyvisor database.")
@click.option("--ovs", metavar="REMOTE", help="The OVSDB of the local Open vSwitch.")
@click.option(
    "--install", is_flag=True, help="Make it a service of this machine instead (root), with what it needs."
)
@click.option(
    "--driver-domain",
    is_flag=True,
    help="With --install: this machine is the host's network driver domain (Xen).",
)
@click.option("--dry-run", is_flag=True, help="With --install: print the steps, do nothing.")
@click.pass_context
def agent(
    context: click.Context,
    config: Path | None,
    host: str | None,
    database: str | None,
    ovs: str | None,
    *,
    install: bool,
    driver_domain: bool,
    dry_run: bool,
) -> None:
    """Run the switch agent of this host in the foreground until SIGTERM or Ctrl-C.

    It plugs the vNICs of this host into the switch, converts the host when the plan says so, and reports counters.
    """
    given = context.find_root().obj or {}
    if install:
        database = database or given.get("flags", {}).get("database")
        _install(installing.wish(host, database, driver_domain=driver_domain), dry_run=dry_run)
        return
    if not given.get("verbose"):
        logging.getLogger().setLevel(logging.INFO)
    flags = {**given.get("flags", {}), "host": host, "ovs": ovs}
    if database is not None:
        flags["database"] = database
    run(agent_settings.load(config or given.get("config"), flags))


def _install(wish: installation.Wish, *, dry_run: bool) -> None:
    if not dry_run and os.geteuid() != 0:
        raise TerminalError("a service is made by root", hint="--dry-run prints the steps")
    ground = installing.look()
    steps = installation.planned(ground, wish)
    for step in steps:
        click.echo(installation.describe(step))
        if not dry_run:
            installing.carry_out(step)
    for remark in installation.remarks(ground, wish):
        click.echo(remark)
