# SPDX-License-Identifier: Apache-2.0
"""What the schemes in force cost: round trips and rates between a few pairs of VMs, one of each kind there is.

Figures of one machine say little; ratios do. Each pair is held against the pair of its kind between baseline hosts,
measured right beside it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from anyvisor.cli.table import table
from anyvisor.lab import checks, namespace, prober_client, session
from anyvisor.lab.checks import Check, Plan
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import run
from anyvisor.lab.progress import Say
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName, PortName

SAME_HOST = "same host"
OTHER_HOST = "other host"
ROUTED = "routed, other host"
KINDS = (SAME_HOST, OTHER_HOST, ROUTED)
FIGURES = {
    "icmp_us": "ICMP µs",
    "udp_us": "UDP µs",
    "udp_per_second": "UDP /s",
    "tcp_mbit": "TCP Mbit/s",
}
"""What is measured: a round trip of 64 bytes in two ways, datagrams that came back with 32 under way, and what a short
connection of 60,000 bytes there and back carries."""
_YARDSTICK = (Scheme.BASELINE.value,) * 2
_MARGIN_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two VMs, and how the first may reach the second: by ICMP or not, and on which port, if on any."""

    kind: str
    schemes: tuple[str, ...]
    source: str
    target: str
    address: str
    icmp: bool = False
    udp: int | None = None
    tcp: int | None = None

    @property
    def ways(self) -> int:
        """How many of the protocols pass."""
        return sum((self.icmp, self.udp is not None, self.tcp is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Medians of all rounds. `ratios` are medians over the rounds too; empty where there is nothing to compare with."""

    pair: Pair
    figures: Mapping[str, float]
    ratios: Mapping[str, float]


def measure(place: Place, say: Say, *, seconds: float, rounds: int) -> tuple[Result, ...]:
    """Load one pair of each kind and combination of schemes, in turn.

    Raises:
        TerminalError: nothing has been applied yet, or packets that should pass do not.
        UnreachableError: a prober or the database does not answer.
    """
    topology = session.topology_of(place)
    chosen = pairs(checks.plan(topology, session.picture_in_force(place)))
    prober_client.ensure(place, topology, Recorder(place.manifest))
    taken: list[dict[Pair, Mapping[str, float]]] = []
    for number in range(rounds):
        taken.append({})
        for pair in chosen:
            say(f"round {number + 1} of {rounds}: {pair.source} → {pair.target} ({pair.kind})")
            taken[-1][pair] = _load(place, pair, seconds)
    return tuple(_result(pair, taken, _yardstick(pair, chosen)) for pair in chosen)


def pairs(plan: Plan) -> tuple[Pair, ...]:
    """Of each kind and combination of schemes the pair on which most protocols pass, through a filter if there is one
    on the way; baseline first."""

    def rank(pair: Pair) -> tuple[int, bool, str, str]:
        filtered = bool(plan.picture.site.ports[PortName(pair.target)].security_groups)
        return (-pair.ways, not filtered, pair.source, pair.target)

    best: dict[tuple[str, tuple[str, ...]], Pair] = {}
    for pair in sorted(_all_pairs(plan), key=rank):
        best.setdefault((pair.kind, pair.schemes), pair)
    return tuple(
        sorted(best.values(), key=lambda p: (KINDS.index(p.kind), p.schemes != _YARDSTICK, p.schemes))
    )


def _all_pairs(plan: Plan) -> Iterator[Pair]:
    passing: defaultdict[tuple[str, str], list[Check]] = defaultdict(list)
    vms = {vm.name for vm in plan.topology.vms}
    for check in plan.checks:
        if {check.source, check.target} <= vms and check.version == 4 and check.expected.allow:
            passing[check.source, check.target].append(check)
    for (source, target), found in passing.items():
        first, second = (plan.picture.site.ports[PortName(name)] for name in (source, target))
        routed, away = first.network != second.network, first.host != second.host
        if routed and not away:
            continue
        ports = {check.proto: check.port for check in reversed(found)}
        usual = [plan.picture.schemes.get(HostName(port.host or "")) for port in (first, second)]
        if not ports.keys() & {"icmp", "udp", "tcp"} or None in usual:
            continue
        yield Pair(
            kind=ROUTED if routed else OTHER_HOST if away else SAME_HOST,
            schemes=tuple(sorted(str(scheme) for scheme in usual)),
            source=source,
            target=target,
            address=found[0].address,
            icmp="icmp" in ports,
            udp=ports.get("udp"),
            tcp=ports.get("tcp"),
        )


def _load(place: Place, pair: Pair, seconds: float) -> Mapping[str, float]:
    order = {"to": pair.address, "icmp": pair.icmp, "udp": pair.udp, "tcp": pair.tcp, "seconds": seconds}
    argv = [sys.executable, "-m", "anyvisor.lab.bench_load", json.dumps(order)]
    inside = namespace.command(place.namespace(pair.source), argv)
    figures: dict[str, float] = json.loads(run(inside, timeout_seconds=4 * seconds + _MARGIN_SECONDS))
    return figures


def _yardstick(pair: Pair, chosen: Sequence[Pair]) -> Pair | None:
    return next((other for other in chosen if other.kind == pair.kind and other.schemes == _YARDSTICK), None)


def _result(
    pair: Pair, taken: Sequence[Mapping[Pair, Mapping[str, float]]], yardstick: Pair | None
) -> Result:
    figures = {name: median(each[pair][name] for each in taken) for name in taken[0][pair]}
    ratios = {}
    if yardstick is not None:
        for name in figures.keys() & taken[0][yardstick].keys():
            ratios[name] = median(each[pair][name] / each[yardstick][name] for each in taken)
    return Result(pair=pair, figures=figures, ratios=ratios)


def to_text(results: Sequence[Result]) -> Iterator[str]:
    """The lines of a table; a ratio stands behind each figure."""
    head = ["way", "schemes", "pair"]
    for title in FIGURES.values():
        head += [title, "ratio"]
    lines = []
    for result in results:
        pair = result.pair
        line = [pair.kind, " + ".join(dict.fromkeys(pair.schemes)), f"{pair.source} → {pair.target}"]
        for name in FIGURES:
            value, ratio = result.figures.get(name), result.ratios.get(name)
            line += ["-" if value is None else f"{value:,.0f}", "" if ratio is None else f"{ratio:.2f}"]
        lines.append(line)
    yield from table(head, lines, align="<<<" + ">>" * len(FIGURES), indent=0)
    yield "ratio: against the pair of the same kind between baseline hosts, round by round; medians throughout"


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """One document."""
    return {"load_average": os.getloadavg()[0], "pairs": [asdict(result) for result in results]}
