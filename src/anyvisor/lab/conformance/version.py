# SPDX-License-Identifier: Apache-2.0
"""Which Open vSwitch and OVN a lab runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from anyvisor.lab.programs import Programs, run

ASKED = {"Open vSwitch": "ovs-vswitchd", "OVN": "ovn-controller"}
"""What is named, and the program that is asked."""
_NUMBER = re.compile(r"\d+(\.\d+)+")


def versions(programs: Programs) -> Mapping[str, str]:
    """By name, as their programs say.

    Raises:
        TerminalError: one cannot be run.
    """
    return {name: number(run(programs.command(program, "--version"))) for name, program in ASKED.items()}


def number(said: str) -> str:
    """The first version number that ``--version`` names; ``unknown`` if there is none."""
    found = _NUMBER.search(said)
    return found[0] if found is not None else "unknown"
