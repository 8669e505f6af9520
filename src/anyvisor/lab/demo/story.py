# SPDX-License-Identifier: Apache-2.0
"""A story with chapters and statements: each is checked while it is told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from anyvisor.lab import report, session
from anyvisor.lab.checks import Check
from anyvisor.lab.outage import Measurement
from anyvisor.lab.place import Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import on_standard_error
from anyvisor.lab.verify import Pace

WIDTH = 100


@dataclass(slots=True)
class Story:
    """What has been found so far."""

    place: Place
    begin: float = field(default_factory=time.monotonic)
    findings: list[tuple[bool, str]] = field(default_factory=list)
    chapters: int = 0
    daemon: subprocess.Popen[bytes] | None = None

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A heading, and how long what stands under it took."""
        self.chapters += 1
        text = f" {self.chapters}. {title} "
        click.echo("\n" + click.style("──" + text + "─" * (WIDTH - len(text) - 2), bold=True))
        begin = time.monotonic()
        yield
        click.echo(click.style(f"({time.monotonic() - begin:.1f} s)", dim=True))

    def hold(self, words: str, *, true: bool) -> None:
        """A statement that must be true for the demo to succeed."""
        self.findings.append((true, words))
        mark = click.style("holds ", fg="green") if true else click.style("BROKEN", fg="red", bold=True)
        click.echo(f"{mark} {words}")

    def anyvisor(self, *arguments: str) -> None:
        """Run a command of the product before the reader's eyes.

        Raises:
            TerminalError: it failed.
        """
        click.echo(click.style("$ anyvisor " + " ".join(arguments), fg="cyan"))
        self.product.run(*arguments)

    def serve(self) -> None:
        """Start anyvisord; `end` stops it."""
        click.echo(click.style("$ anyvisor serve &", fg="cyan"))
        self.daemon = self.product.serve()

    def end(self) -> None:
        """Stop the daemon."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()

    def check(self, *, only: Callable[[Check], bool] | None = None, pace: Pace | None = None) -> None:
        """Send real packets, show what came of it, and hold that each did what the plan said.

        Raises:
            TerminalError: nothing has been applied yet.
        """
        found = session.check(self.place, on_standard_error(), only=only, pace=pace)
        for line in report.to_text(found, self.place):
            click.echo(line)
        good = len(found.results) - len(found.failures)
        self.hold(f"{good} of {len(found.results)} packets did what the plan said", true=not found.failures)

    @contextmanager
    def measuring(self, *flows: tuple[str, str]) -> Iterator[Measurement]:
        """Let VMs talk (source, target) while the context lasts, then show what each lost.

        Raises:
            TerminalError: one of them has no address.
        """
        streams = [session.flow(self.place, *pair) for pair in flows]
        with session.measuring(self.place, *streams) as measured:
            yield measured
        for found in measured.outages:
            click.echo(f"  {found}")

    def escapes_as_planned(self, site: Path) -> set[frozenset[str]]:
        """Hold that the pairs which talk around the controller are those that the plan of this site names, and return
        them."""
        named, planned = (
            {frozenset((pair["from"], pair["to"])) for pair in document["escapes"]}
            for document in (self.json("view"), self.json("plan", "-f", str(site)))
        )
        self.hold(
            f"the {len(named)} pairs that escape are the ones that the plan named", true=named == planned
        )
        return named

    def json(self, *arguments: str) -> Any:
        """The document that a command of the product prints."""
        return self.product.json(*arguments)

    @property
    def product(self) -> Product:
        """Its commands."""
        return Product(self.place)
