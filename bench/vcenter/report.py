# SPDX-License-Identifier: Apache-2.0
"""The figures as a table, as JSON, and against what they must be."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anyvisor.cli.table import table
from bench.vcenter.gauge import Cost
from bench.vcenter.measure import Figures

RATIO_AT_MOST = 1.5
"""What a change may cost of our CPU at the largest size, against the smallest. Its calls may not grow at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how to read it off, how to write it down."""

    title: str
    read: Callable[[Figures], float]
    unit: str = ""
    kind: str = ""
    """The kind of change whose growth was measured pair by pair."""


def _rows(found: Sequence[Figures]) -> Iterator[Row]:
    yield from _of("first inventory", lambda f: f.first, "s")
    yield Row("first inventory: memory", lambda f: f.first_memory, "MiB")
    yield Row("everything built", lambda f: f.size.vnics / f.built.wall, "ports/s")
    yield Row("everything built: our CPU per port", lambda f: f.built.cpu / f.size.vnics, "ms")
    yield Row("everything built: calls per port", lambda f: f.built.called / f.size.vnics)
    yield from _of("a look, nothing to do", lambda f: f.look, "ms")
    yield Row("a look at everything: our CPU", lambda f: f.full.cpu, "ms")
    yield from _of("counters read once", lambda f: f.counters, "ms")
    yield Row("listening, nothing happens: our CPU", lambda f: f.idle * 100, "%")
    for kind in found[0].changes:
        yield from _of(kind, lambda f, kind=kind: f.changes[kind], "ms", kind)
    yield Row("memory of all of it", lambda f: f.memory, "MiB")


def _of(title: str, read: Callable[[Figures], Cost], unit: str, kind: str = "") -> Iterator[Row]:
    yield Row(f"{title}: done after", lambda f: read(f).wall, unit)
    yield Row(f"{title}: our CPU", lambda f: read(f).cpu, unit, kind)
    yield Row(f"{title}: calls", lambda f: read(f).called)
    yield Row(f"{title}: received", lambda f: read(f).received, "KiB")


def faults(found: Sequence[Figures]) -> list[str]:
    """What grows more than it may from the smallest size to the largest."""
    least, most = found[0], found[-1]
    listed = [
        f"{kind}: {growth:.2f} times the CPU, {RATIO_AT_MOST} is allowed"
        for kind, growth in most.growth.items()
        if growth > RATIO_AT_MOST
    ]
    for kind, spent in most.changes.items():
        before = least.changes[kind]
        if spent.called > before.called:
            listed.append(f"{kind}: {spent.called} calls instead of {before.called}")
    return listed


def to_text(found: Sequence[Figures]) -> Iterator[str]:
    """The lines for people."""
    yield _machine()
    yield ""
    several = len(found) > 1
    heads = [str(figures.size) for figures in found]
    lines = []
    for row in _rows(found):
        values = [row.read(figures) for figures in found]
        growth = found[-1].growth.get(row.kind, values[-1] / values[0] if values[0] else 1.0)
        factor = [f"{growth:.2f}"] if several else []
        lines.append([row.title, row.unit, *(_number(value, row.unit) for value in values), *factor])
    ratio = ["ratio"] if several else []
    yield from table(["measure", "", *heads, *ratio], lines, align="<<" + ">" * (len(heads) + 1), indent=0)
    yield ""
    for figures in found:
        yield from _calls(figures)
    yield from _verdict(found)


def _calls(figures: Figures) -> Iterator[str]:
    """Who called what."""
    yield f"Calls at {figures.size}:"
    spent = {"first inventory": figures.first, "everything built": figures.built, "a look": figures.look}
    spent |= {"counters read once": figures.counters, **figures.changes}
    for title, each in spent.items():
        listed = ", ".join(f"{count:,} {method}" for method, count in sorted(each.calls.items()))
        yield f"  {title}: {listed}"
    yield ""


def _number(value: float, unit: str) -> str:
    value *= {"ms": 1000, "KiB": 1 / 1024, "MiB": 1 / 1024**2}.get(unit, 1)
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _verdict(found: Sequence[Figures]) -> Iterator[str]:
    if len(found) == 1:
        yield "One size alone says nothing about growth."
        return
    wrong = faults(found)
    yield from (f"FAIL: {fault}" for fault in wrong)
    if not wrong:
        worst = max(found[-1].growth.values())
        yield (
            f"pass: what one change costs of our CPU grows by {worst:.2f} at most from {found[0].size} to "
            f"{found[-1].size}; {RATIO_AT_MOST} is allowed. Its calls of the vSphere API do not grow."
        )


def to_json(found: Sequence[Figures]) -> dict[str, Any]:
    """One document: seconds and bytes throughout."""
    return {
        "machine": _machine(),
        "sizes": [asdict(figures) for figures in found],
        "ratio_at_most": RATIO_AT_MOST,
        "faults": faults(found),
    }


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
