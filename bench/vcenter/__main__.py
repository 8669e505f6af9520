# SPDX-License-Identifier: Apache-2.0
"""Run the bench of the vSphere side: ``python -m bench.vcenter [HOSTS VNICS …] [--json]``."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from anyvisor.testing.daemons import missing_programs
from bench.vcenter.gauge import count_bytes
from bench.vcenter.inventory import HOSTS_PER_CLUSTER, Size
from bench.vcenter.measure import measure
from bench.vcenter.report import faults, to_json, to_text

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_DEFAULT = (8, 625, 64, 5000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every size; 0 if one change costs what one change costs (or one size alone cannot say), 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m bench.vcenter", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, metavar="HOSTS VNICS", default=_DEFAULT)
    parser.add_argument("--changes", type=int, default=7, help="how often each change is made (default: 7)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    arguments = parser.parse_args(argv)
    if len(arguments.sizes) % 2:
        parser.error("sizes are pairs: hosts and vNICs")
    sizes = _sizes(arguments.sizes, arguments.changes)
    for size in sizes:
        if size.hosts % HOSTS_PER_CLUSTER or size.vnics < size.hosts * (arguments.changes + 1):
            parser.error(f"{size}: clusters have {HOSTS_PER_CLUSTER} hosts, and each change wants another VM")
    if lacking := missing_programs():
        sys.stderr.write(f"not installed: {', '.join(lacking)}\n")
        return _USAGE
    signal.signal(signal.SIGTERM, _leave)
    logging.getLogger("anyvisor").setLevel(logging.CRITICAL)
    count_bytes()
    begin = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - begin:5.1f} s] {line}\n")
        sys.stderr.flush()

    try:
        found = measure(sizes, arguments.changes, say)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is left behind\n")
        return _INTERRUPTED
    click.echo(json.dumps(to_json(found), indent=2) if arguments.json else "\n".join(to_text(found)))
    return _FAILED if len(found) > 1 and faults(found) else 0


def _sizes(numbers: Sequence[int], changes: int) -> list[Size]:
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [Size(hosts=hosts, vnics=vnics, spares=changes + 1) for hosts, vnics in sorted(set(pairs))]


def _leave(number: int, _frame: Any) -> None:
    """Ends as an interruption does, so that everything is taken down."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
