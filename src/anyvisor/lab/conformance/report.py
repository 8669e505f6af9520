# SPDX-License-Identifier: Apache-2.0
"""The outcome for programs (JSON) and for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.verdict import Verdict


def to_json(outcome: Outcome) -> dict[str, Any]:
    """The document of ``lab conformance --json``."""
    return {
        "versions": dict(outcome.versions),
        "cells": [
            {
                "cell": cell.title,
                "host": cell.host,
                "hypervisor": cell.hypervisor.value,
                "scheme": cell.scheme.value,
                "shared": cell.shared,
                "kinds": [kind.value for kind in cell.kinds],
            }
            for cell in outcome.cells
        ],
        "verdicts": [_verdict(verdict) for verdict in outcome.verdicts],
        "not_run": [
            {
                "host": one.host,
                "hypervisor": one.hypervisor.value,
                "scheme": one.scheme.value,
                "possible": one.possible,
                "code": one.code,
                "reason": one.reason,
                "source": one.source,
            }
            for one in outcome.elsewhere
        ],
        "probes": outcome.tried,
        "mistakes": list(outcome.mistakes),
        "crashes": [str(crash) for crash in outcome.crashes],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "cell": verdict.cell.title,
        "case": verdict.case,
        "holds": verdict.holds,
        "probes": verdict.tried,
        "findings": [
            {"kind": found.kind.value, "why": found.why, "passed": found.passed, "of": found.tried}
            for found in verdict.findings
        ],
        "mistakes": list(verdict.mistakes),
    }


def to_text(outcome: Outcome) -> Iterator[str]:
    """Lines: per cell what holds and what does not, then what was not predicted."""
    for cell in outcome.cells:
        yield click.style(cell.title, bold=True)
        by_case = {verdict.case: verdict for verdict in outcome.verdicts if verdict.cell == cell}
        for case in CASES:
            yield f"  {case.title:<20}{_words(by_case[case.name])}"
    for crash in outcome.crashes:
        yield click.style(f"{crash} and was started again; what did not arrive was asked again", fg="yellow")
    for words in outcome.mistakes:
        yield click.style("wrong  ", fg="red") + words
    colour = "red" if outcome.mistakes else "green"
    yield click.style(f"{outcome.tried} probes, {len(outcome.mistakes)} not as predicted", fg=colour)


def _words(verdict: Verdict) -> str:
    if verdict.mistakes:
        return click.style("not as predicted", fg="red")
    if verdict.holds:
        return click.style("yes", fg="green")
    words = (f"{found.kind} ({found.passed} of {found.tried} passed)" for found in verdict.findings)
    return click.style(", ".join(words), fg="yellow")
