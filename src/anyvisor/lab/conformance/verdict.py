# SPDX-License-Identifier: Apache-2.0
"""From packets to "yes", "no" and "escape". Pure.

Three things are held against each other: what the policy wants, what the planner predicts (`Expected`), and what the
packets did. And a fourth, for whatever the policy does not want: what `plan --json` had said about it.

- They all agree: "yes".
- Something passed that the policy forbids, as predicted: "escape" if the two talk around the controller, else "no". The
  reason is the plan's. If the plan does not name it, that is a mistake: nothing may be known to the lab alone.
- Something did what was not predicted: a mistake, in either direction. The planner claims certainty: nobody filters at
  a native switch of the lab, so what it says will pass and does not is as wrong as a leak.
- With one exception, which the prediction says itself (`Expected.certain`): whether a forged MAC address passes a
  native switch is not ours to say, since some refuse them on their own. There the plan warns and promises nothing, and
  a packet that was stopped is no mistake. It counts as tried and as not passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from anyvisor.lab import report
from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.foretold import Foretold
from anyvisor.lab.verify import Result


class Kind(StrEnum):
    """How the policy was not met, though as foretold."""

    NO = "no"
    ESCAPE = "escape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`passed` of `tried` probes that the policy forbids got there, for the reason that the plan gave."""

    kind: Kind
    why: str
    passed: int
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One case in one cell. `mistakes` are sentences on what nobody foretold; `tried` counts all probes."""

    cell: Cell
    case: str
    tried: int
    findings: tuple[Finding, ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the case is a "yes"."""
        return not self.findings and not self.mistakes


def judge(cell: Cell, case: str, results: Iterable[Result], told: Foretold) -> Verdict:
    """The verdict; results in the order in which reasons shall be given."""
    passed: Counter[tuple[Kind, str]] = Counter()
    tried: Counter[tuple[Kind, str]] = Counter()
    mistakes: list[str] = []
    every = list(results)
    for result in every:
        expected = result.check.expected
        if not result.passed:
            mistakes.append(report.in_words(result))
        elif expected.allow != expected.policy:
            why = told.why(result.check)
            if why is None:
                mistakes.append(f"{report.in_words(result)}; and the plan does not name it")
                continue
            key = Kind.ESCAPE if expected.escape else Kind.NO, why
            tried[key] += 1
            passed[key] += result.allowed
    if not every:
        mistakes.append("nothing could be asked")
    return Verdict(
        cell=cell,
        case=case,
        tried=len(every),
        findings=tuple(
            Finding(kind=kind, why=why, passed=passed[kind, why], tried=often)
            for (kind, why), often in tried.items()
            if passed[kind, why]
        ),
        mistakes=tuple(mistakes),
    )
