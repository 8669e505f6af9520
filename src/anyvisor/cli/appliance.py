# SPDX-License-Identifier: Apache-2.0
"""`anyvisor appliance`: what an appliance is given at its first boot, for those who make appliances themselves."""

from __future__ import annotations

from pathlib import Path

import click

from anyvisor.cli.options import site_option
from anyvisor.codec.site import load_site
from anyvisor.codec.user_data import appliance_user_data
from anyvisor.errors import Fault, InputError, TerminalError
from anyvisor.model.names import HostName


@click.command("appliance")
@site_option
@click.argument("host")
def appliance(site_file: Path, host: str) -> None:
    """Print the cloud-init user-data of the appliance of HOST.

    With `policy.appliance` in the site file `apply` makes appliances by itself, from the template named there. This is
    for those who make them by hand, or want to read what they would be given.
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
    click.echo(appliance_user_data(site.hosts[HostName(host)], site.policy.appliance), nl=False)
