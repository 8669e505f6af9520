# SPDX-License-Identifier: Apache-2.0
"""What `plan --json` said beforehand would escape or not be enforced. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.lab.checks import Check
from anyvisor.planner.escape import NO_EGRESS, NO_INGRESS, OWN_ADDRESSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """`escapes` by pair of ports, `rules` by (port, rule): why, in the plan's words."""

    escapes: Mapping[frozenset[str], str]
    rules: Mapping[tuple[str, str], str]

    def why(self, check: Check) -> str | None:
        """Why what the policy forbids passes here; None if the plan does not say that it might.

        Around the controller it must name the pair; else that the sender is not held to its addresses, or that what
        is denied by default is not denied at the receiver or at the sender.
        """
        if check.expected.escape:
            return self.escapes.get(frozenset((check.source, check.target)))
        if check.proto == "spoof":
            return self.rules.get((check.source, OWN_ADDRESSES))
        return self.rules.get((check.target, NO_INGRESS)) or self.rules.get((check.source, NO_EGRESS))


def foretold(document: Mapping[str, Any]) -> Foretold:
    """Read the document of ``plan --json``."""
    return Foretold(
        escapes={frozenset((pair["from"], pair["to"])): pair["why"] for pair in document["escapes"]},
        rules={(rule["port"], rule["rule"]): rule["why"] for rule in document["unenforced"]},
    )
