# SPDX-License-Identifier: Apache-2.0
"""`anyvisor explain`: why this scheme, why not the others; what is enforced, seen, escaped."""

from __future__ import annotations

import time
from pathlib import Path

import click

from anyvisor import wiring
from anyvisor.cli.options import json_option, print_json, settings_of
from anyvisor.codec.site import load_site
from anyvisor.errors import Fault, InputError
from anyvisor.model.names import HostName, PortName
from anyvisor.model.state import State
from anyvisor.planner import paper
from anyvisor.planner.capacity import capacity_of
from anyvisor.planner.explain import explain_host, explain_port
from anyvisor.planner.placement import site_in_place


@click.command("explain")
@click.argument("name", metavar="HOST|PORT")
@json_option
@click.option(
    "-f",
    "--file",
    "site_file",
    metavar="SITE",
    type=click.Path(path_type=Path),
    help="Explain a site file on paper.",
)
@click.pass_context
def explain(context: click.Context, name: str, *, as_json: bool, site_file: Path | None) -> None:
    """Why a host has its scheme and no other; what is enforced, seen and escaped on a port."""
    if site_file is not None:
        site, state = load_site(site_file), State()
    else:
        with wiring.open_store(settings_of(context)) as store:
            state = store.snapshot()
        site = site_in_place(state)
    if HostName(name) in site.hosts:
        planned = paper.plan(site, state, now_seconds=int(time.time()))
        found = next(host for host in planned.hosts if host.host == name)
        explained = explain_host(
            found, state, capacity_of(site.hosts[HostName(name)], state.owner, planned.capacities)
        )
        print_json(explained.to_json()) if as_json else _echo(explained.lines())
    elif PortName(name) in site.ports:
        schemes = {host: choice.scheme for host, choice in paper.choices(site, state).items()}
        schemes.update(
            {host: known.carried for host, known in state.hosts.items() if known.carried is not None}
        )
        port = explain_port(site, state, PortName(name), schemes)
        print_json(port.to_json()) if as_json else _echo(port.lines())
    else:
        near = [known for known in (*site.hosts, *site.ports) if name.lower() in known.lower()][:5]
        raise InputError(
            [Fault(name, "is neither a host nor a port" + (f"; near: {', '.join(near)}" if near else ""))]
        )


def _echo(lines: tuple[str, ...]) -> None:
    for line in lines:
        click.echo(line)
