# SPDX-License-Identifier: Apache-2.0
"""`anyvisor schemes`: which scheme is possible on which kind of host, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from anyvisor.cli.options import json_option, print_json
from anyvisor.cli.table import bad, dim, good, heading, note, table
from anyvisor.model.kinds import Scheme
from anyvisor.model.policy import PREFERENCE
from anyvisor.planner.matrix import Answer, Cell, Row, matrix

_STYLES = {Answer.CHOSEN: good, Answer.NO: dim, Answer.ON_PAPER: bad, Answer.ON_REQUEST: note}
_LEGEND = (
    "chosen: what such a host gets unless the policy or a pin says otherwise; yes: possible, too; "
    "on request: possible, never chosen unasked; on paper: planned, not carried out by this release"
)


@click.command("schemes")
@json_option
@click.option("--markdown", is_flag=True, help="The table alone, as Markdown.")
def schemes(*, as_json: bool, markdown: bool) -> None:
    """Which scheme is possible on which kind of host; of what is not, the reason and its source.

    These are the planner's answers for hosts as they are usually met. `anyvisor plan` answers for yours.
    """
    rows = matrix()
    if as_json:
        print_json(to_json(rows))
        return
    for line in markdown_lines(rows) if markdown else lines(rows):
        click.echo(line)


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """For a terminal."""
    listed = tuple(rows)
    yield from table(
        ["host", *PREFERENCE],
        [[row.kind, *(_styled(row.cells[scheme].answer) for scheme in PREFERENCE)] for row in listed],
    )
    yield ""
    yield dim(_LEGEND)
    for answer, title in (
        (Answer.NO, "Refused"),
        (Answer.ON_REQUEST, "Never unasked"),
        (Answer.ON_PAPER, "Not in this release"),
    ):
        found = list(_reasons(listed, answer))
        if found:
            yield ""
            yield heading(title)
            yield from found


def _reasons(rows: Iterable[Row], answer: Answer) -> Iterator[str]:
    """One line for each reason, however many hosts it holds for."""
    told: set[tuple[Scheme, str]] = set()
    for row in rows:
        for scheme, cell in row.cells.items():
            if cell.answer is answer and (scheme, _words(cell)) not in told:
                told.add((scheme, _words(cell)))
                yield f"  {scheme}: {_words(cell)}"


def _words(cell: Cell) -> str:
    if cell.lacking:
        return f"driver {', '.join(cell.lacking)}"
    return f"{cell.verdict.reason} [{cell.verdict.code}; {cell.verdict.source}]"


def _styled(answer: Answer) -> str:
    style = _STYLES.get(answer)
    return style(str(answer)) if style is not None else str(answer)


def markdown_lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table for a page."""
    yield "| host | " + " | ".join(f"`{scheme}`" for scheme in PREFERENCE) + " |"
    yield "|---" * (len(PREFERENCE) + 1) + "|"
    for row in rows:
        yield f"| {row.kind} | " + " | ".join(_marked(row.cells[s].answer) for s in PREFERENCE) + " |"


def _marked(answer: Answer) -> str:
    return f"**{answer}**" if answer is Answer.CHOSEN else str(answer)


def to_json(rows: Iterable[Row]) -> dict[str, object]:
    """``{"hosts": [{"host", "schemes": {SCHEME: {"answer", "code", "reason", "source", "warnings", "lacking"}}}]}``."""
    return {
        "hosts": [
            {
                "host": row.kind,
                "schemes": {
                    str(scheme): {
                        "answer": str(cell.answer),
                        "code": cell.verdict.code,
                        "reason": cell.verdict.reason,
                        "source": cell.verdict.source,
                        "warnings": list(cell.verdict.warnings),
                        "lacking": list(cell.lacking),
                    }
                    for scheme, cell in row.cells.items()
                },
            }
            for row in rows
        ]
    }
