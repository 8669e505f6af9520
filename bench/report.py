# SPDX-License-Identifier: Apache-2.0
"""The figures as a table, as JSON, and against what they must be."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anyvisor.cli.table import table
from anyvisor.testing.daemons import run
from bench.measure import Figures

RATIO_AT_MOST = 1.5
"""What a change of one port may cost of our CPU at the largest size, against the smallest."""
NEUTRON_PORTS_PER_SECOND = 2.8
"""Neutron with ML2/OVN on a machine of the same kind, one client, one port per request."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how to read it off, how to write it down."""

    title: str
    read: Callable[[Figures], float]
    unit: str
    kind: str = ""
    """The kind of change whose growth was measured pair by pair."""


def _rows(found: Sequence[Figures]) -> Iterator[Row]:
    yield Row("attached, written to OVN", lambda f: f.size / f.written, "ports/s")
    yield Row("attached, all up", lambda f: f.size / f.up, "ports/s")
    yield Row("our CPU per attached port", lambda f: f.loading.ours / f.size, "ms")
    yield Row("vNIC seen until up, pretended chassis", lambda f: f.pretended_up, "ms")
    yield Row("vNIC seen until up, real ovn-controller", lambda f: f.real_up, "ms")
    yield Row("a new port in the intent until up", lambda f: f.intent_up, "ms")
    for kind in found[0].changes:
        yield Row(f"{kind}: written to OVN", _of(kind, "wall"), "ms")
        yield Row(f"{kind}: our CPU", _of(kind, "ours"), "ms", kind)
    yield Row("whole intent rewritten, one port more", lambda f: f.rewrite, "ms")
    yield Row("full reconcile, nothing to do", lambda f: f.full.wall, "ms")
    yield Row("full reconcile, nothing to do: our CPU", lambda f: f.full.ours, "ms")


def _of(kind: str, figure: str) -> Callable[[Figures], float]:
    return lambda found: float(getattr(found.changes[kind], figure))


def ratios(found: Sequence[Figures]) -> dict[str, float]:
    """What a change costs us at the largest size against the smallest, by kind; empty with one size."""
    return found[-1].growth


def holds(found: Sequence[Figures]) -> bool | None:
    """Whether no kind of change grows more than it may; None if one size alone was measured."""
    growth = ratios(found)
    return max(growth.values()) <= RATIO_AT_MOST if growth else None


def to_text(found: Sequence[Figures]) -> Iterator[str]:
    """The lines for people."""
    yield _machine()
    yield ""
    several = len(found) > 1
    sizes = [f"{figures.size:,} ports" for figures in found]
    ratio = [f"{found[-1].size:,} : {found[0].size:,}"] if several else []
    lines = []
    for row in _rows(found):
        values = [row.read(figures) for figures in found]
        growth = found[-1].growth.get(row.kind, values[-1] / values[0])
        factor = [f"{growth:.2f}"] if several else []
        lines.append([row.title, row.unit, *(_number(value, row.unit) for value in values), *factor])
    yield from table(["measure", "", *sizes, *ratio], lines, align="<<" + ">" * (len(sizes) + 1), indent=0)
    yield ""
    yield from _verdict(found)


def _number(value: float, unit: str) -> str:
    if unit == "ms":
        value *= 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _verdict(found: Sequence[Figures]) -> Iterator[str]:
    last = found[-1]
    written, up = (last.size / seconds / NEUTRON_PORTS_PER_SECOND for seconds in (last.written, last.up))
    yield (
        f"At {last.size:,} ports: written {written:.0f} times, up {up:.0f} times as fast as Neutron creates them "
        f"({NEUTRON_PORTS_PER_SECOND} a second)."
    )
    growth = ratios(found)
    if not growth:
        yield "One size alone says nothing about growth."
        return
    kind = max(growth, key=lambda name: growth[name])
    word = "pass" if holds(found) else "FAIL"
    yield (
        f"{word}: what a change of one port costs of our CPU grows by {growth[kind]:.2f} at most ({kind}) "
        f"from {found[0].size:,} to {last.size:,} ports; {RATIO_AT_MOST} is allowed."
    )


def to_json(found: Sequence[Figures]) -> dict[str, Any]:
    """One document: seconds throughout."""
    return {
        "machine": _machine(),
        "sizes": [asdict(figures) for figures in found],
        "ratios": ratios(found),
        "ratio_at_most": RATIO_AT_MOST,
        "holds": holds(found),
    }


def _machine() -> str:
    ovn, ovs = (run(name, "--version").splitlines()[0].split()[-1] for name in ("ovn-northd", "ovs-vswitchd"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, OVN {ovn}, Open vSwitch {ovs}"
