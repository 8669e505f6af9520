# SPDX-License-Identifier: Apache-2.0
"""`anyvisor plan`: which scheme each host gets and why; the steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from anyvisor import wiring
from anyvisor.cli.options import json_option, print_json, settings_of, site_option
from anyvisor.cli.plan_text import plan_lines, rights_lines
from anyvisor.cli.table import note
from anyvisor.codec.site import load_site
from anyvisor.errors import UnreachableError
from anyvisor.model.names import SwitchName
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.planner import paper

DIFFERENCES = 3
ON_PAPER = "on paper"


@click.command("plan")
@site_option
@json_option
@click.option("--check", is_flag=True, help="Exit with 3 if anything would change.")
@click.option("--paper", "on_paper", is_flag=True, help="Ask no database: plan as if nothing were there yet.")
@click.option("--why", is_flag=True, help="Also say, for each host, why no other scheme was taken.")
@click.pass_context
def plan(
    context: click.Context, site_file: Path, *, as_json: bool, check: bool, on_paper: bool, why: bool
) -> None:
    """Which scheme each host gets and why; the steps.

    Changes nothing. Without a database the file alone is the truth: a fleet can be planned on paper.
    """
    site = load_site(site_file)
    state, source = (State(), ON_PAPER) if on_paper else _known(context, site)
    inner: Mapping[SwitchName, str] | None = None
    if not on_paper and (source != ON_PAPER or names_strangers(site)):
        site, inner = complete(site, state)
    planned = paper.plan(site, state, now_seconds=int(time.time()), inner=inner)
    if as_json:
        print_json(paper.to_json(planned))
    else:
        for line in plan_lines(planned, site, source=source, why=why):
            click.echo(line)
    if check and planned.change_count:
        sys.exit(DIFFERENCES)


def names_strangers(site: Site) -> bool:
    """Whether some port is on a host that the file does not name, so that a manager must be asked."""
    return any(port.host is not None and port.host not in site.hosts for port in site.ports.values())


def complete(site: Site, state: State) -> tuple[Site, Mapping[SwitchName, str]]:
    """The site with the hosts that its managers report, and the versions of inner switches that exist.

    A manager that cannot be asked is named: its last word counts. Of the others, rights that are missing are named.
    """
    whole, asked = wiring.complete(site, state)
    for manager, error in asked.silent.items():
        click.echo(note(f"{manager} was not asked for its hosts: ") + str(error), err=True)
    for manager, missing in asked.lacking.items():
        for line in rights_lines(missing):
            click.echo(f"{manager}: {line}", err=True)
    return whole, asked.inner


def _known(context: click.Context, _site: Site) -> tuple[State, str]:
    settings = settings_of(context)
    if not wiring.database_exists(settings):
        return State(), ON_PAPER
    try:
        with wiring.open_store(settings) as store:
            return store.snapshot(), f"against {wiring.database_of(settings)}"
    except UnreachableError:
        if settings.database:
            raise
        return State(), ON_PAPER
