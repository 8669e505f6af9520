# SPDX-License-Identifier: Apache-2.0
"""`anyvisor apply`: make it so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from anyvisor import wiring
from anyvisor.cli.options import settings_of, site_option
from anyvisor.cli.plan import complete
from anyvisor.cli.plan_text import plan_lines, rights_lines
from anyvisor.cli.progress import Progress
from anyvisor.cli.table import bad, dim, good, heading, note
from anyvisor.codec.site import load_site
from anyvisor.contracts.controller import ControllerPlan
from anyvisor.errors import TerminalError
from anyvisor.model.estate import describe
from anyvisor.model.names import HostName, PortName
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.planner import paper
from anyvisor.planner.proposal import EstatePlan
from anyvisor.reconcile.readiness import Readiness, readiness
from anyvisor.settings import Settings
from anyvisor.wiring import Works

_STEP_SECONDS = 0.1
_ABSENT_SECONDS = 5.0
"""How long nothing may change before we conclude that missing vNICs belong to VMs that are off."""


@click.command("apply")
@site_option
@click.option("--dry-run", is_flag=True, help="Print the very steps that would be carried out, and stop.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
)
@click.pass_context
def apply(context: click.Context, site_file: Path, *, dry_run: bool, wait_seconds: float) -> None:
    """Bring hosts and controller to what the site file says.

    With a daemon running it hands the intent over and watches; without one it does the same work once. Interrupted or
    killed, a second `apply` goes on where it stopped. --wait is how long to wait for the vNICs to be up.
    """
    site = load_site(site_file)
    settings = settings_of(context)
    if dry_run:
        _preview(settings, site)
        return
    wiring.ensure_database(settings)
    with wiring.open_store(settings) as intent, wiring.open_store(settings, lock=True) as store:
        before = intent.snapshot()
        whole, _ = complete(site, before)
        changed = intent.write_site(whole)
        click.echo(f"intent: {len(changed)} changed" if changed else "intent: unchanged")
        _carry_out(settings, intent, store, wait_seconds=wait_seconds)
        _report(before, intent.snapshot())


def _preview(settings: Settings, site: Site) -> None:
    if not wiring.database_exists(settings):
        for line in plan_lines(paper.plan(site, State()), site, source="on paper", why=False):
            click.echo(line)
        return
    foreseen = wiring.preview(settings, site)
    found, silent = foreseen.preview, foreseen.silent
    source = f"against {wiring.database_of(settings)}"
    planned = paper.plan(foreseen.site, foreseen.state, now_seconds=int(time.time()), inner=foreseen.inner)
    for line in plan_lines(planned, foreseen.site, source=source, why=False):
        click.echo(line)
    _preview_changes("the controller", found.controller)
    for manager, plan in found.estates.items():
        _preview_estate(manager, plan)
        for line in rights_lines(foreseen.lacking.get(manager, ())):
            click.echo(f"  {line}")
    for manager, entity in found.entities.items():
        _preview_changes(manager, entity)
    for manager, error in silent.items():
        click.echo("")
        click.echo(heading(f"On {manager}"))
        click.echo(f"  {bad('unknown')} {error}")


def _preview_changes(where: str, plan: ControllerPlan) -> None:
    click.echo("")
    click.echo(heading(f"On {where}: {len(plan.changes)} changes in one transaction"))
    for change in plan.changes:
        click.echo(f"  {change.do:<7} {change.what}")
    for refusal in plan.refusals:
        click.echo(f"  {bad('refused')} {refusal.key}: {refusal.message}")


def _preview_estate(manager: str, plan: EstatePlan) -> None:
    click.echo("")
    count = f"{len(plan.steps)} steps, more as each vNIC's way is laid" if plan.steps else "nothing to do"
    click.echo(heading(f"On {manager}: {count}"))
    for step in plan.steps:
        click.echo(f"  {describe(step)}")
    for about, problem in sorted(plan.problems.items()):
        click.echo(f"  {bad('waits')} {about}: {problem}")
    for port, caution in sorted(plan.cautions.items()):
        click.echo(f"  {note('mind')} {port}: {caution}")


def _carry_out(settings: Settings, intent: OvsdbStore, store: OvsdbStore, *, wait_seconds: float) -> None:
    """Until everything is ready, or the time is up. Whoever holds the lock does the work: a daemon, or we."""
    progress = Progress()
    deadline = time.monotonic() + wait_seconds
    generation = intent.snapshot().generation
    quiet_since, last = time.monotonic(), None
    with ExitStack() as open_parts:
        works: Works | None = None
        while True:
            if works is None and store.wait_for_lock(0.0 if last else 0.3) and _has(store, generation):
                works = open_parts.enter_context(wiring.open_works(store, settings))
            if works is not None:
                works.runner.step(_STEP_SECONDS)
            else:
                time.sleep(_STEP_SECONDS)
            state = intent.snapshot()
            now = readiness(state)
            if now != last:
                quiet_since, last = time.monotonic(), now
            progress.say(_standing(now, mine=works is not None))
            if state.applied >= generation and _finished(now, time.monotonic() - quiet_since):
                break
            if time.monotonic() >= deadline:
                break
    progress.end()
    if intent.snapshot().applied < generation:
        raise TerminalError(
            f"the intent is stored, but was not carried out within {wait_seconds:g} s",
            hint="`anyvisor view` shows the conditions; run `anyvisor apply` again, or look at anyvisord's log",
        )


def _has(store: OvsdbStore, generation: int) -> bool:
    """Whether this connection has heard of the intent that the other one wrote."""
    return store.snapshot().generation >= generation


def _finished(now: Readiness, quiet_seconds: float) -> bool:
    if now.coming:
        return False
    return not now.absent or quiet_seconds >= _ABSENT_SECONDS


def _standing(now: Readiness, *, mine: bool) -> str:
    waits = now.coming[0][1] if now.coming else now.absent[0][1] if now.absent else None
    who = "" if mine else "anyvisord works: "
    return f"{who}{now.ready} of {now.total} ready" + (f"; {waits.message}" if waits is not None else "")


def _report(before: State, after: State) -> None:
    now = readiness(after)
    for line in _conversions(before, after):
        click.echo(line)
    for key, condition in now.absent:
        click.echo(note(f"{key}: ") + condition.message)
    for key, condition in (*now.coming, *now.failed):
        click.echo(bad(f"{key}: ") + f"{condition.reason}: {condition.message}")
    summary = f"{now.ready} of {now.total} objects ready"
    if now.absent:
        summary += f", {len(now.absent)} wait for their VM"
    if now.coming or now.failed:
        raise TerminalError(
            f"{summary}; {len(now.coming) + len(now.failed)} are not",
            hint="the reasons stand above; `anyvisor explain NAME` says more",
        )
    click.echo(good(summary))


def _conversions(before: State, after: State) -> Iterator[str]:
    """What a change of scheme cost: how long each vNIC was cut off."""
    for host in sorted(after.hosts):
        old = before.hosts[host].carried if host in before.hosts else None
        new = after.hosts[host].carried
        if old is None or new is None or old is new:
            continue
        yield f"{host}: {old} → {good(new)}"
        yield from _outages(after, host)


def _outages(after: State, host: HostName) -> Iterator[str]:
    cut: list[tuple[int, PortName]] = [
        (plugged.outage_ms, port)
        for port, plugged in after.plugged.items()
        if plugged.outage_ms is not None
        and port in after.attachments
        and after.attachments[port].host == host
    ]
    if not cut:
        return
    longest = max(cut)
    yield f"  {len(cut)} vNICs moved while their VMs ran; cut off for {longest[0] / 1000:.2f} s at most ({longest[1]})"
    yield dim(
        "  "
        + ", ".join(f"{port} {outage / 1000:.2f} s" for outage, port in sorted(cut, key=lambda item: item[1]))
    )
