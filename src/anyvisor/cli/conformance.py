# SPDX-License-Identifier: Apache-2.0
"""`anyvisor lab conformance`: the same policy cases for every hypervisor and scheme of a lab of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from anyvisor.errors import Fault, InputError, TerminalError
from anyvisor.lab import rootless
from anyvisor.lab.conformance import xen as on_xen
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.page import page, page_of_xen
from anyvisor.lab.conformance.report import to_json, to_text
from anyvisor.lab.conformance.run import run
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.progress import on_standard_error
from anyvisor.lab.up import Options


@click.command("conformance")
@click.option("--name", default="conf", show_default=True, help="What to call the lab.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table into this file (docs/conformance.md), whatever came of it.",
)
@click.option(
    "--chroot",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take Open vSwitch and OVN from the system in this folder.",
)
@click.option(
    "--xen",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead on a Xen host under emulation, whose disk tools/xen.sh has made in this folder.",
)
def conformance(
    name: str, write: Path | None, chroot: Path | None, xen: Path | None, *, as_json: bool
) -> None:
    """Try the same policy cases on every hypervisor and scheme, with real packets.

    Builds a lab of its own, plans, applies, asks, and deletes the lab. What the policy wants and a scheme does not give
    must have been named by the plan; fails if anything was not as predicted.
    """
    place = Place(name=name)
    outcome = _run(place, chroot) if xen is None else _run_on_xen(place, xen, chroot)
    if write is not None:
        write.write_text(page(outcome) if xen is None else page_of_xen(outcome), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(to_json(outcome)))
    else:
        for line in to_text(outcome):
            click.echo(line)
    if outcome.mistakes:
        raise TerminalError(f"{len(outcome.mistakes)} of {outcome.tried} probes are not as predicted")


def _run_on_xen(place: Place, xen: Path, chroot: Path | None) -> Outcome:
    if chroot is not None:
        raise InputError([Fault("--chroot", "is not for a Xen host, which has a system of its own")])
    if os.geteuid() != 0:
        raise TerminalError("an emulated host's cards are made by root", hint="make conformance-xen")
    return on_xen.run(place, xen, on_standard_error())


def _run(place: Place, chroot: Path | None) -> Outcome:
    alone = rootless.needed()
    # Opened before this process enters the lab's namespaces, so that the vCenter is reached from outside of them.
    door = centre.open_door() if alone else None
    if alone:
        rootless.start(place)
    try:
        options = Options(chroot=chroot, keeper="user" if alone else None, door=door)
        return run(place, options, on_standard_error())
    finally:
        if alone:
            rootless.end(place)
