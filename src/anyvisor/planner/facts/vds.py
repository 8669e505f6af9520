# SPDX-License-Identifier: Apache-2.0
"""Versions of VMware's distributed switches: which hosts take part in which, and which of them learn MAC addresses."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.planner.facts.version import Version, parse

VERSIONS: tuple[tuple[str, Version], ...] = (
    ("9.0.0", (9, 0, 0)),
    ("8.0.3", (8, 0, 3)),
    ("8.0.0", (8, 0, 0)),
    ("7.0.3", (7, 0, 3)),
    ("7.0.2", (7, 0, 2)),
    ("7.0.0", (7, 0, 0)),
    ("6.6.0", (6, 7, 0)),
    ("6.5.0", (6, 5, 0)),
    ("6.0.0", (6, 0, 0)),
)
"""Versions of distributed switches, each with the oldest ESXi (and vCenter) that takes part in one."""
LEARNS_FROM: Version = (6, 6, 0)


def newest_version(host_version: str) -> str | None:
    """The newest distributed switch that a host takes part in; None for one that is too old for any of ours, and for
    one whose version is not known."""
    version = parse(host_version)
    if version is None:
        return None
    return next((switch for switch, oldest in VERSIONS if version >= oldest), None)


def common_version(host_versions: Iterable[str]) -> str | None:
    """The newest that all of them take part in; None if one of them takes part in none, or there is no host."""
    newest = [newest_version(version) for version in host_versions]
    known = [version for version in newest if version is not None]
    if not known or len(known) != len(newest):
        return None
    return min(known, key=_numbers)


def learns(version: str) -> bool:
    """Whether a distributed switch of that version can learn MAC addresses."""
    return _numbers(version) >= LEARNS_FROM


def at_least(version: str, wanted: str) -> bool:
    """Whether a version is that one or a newer."""
    return _numbers(version) >= _numbers(wanted)


def _numbers(version: str) -> Version:
    return parse(version) or (0, 0, 0)
