# SPDX-License-Identifier: Apache-2.0
"""What is known about an object's state, with the reason: the same words in `view`, `explain` and the database."""

from __future__ import annotations

from dataclasses import dataclass

CARD_READY = "CardReady"
"""The kind of what is said of a network card that is to switch for its host."""
LEGACY = "Legacy"
"""The reason where that card is in legacy mode: it switches, and nobody sees what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One statement about an object. `reason` is a CamelCase word for programs, `message` a sentence for people."""

    kind: str
    """``Ready``, ``Attached``, ``Converted``, …"""
    true: bool
    reason: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.kind}={'true' if self.true else 'false'} {self.reason}" + (
            f": {self.message}" if self.message else ""
        )
