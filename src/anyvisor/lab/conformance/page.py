# SPDX-License-Identifier: Apache-2.0
"""The outcome as docs/conformance.md. Pure: the same packets make the same page, so nothing in it tells the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.elsewhere import Elsewhere
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.verdict import Finding, Kind, Verdict

Numbers: TypeAlias = dict[tuple[Kind, str], int]
"""Of each reason, by what it is a reason for."""

_HEAD = """\
<!-- Made by `make conformance` out of a run. Edit src/anyvisor/lab/conformance/page.py instead. -->
# Conformance

The same policy cases for every hypervisor and scheme that the lab can carry, tried with real packets.
`make conformance` builds the lab, plans, applies, asks, writes this page and takes the lab down; it fails if anything
was not as the plan had predicted.
"""
_LEGEND = """\
- **yes**: everything that the policy admits passed, everything else was stopped.
- **no**: something passed that the policy forbids, since nobody enforces that there; the plan had named it.
- **escape**: the same, between two VMs that talk around the controller; the plan had named the pair.

*n of m*: of the *m* probes that the policy forbids and the plan says may pass for that reason, *n* did. Fewer than all
where the native switch refuses forged MAC addresses by itself. What each case asks stands
[in words](conformance.md#cases-in-words).
"""
_FAILED = """\
**This run failed: packets did what nobody had predicted.**
"""
_HEAD_XEN = """\
<!-- Made by `make conformance-xen` out of a run. Edit src/anyvisor/lab/conformance/page.py instead. -->
# Conformance on Xen

The same policy cases as in [Conformance](conformance.md), on a real Xen 4.17 with a Debian dom0, emulated as a whole.
Each VM under test sends through a paravirtual guest that passes its frames on: what is tried are the guest's vif and
whatever switches for it. `make conformance-xen` does it (a quarter of an hour, the first time with some minutes more).
"""
_ELSEWHERE = """\
The lab has no host for these. What stands here is the planner's verdict on a host on paper with that scheme pinned. Xen
under xl is tried on a real Xen under emulation, which takes longer: see [Conformance on Xen](conformance-xen.md).
"""


def page_of_xen(outcome: Outcome) -> str:
    """The document of the cells on an emulated Xen host."""
    numbers = _numbers(outcome)
    return "\n".join([*_tried(_HEAD_XEN, outcome, numbers), *_reasons(numbers)])


def page(outcome: Outcome) -> str:
    """The whole document of the lab's cells."""
    numbers = _numbers(outcome)
    parts = [
        *_tried(_HEAD, outcome, numbers),
        *_reasons(numbers),
        "## Not run here\n",
        _ELSEWHERE,
        _lines(_elsewhere(outcome.elsewhere)),
        "## Cases in words\n",
        _lines(_cases()),
    ]
    return "\n".join(parts)


def _tried(head: str, outcome: Outcome, numbers: Numbers) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in outcome.versions.items())
    yield head
    yield f"Tried with {versions}: {outcome.tried} probes.\n"
    if outcome.mistakes:
        yield _FAILED
        yield "\n".join(f"- {words}" for words in outcome.mistakes) + "\n"
    yield "## Cells\n"
    yield _lines(_cells(outcome))
    yield "## Table\n"
    yield _lines(_table(outcome, numbers))
    yield _LEGEND


def _reasons(numbers: Numbers) -> Iterator[str]:
    yield "## Reasons\n"
    yield "As the plan gave them beforehand:\n"
    yield _lines([f"{number}. {kind}: {why}" for (kind, why), number in numbers.items()] or ["None."])


def _numbers(outcome: Outcome) -> Numbers:
    """Each reason once, in the order in which the table's columns need them."""
    found = dict.fromkeys(
        (finding.kind, finding.why) for verdict in outcome.verdicts for finding in verdict.findings
    )
    return {reason: number for number, reason in enumerate(found, start=1)}


def _cells(outcome: Outcome) -> Iterator[str]:
    yield from _heading("cell", "host", "came with", "vNICs are attached as")
    for cell in outcome.cells:
        kinds = ", ".join(f"`{kind}`" for kind in cell.kinds)
        host = f"{cell.host} ({cell.hypervisor} {cell.version})".replace(" )", ")")
        yield _row(cell.title, host, cell.switch, kinds)


def _table(outcome: Outcome, numbers: Numbers) -> Iterator[str]:
    cells = outcome.cells
    by_place = {(verdict.cell, verdict.case): verdict for verdict in outcome.verdicts}
    yield from _heading("case", *(cell.title for cell in cells))
    for case in CASES:
        yield _row(case.title, *(_words(by_place[cell, case.name], numbers) for cell in cells))


def _words(verdict: Verdict, numbers: Numbers) -> str:
    if verdict.mistakes:
        return "**not as predicted**"
    return "<br>".join(_finding(finding, numbers) for finding in verdict.findings) or "yes"


def _finding(finding: Finding, numbers: Numbers) -> str:
    return f"{finding.kind} ({numbers[finding.kind, finding.why]}): {finding.passed} of {finding.tried}"


def _elsewhere(found: Iterable[Elsewhere]) -> Iterator[str]:
    yield from _heading("cell", "host on paper", "planner", "why")
    for one in found:
        verdict = "possible" if one.possible else f"`{one.code}`"
        source = f" ({one.source})" if one.source else ""
        yield _row(f"{one.hypervisor}/{one.scheme}", one.host, verdict, f"{one.reason}{source}")


def _cases() -> Iterator[str]:
    yield from _heading("case", "a yes says")
    for case in CASES:
        yield _row(case.title, case.holds)


def _heading(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|---" * len(titles) + "|"


def _row(*words: str) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
