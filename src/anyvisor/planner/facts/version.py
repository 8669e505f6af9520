# SPDX-License-Identifier: Apache-2.0
"""Vendors' version strings as something to compare. Updates count as the third number: ``6.5 U1`` is ``6.5.1``."""

from __future__ import annotations

import re

Version = tuple[int, int, int]

_VERSION = re.compile(
    r"(?<![\d.])(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:\s*(?:u|update)\s*(\d{1,2}))?", re.IGNORECASE
)


def parse(text: str) -> Version | None:
    """The first version number in `text` (``VMware ESXi 8.0 U3``, ``8.0.3``, ``XCP-ng 8.3``), None if there is none."""
    found = _VERSION.search(text)
    if found is None:
        return None
    major, minor, third, update = (int(part) if part else 0 for part in found.groups())
    return (major, minor, third or update)
