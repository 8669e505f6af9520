# SPDX-License-Identifier: Apache-2.0
"""`anyvisor view`: what is controlled, what is seen, what escapes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from anyvisor import wiring
from anyvisor.cli.options import json_option, print_json, settings_of
from anyvisor.cli.plan_text import capacity_lines
from anyvisor.cli.table import bad, dim, good, heading, note, octets, percent, table
from anyvisor.planner.capacity import capacities
from anyvisor.planner.escape import escapes
from anyvisor.planner.fallbacks import fallen_ports
from anyvisor.planner.placement import site_in_place
from anyvisor.planner.sharing import sharing
from anyvisor.settings import Settings
from anyvisor.view.coverage import HostCoverage, OverallView, overall_view, to_json

_SHOWN = 20
_PAIRS = 10_000
_WATCH_SECONDS = 2.0


@click.command("view")
@json_option
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until Ctrl-C.")
@click.pass_context
def view(context: click.Context, *, as_json: bool, watch: bool) -> None:
    """The overall view: per host, how much of the traffic is controlled, seen, escaped, blind.

    The shares are of the bytes that the hypervisor counts on the vNICs. Escaped: crossed no switch that the controller
    programs. Blind: and the native switch did not report them either.
    """
    settings = settings_of(context)
    while True:
        shown = current_view(settings)
        if as_json:
            print_json(to_json(shown))
        else:
            if watch:
                click.clear()
            for line in view_lines(shown):
                click.echo(line)
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


def current_view(settings: Settings) -> OverallView:
    """What the databases say now. Raises UnreachableError."""
    with wiring.open_store(settings) as store:
        state = store.snapshot()
    telemetry = wiring.read_telemetry(settings)
    schemes = {name: known.carried or known.scheme for name, known in state.hosts.items()}
    site, fallen = site_in_place(state), fallen_ports(state)
    return overall_view(
        state,
        telemetry,
        escapes(
            site, schemes, at_most=_PAIRS, fallen=fallen, shared=sharing(site, schemes, fallen, state=state)
        ),
        capacities(site, state, schemes, now_seconds=int(time.time())),
    )


def view_lines(shown: OverallView) -> Iterator[str]:
    """The view for a person."""
    yield heading("Overall view") + dim("  (shares of vNIC bytes, as the hypervisor counts them)")
    yield ""
    yield from table(
        [
            "host",
            "hypervisor",
            "scheme",
            "vNICs",
            "attached",
            "bytes",
            "controlled",
            "observed",
            "escaped",
            "blind",
        ],
        [*(_row(host) for host in shown.hosts), _total(shown)],
        align="<<<>>>>>>>",
    )
    yield ""
    yield from _slow_paths(shown)
    yield from _escapes(shown)
    yield from capacity_lines(shown.capacities)
    troubled = [
        *((name, c) for name, said in shown.managers.items() for c in said if not c.true),
        *((str(host.host), c) for host in shown.hosts for c in host.conditions if not c.true),
    ]
    if troubled:
        yield ""
        yield heading("Conditions")
        for name, condition in troubled:
            yield f"  {name}: {bad(condition.kind)} {condition.reason}: {condition.message}"


def _slow_paths(shown: OverallView) -> Iterator[str]:
    """What the cards that switch did not carry by themselves."""
    told = [
        f"  {host.host}: {percent(slow)} of {octets(host.share.entered_bytes)} that its vNICs sent"
        for host in shown.hosts
        if (slow := host.share.slow_path) is not None
    ]
    if told:
        yield heading("Slow path") + dim("  (what network cards left to their processors)")
        yield from told
        yield ""


def _row(host: HostCoverage) -> list[str]:
    share = host.share
    attached = f"{host.attached}/{host.vnics}"
    return [
        host.host,
        str(host.hypervisor),
        str(host.scheme) if host.scheme is not None else bad("none"),
        str(host.vnics),
        good(attached) if host.attached == host.vnics else note(attached),
        octets(share.bytes),
        percent(share.controlled),
        percent(share.observed),
        _warn(1 - share.controlled, note),
        _warn(1 - share.observed, bad),
    ]


def _total(shown: OverallView) -> list[str]:
    total = shown.total
    cells = [
        "total",
        "",
        "",
        str(sum(host.vnics for host in shown.hosts)),
        f"{sum(host.attached for host in shown.hosts)}/{sum(host.vnics for host in shown.hosts)}",
        octets(total.bytes),
        percent(total.controlled),
        percent(total.observed),
        percent(1 - total.controlled),
        percent(1 - total.observed),
    ]
    return [heading(cell) if cell else cell for cell in cells]


def _warn(share: float, style: object) -> str:
    text = percent(share)
    return style(text) if share > 0 and callable(style) else good(text)


def _escapes(shown: OverallView) -> Iterator[str]:
    if not shown.escapes:
        yield good("No pair of ports escapes the controller.")
        return
    yield heading(f"Escaping pairs: {len(shown.escapes)}")
    rows = []
    for pair in shown.escapes[:_SHOWN]:
        share = shown.ports.get(pair.source)
        proof = f"{percent(1 - share.controlled)} of {octets(share.bytes)}" if share is not None else "-"
        rows.append([pair.host, pair.source, pair.target, pair.network, proof, pair.why])
    yield from table(["host", "from", "to", "network", "escaped of the sender's bytes", "why"], rows)
    if len(shown.escapes) > _SHOWN:
        yield dim(f"  … and {len(shown.escapes) - _SHOWN} more (--json has them all)")
