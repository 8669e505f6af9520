# SPDX-License-Identifier: Apache-2.0
"""Tables for terminals: aligned, coloured only where somebody watches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

RIGHT = ">"
LEFT = "<"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "", indent: int = 2
) -> list[str]:
    """Lines of a table. `align` has one ``<`` or ``>`` per column; cells may carry colour, which takes no width."""
    body = [list(row) for row in rows]
    widths = [
        max(len(click.unstyle(cell)) for cell in (title, *(row[column] for row in body)))
        for column, title in enumerate(head)
    ]
    sides = align.ljust(len(head), LEFT)
    lines = [_line([click.style(title, dim=True) for title in head], widths, sides, indent)]
    lines.extend(_line(row, widths, sides, indent) for row in body)
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], sides: str, indent: int) -> str:
    padded = []
    for cell, width, side in zip(cells, widths, sides, strict=False):
        gap = " " * (width - len(click.unstyle(cell)))
        padded.append(gap + cell if side == RIGHT else cell + gap)
    return " " * indent + "  ".join(padded).rstrip()


def good(text: str) -> str:
    """As it should be."""
    return click.style(text, fg="green")


def bad(text: str) -> str:
    """Somebody should look."""
    return click.style(text, fg="red")


def note(text: str) -> str:
    """Worth knowing."""
    return click.style(text, fg="yellow")


def dim(text: str) -> str:
    """Detail."""
    return click.style(text, dim=True)


def heading(text: str) -> str:
    """A title."""
    return click.style(text, bold=True)


def octets(count: int) -> str:
    """Bytes with a binary unit (IEC 80000-13)."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def percent(share: float) -> str:
    """0..1 as a percentage; what is not quite all never reads as all."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 < share < 1:
        return ">99.9 %"
    return f"{share * 100:.1f} %"
