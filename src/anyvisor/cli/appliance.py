# SPDX-License-Identifier: Apache-2.0
"""`anyvisor appliance`: what an appliance is given at its first boot, for those who make appliances themselves."""

from __future__ import annotations

from pathlib import Path

import click

from anyvisor import wiring
from anyvisor.cli.options import settings_of, site_option
from anyvisor.codec.appliance_network import appliance_metadata
from anyvisor.codec.site import load_site
from anyvisor.codec.user_data import appliance_user_data, vm_name
from anyvisor.errors import Fault, InputError, TerminalError
from anyvisor.model.names import HostName
from anyvisor.planner.seats import FIRST


@click.command("appliance")
@site_option
@click.argument("host")
@click.option("--number", default=FIRST, show_default=True, help="Which appliance of the host.")
@click.option("--metadata", is_flag=True, help="Print cloud-init's metadata instead: the names of the cards.")
@click.pass_context
def appliance(context: click.Context, site_file: Path, host: str, number: int, *, metadata: bool) -> None:
    """Print the cloud-init user-data of an appliance of HOST.

    With `policy.appliance` in the site file `apply` makes appliances by itself, from the template named there. This is
    for those who make them by hand, or want to read what they would be given. Both documents are needed
    (guestinfo.userdata, guestinfo.metadata), and the VM's cards need the MAC addresses named there.
    """
    site = load_site(site_file)
    if HostName(host) not in site.hosts:
        raise InputError(
            [Fault("HOST", f"{host!r} is not in the site file; there are: {', '.join(site.hosts)}")]
        )
    if site.policy.appliance is None:
        raise TerminalError(
            "the site file does not say how appliances are made",
            hint="add `policy: {appliance: {template: …, management: …, tunnel: …, database: …}}`",
        )
    owner = _owner(context)
    named = site.hosts[HostName(host)]
    if metadata:
        click.echo(appliance_metadata(owner, named.name, number, vm_name(named, number)), nl=False)
    else:
        southbound = site.controller.for_chassis if site.controller is not None else ""
        text = appliance_user_data(named, site.policy.appliance, number, owner=owner, southbound=southbound)
        click.echo(text, nl=False)


def _owner(context: click.Context) -> str:
    """Of the database, if there is one: then the text is the one that anyvisord would give."""
    settings = settings_of(context)
    if not wiring.database_exists(settings):
        return ""
    with wiring.open_store(settings) as store:
        return store.snapshot().owner
