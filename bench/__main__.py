# SPDX-License-Identifier: Apache-2.0
"""Run the bench: ``python -m bench [SIZES…] [--json]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import Any

import click

from anyvisor.testing.daemons import missing_programs
from bench.measure import Figures, measure
from bench.report import holds, to_json, to_text

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


def main() -> int:
    """Measure every size; 0 if the criterion holds (or one size alone cannot say), 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=_size, metavar="SIZE", default=[100, 1000, 10_000])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    arguments = parser.parse_args()
    if lacking := missing_programs():
        sys.stderr.write(f"not installed: {', '.join(lacking)}\n")
        return _USAGE
    signal.signal(signal.SIGTERM, _leave)
    begin = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - begin:5.1f} s] {line}\n")
        sys.stderr.flush()

    try:
        found = measure(sorted(set(arguments.sizes)), say)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is left behind\n")
        return _INTERRUPTED
    _print(found, as_json=arguments.json)
    return 0 if holds(found) is not False else _FAILED


def _print(found: list[Figures], *, as_json: bool) -> None:
    text = json.dumps(to_json(found), indent=2) if as_json else "\n".join(to_text(found))
    click.echo(text)


def _size(text: str) -> int:
    size = int(text)
    if size < 50:
        raise argparse.ArgumentTypeError("a site has 50 ports at least")
    return size


def _leave(number: int, _frame: Any) -> None:
    """Ends as an interruption does, so that everything is taken down."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
