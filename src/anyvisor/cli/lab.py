# SPDX-License-Identifier: Apache-2.0
"""`anyvisor lab`: a data centre on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from anyvisor.cli.conformance import conformance
from anyvisor.errors import Fault, InputError, TerminalError
from anyvisor.lab import bench as lab_bench
from anyvisor.lab import down as lab_down
from anyvisor.lab import namespace, outage, programs, rootless, session, topology_file
from anyvisor.lab import report as lab_report
from anyvisor.lab import status as lab_status
from anyvisor.lab import up as lab_up
from anyvisor.lab.demo.command import main as demo
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import DEFAULT_NAME, Place
from anyvisor.lab.progress import on_standard_error

Command = Callable[..., Any]


def _name(command: Command) -> Command:
    return click.option(
        "--name", default=DEFAULT_NAME, show_default=True, help="Which lab; several may run."
    )(command)


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(
        command
    )


@click.group("lab")
def lab() -> None:
    """A data centre on this machine, made of real parts: hosts, switches, OVN, virtual machines.

    Everything is inside network namespaces; the machine's own network is not touched. Root is not needed where user
    namespaces are allowed.
    """


@lab.command("up")
@click.argument("topology", default=topology_file.DEFAULT)
@_name
@_json
@click.option(
    "--chroot",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take Open vSwitch and OVN from the system in this folder.",
)
@click.option("--agents/--no-agents", default=True, help="Start an agent on each host.")
def up(topology: str, name: str, chroot: Path | None, *, as_json: bool, agents: bool) -> None:
    """Build the lab of TOPOLOGY: a name (kvm) or a file."""
    place = Place(name=name)
    wanted = topology_file.load(topology)
    alone = rootless.needed()
    # Opened before this process enters the lab's namespaces, so that the vCenter is reached from outside of them.
    door = centre.open_door() if alone and wanted.esxi_hosts else None
    if alone:
        rootless.start(place)
    try:
        options = lab_up.Options(chroot=chroot, agents=agents, keeper="user" if alone else None, door=door)
        lab_up.up(place, wanted, options, on_standard_error())
    except BaseException:
        if alone:
            rootless.end(place)
        raise
    if as_json:
        click.echo(json.dumps(lab_status.status(place)))
    else:
        _what_next(place, wanted.variants)


def _what_next(place: Place, variants: Any) -> None:
    click.echo(f"The lab {place.name} is up. Its site file: {place.site()}")
    for variant in variants:
        click.echo(f"  a variant of it: {place.site(variant)}")
    click.echo("Next:")
    click.echo(f"  export ANYVISOR_DATABASE={place.database}")
    click.echo(f"  anyvisor apply -f {place.site()}")
    click.echo(f"  anyvisor lab test --name {place.name}")


def _inside(name: str) -> Place:
    """The lab, with this process where its namespaces are."""
    place = Place(name=name)
    if rootless.needed() and place.folder.exists():
        rootless.enter(place)
    return place


@lab.command("test")
@_name
@_json
def test(name: str, *, as_json: bool) -> None:
    """Check every pair of VMs against the policy, with real packets.

    TCP, UDP and ICMP over IPv4 and IPv6, allowed and forbidden; leases, floating addresses, forged senders. What is
    known to escape or not to be enforced is expected to pass, and marked.
    """
    place = _inside(name)
    report = session.check(place, on_standard_error())
    if as_json:
        click.echo(json.dumps(lab_report.to_json(report)))
    else:
        for line in lab_report.to_text(report, place):
            click.echo(line)
    if report.failures:
        raise TerminalError(f"{len(report.failures)} of {len(report.results)} checks are not as predicted")


@lab.command("ping")
@click.argument("source")
@click.argument("target")
@_name
@_json
@click.option("--seconds", type=click.FloatRange(min=0.1), default=5.0, show_default=True)
@click.option("--udp", "port", type=int, metavar="PORT", help="A UDP stream instead of ICMP echo.")
@click.option("-6", "six", is_flag=True, help="IPv6.")
def ping(
    source: str, target: str, name: str, *, as_json: bool, seconds: float, port: int | None, six: bool
) -> None:
    """Stream from VM SOURCE to VM TARGET, a packet every 10 ms; say what was lost and the longest gap."""
    place = _inside(name)
    flow = session.flow(place, source, target, version=6 if six else 4, port=port)
    found = outage.measure(place, flow, seconds=seconds)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(str(found))


@lab.command("bench")
@_name
@_json
@click.option("--seconds", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Per figure.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
def bench(name: str, *, as_json: bool, seconds: float, rounds: int) -> None:
    """Measure round trips and rates between VMs, one pair of each kind: what the schemes in force cost.

    The hosts share this machine and switch in user space: compare the figures with each other, not with a data sheet.
    """
    place = _inside(name)
    results = lab_bench.measure(place, on_standard_error(), seconds=seconds, rounds=rounds)
    if as_json:
        click.echo(json.dumps(lab_bench.to_json(results)))
    else:
        for line in lab_bench.to_text(results):
            click.echo(line)


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_name
@click.argument("part")
@click.argument("command", nargs=-1)
def execute(name: str, part: str, command: tuple[str, ...]) -> None:
    """Run COMMAND (a shell, if none is given) in a host, a VM, the fabric or central."""
    place = _inside(name)
    session.topology_of(place)
    if namespace.inode(place.namespace(part)) is None:
        raise InputError([Fault("PART", f"the lab {name} has no part {part!r}")])
    command = command[1:] if command[:1] == ("--",) else command
    argv = namespace.command(place.namespace(part), command or (os.environ.get("SHELL", "sh"),))
    os.execvpe(argv[0], argv, programs.environment())  # noqa: S606 - no shell is asked for


@lab.command("down")
@_name
@_json
def down(name: str, *, as_json: bool) -> None:
    """Delete the lab, and nothing else; also after a crash."""
    place = Place(name=name)
    there = lab_down.down(place)
    if as_json:
        click.echo(json.dumps({"name": name, "deleted": there}))
    else:
        click.echo(f"The lab {name} is deleted." if there else f"There is no lab {name}.")


@lab.command("status")
@_name
@_json
def status(name: str, *, as_json: bool) -> None:
    """Show what of the lab is there, alive or dead."""
    place = Place(name=name)
    if rootless.needed() and rootless.keepers(place):
        rootless.enter(place)
    found = lab_status.status(place)
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in lab_status.to_text(found):
        click.echo(line)
    others = [other for other in lab_status.names(place.root) if other != name]
    if others:
        click.echo(f"other labs: {', '.join(others)}")


lab.add_command(demo, "demo")
lab.add_command(conformance)
