# SPDX-License-Identifier: Apache-2.0
"""The command: tells the story in a lab of its own, and deletes the lab."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from anyvisor.errors import AnyvisorError, TerminalError
from anyvisor.lab import down, rootless
from anyvisor.lab.demo import fleet
from anyvisor.lab.demo import xen as on_xen
from anyvisor.lab.demo.story import Story
from anyvisor.lab.place import Place


def _ending(story: Story) -> bool:
    broken = [words for true, words in story.findings if not true]
    seconds = time.monotonic() - story.begin
    good = len(story.findings) - len(broken)
    click.echo("")
    for words in broken:
        click.echo(click.style("BROKEN ", fg="red", bold=True) + words)
    colour = "red" if broken else "green"
    click.echo(
        click.style(f"{good} of {len(story.findings)} statements hold, {seconds:.0f} s in all", fg=colour)
    )
    return not broken


def _where_to_look(place: Place) -> None:
    click.echo(f"The lab stays up. Its files are in {place.folder}; a few things to try:")
    click.echo(f"  export ANYVISOR_DATABASE={place.database}")
    click.echo(f"  anyvisor explain {fleet.HOST}; anyvisor explain web4")
    click.echo(f"  anyvisor lab exec --name {place.name} web4 ip address      a look into a VM")
    click.echo(f"  anyvisor lab ping --name {place.name} web4 web5            a measured stream")
    click.echo(f"  anyvisor lab down --name {place.name}                      delete it all")


def _where_to_read() -> None:
    click.echo("Where to look:")
    click.echo("  make demo KEEP=1               the same, and the lab stays up to look into")
    click.echo("  make demo XEN=1                a real Xen host under emulation joins the fleet")
    click.echo("  anyvisor lab up; lab test      a lab of your own; docs/testing.md says how it is made")
    click.echo(
        "  docs/schemes/                  what each scheme does and costs; docs/critiques.md: what is weak"
    )
    click.echo("  docs/reference/                commands, site file, settings, databases")


def run(place: Place, *, keep: bool, xen: Path | None = None) -> bool:
    """Tell the story; True if every statement held. The lab is deleted unless `keep`. With `xen`, the folder that
    ``tools/xen.sh`` has filled, a Xen host joins.

    Raises:
        AnyvisorError: a step could not be carried out.
    """
    if place.folder.exists():
        click.echo(f"deleting the earlier lab {place.name!r}")
        down.down(place)
    story = Story(place=place)
    try:
        fleet.tell(story, with_xen=xen is not None)
        if xen is not None:
            on_xen.tell(story, xen)
        return _ending(story)
    finally:
        story.end()
        if keep and place.folder.exists():
            _where_to_look(place)
        else:
            down.down(place)
            click.echo("The lab is deleted.")
            _where_to_read()


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab up.")
@click.option("--name", default="demo", show_default=True, help="What to call the lab.")
@click.option(
    "--xen",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let a Xen host under emulation join, whose disk tools/xen.sh has made in this folder.",
)
def main(*, keep: bool, name: str, xen: Path | None) -> None:
    """Show the whole story in a lab of its own."""
    place = Place(name=name)
    alone = rootless.needed()
    try:
        if alone and xen is not None:
            raise TerminalError("an emulated host's cards are made by root", hint="make demo XEN=1")
        if alone:
            rootless.start(place)
        held = run(place, keep=keep, xen=xen)
    except AnyvisorError as error:
        click.echo(click.style("error: ", fg="red") + str(error), err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        held = False
    if alone and not place.folder.exists():
        rootless.end(place)
    sys.exit(0 if held else 1)
