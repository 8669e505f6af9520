# SPDX-License-Identifier: Apache-2.0
"""What a person reads while the lab is at work: one line per stage, with the time since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]


def on_standard_error() -> Say:
    """Lines like ``[  1.2 s] kvm1: Open vSwitch``; standard output stays free for results."""
    begin = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - begin:5.1f} s] {line}", file=sys.stderr, flush=True)

    return say


def silent(_line: str) -> None:
    """Says nothing."""
