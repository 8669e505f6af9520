# SPDX-License-Identifier: Apache-2.0
"""Results of `lab test` for programs (JSON) and for people (matrices, and a list of what is wrong)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import click

from anyvisor.lab.place import Place
from anyvisor.lab.verify import Report, Result

PASSES, BLOCKED, ESCAPES, WRONG, NOTHING = "+", "·", "e", "X", " "
COLOURS = {PASSES: "green", BLOCKED: "bright_black", ESCAPES: "yellow", WRONG: "red"}
LEGEND = (
    (PASSES, "passes as it should"),
    (BLOCKED, "is blocked as it should be"),
    (ESCAPES, "passes unfiltered, as predicted"),
    (WRONG, "is not as predicted"),
)
FAMILIES = (("tcp", "TCP"), ("udp", "UDP"), ("icmp", "ICMP"))
FAILURES_SHOWN = 20


def to_json(report: Report) -> dict[str, Any]:
    """The document of ``lab test --json``."""
    return {
        "checks": [_check(result) for result in report.results],
        "passed": len(report.results) - len(report.failures),
        "failed": len(report.failures),
        "duplicates": [
            {"from": source, "to": target, "datagrams": number}
            for (source, target), number in sorted(report.duplicates.items())
        ],
        "crashes": [
            {"part": crash.part, "daemon": crash.daemon, "how": crash.how} for crash in report.crashes
        ],
        "seconds": round(report.seconds, 1),
    }


def _check(result: Result) -> dict[str, Any]:
    check = result.check
    return {
        "from": check.source,
        "to": check.target,
        "proto": check.proto,
        "port": check.port,
        "version": check.version,
        "address": check.address,
        "expect": _word(allow=check.expected.allow),
        "got": _word(allow=result.allowed),
        "path": list(check.path),
        "escape": check.expected.escape,
        "unenforced": check.expected.unenforced,
        "why": check.expected.why,
        "detail": result.detail,
    }


def _word(*, allow: bool) -> str:
    return "allow" if allow else "deny"


def to_text(report: Report, place: Place) -> Iterator[str]:
    """Lines for a terminal."""
    for proto, title in FAMILIES:
        results = [result for result in report.results if result.check.proto == proto]
        if results:
            yield from _matrix(title, results)
            yield ""
    yield "  ".join(f"{_coloured(symbol)} {words}" for symbol, words in LEGEND)
    yield ""
    yield from _others(report)
    yield from _summary(report, place)


def _matrix(title: str, results: Sequence[Result]) -> Iterator[str]:
    columns = list(dict.fromkeys((r.check.version, r.check.port) for r in results))
    columns.sort(key=lambda column: (column[0], column[1] or 0))
    names = list(dict.fromkeys([r.check.source for r in results] + [r.check.target for r in results]))
    cells = {(r.check.source, r.check.target, r.check.version, r.check.port): _symbol(r) for r in results}
    widths = {name: max(len(columns), len(name)) for name in names}
    left = max(len(name) for name in names)
    head = "  ".join(name.ljust(widths[name]) for name in names)
    yield f"{click.style(title, bold=True)}  each cell: {_in_words(columns)}; rows send, columns receive"
    yield f"  {' ' * left}  {click.style(head.rstrip(), dim=True)}"
    for source in names:
        row = []
        for target in names:
            symbols = [cells.get((source, target, *column), NOTHING) for column in columns]
            row.append(
                "".join(_coloured("".join(run)) for _, run in groupby(symbols))
                + " " * (widths[target] - len(columns))
            )
        yield f"  {click.style(source.ljust(left), dim=True)}  {'  '.join(row)}".rstrip()


def _in_words(columns: Iterable[tuple[int, int | None]]) -> str:
    return ", ".join(f"IPv{version}" + (f" {port}" if port is not None else "") for version, port in columns)


def _symbol(result: Result) -> str:
    if not result.passed:
        return WRONG
    if result.check.expected.escape or result.check.expected.unenforced:
        return ESCAPES
    return PASSES if result.allowed else BLOCKED


def _coloured(symbols: str) -> str:
    """Some of the same symbol."""
    return click.style(symbols, fg=COLOURS[symbols[0]]) if symbols[0] in COLOURS else symbols


def _others(report: Report) -> Iterator[str]:
    for proto, words in (
        ("dhcp", "DHCP: VMs have the IPv4 address that was decided"),
        ("slaac", "router advertisements: VMs have the IPv6 address that was decided"),
        ("spoof", "forged sender addresses are stopped"),
    ):
        results = [result for result in report.results if result.check.proto == proto]
        if results:
            good = sum(result.passed for result in results)
            yield f"{words}: {_count(good, len(results))}"


def _count(good: int, every: int) -> str:
    return click.style(f"{good} of {every}", fg="green" if good == every else "red")


def _summary(report: Report, place: Place) -> Iterator[str]:
    kinds = Counter(
        "escape" if r.check.expected.escape else "unenforced" if r.check.expected.unenforced else "enforced"
        for r in report.results
    )
    for (source, target), number in sorted(report.duplicates.items()):
        yield click.style(f"{number} datagrams from {source} to {target} arrived twice", fg="yellow")
    for crash in report.crashes:
        yield click.style(
            f"{crash} and was started again; what did not arrive was checked again", fg="yellow"
        )
    failures = report.failures
    for result in failures[:FAILURES_SHOWN]:
        yield click.style("wrong  ", fg="red") + in_words(result)
    if len(failures) > FAILURES_SHOWN:
        yield f"       … and {len(failures) - FAILURES_SHOWN} more (`--json` has all)"
    if failures:
        yield from _where_to_look(failures, place)
    good = len(report.results) - len(failures)
    yield (
        f"{_count(good, len(report.results))} checks as predicted in {report.seconds:.1f} s; "
        f"{kinds['escape']} escape, {kinds['unenforced']} are not enforced"
    )


def in_words(result: Result) -> str:
    """One line on a result."""
    check = result.check
    port = f" {check.port}" if check.port is not None else ""
    awaited, got = _word(allow=check.expected.allow), _word(allow=result.allowed)
    detail = f" ({result.detail})" if result.detail else ""
    return (
        f"{check.source} → {check.target} {check.proto}{port} IPv{check.version}: "
        f"awaited {awaited}, got {got}{detail}; {check.expected.why}"
    )


def _where_to_look(failures: Sequence[Result], place: Place) -> Iterator[str]:
    first = next((r.check for r in failures if r.check.proto not in {"dhcp", "slaac"}), failures[0].check)
    yield "Where to look:"
    yield f"  export ANYVISOR_DATABASE={place.database}"
    yield f"  anyvisor view; anyvisor explain {first.target}"
    yield f"  ls {' '.join(f'{place.part(part)}/*.log' for part in first.path)}"
    yield f"  ip netns exec {place.namespace(first.source)} sh      # a shell in {first.source}"
