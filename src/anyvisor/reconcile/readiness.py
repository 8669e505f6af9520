# SPDX-License-Identifier: Apache-2.0
"""How far an intent has been carried out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.condition import Condition
from anyvisor.model.names import ObjectKey
from anyvisor.model.state import State
from anyvisor.planner.admission import MTU_TOO_SMALL
from anyvisor.reconcile.conditions import READY

ABSENT = frozenset({"WaitsForVnic", "NotPlaced"})
"""The VM is not there: nothing is wrong with what was asked for."""
FINAL = frozenset(
    {
        "ForeignRow",
        "Refused",
        "NoVlan",
        "NoAddress",
        "NoScheme",
        "UnknownHost",
        "DriverMissing",
        "RolledBack",
        MTU_TOO_SMALL,
    }
)
"""Waiting will not help: somebody must change something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Objects by what holds them up; `ready` counts the others."""

    ready: int
    coming: tuple[tuple[ObjectKey, Condition], ...] = ()
    absent: tuple[tuple[ObjectKey, Condition], ...] = ()
    failed: tuple[tuple[ObjectKey, Condition], ...] = ()

    @property
    def total(self) -> int:
        """All objects of the intent that have a state."""
        return self.ready + len(self.coming) + len(self.absent) + len(self.failed)


def readiness(state: State) -> Readiness:
    """Sort the objects of the intent by their condition `Ready`; one of which nothing was said yet is coming."""
    ready = 0
    coming: list[tuple[ObjectKey, Condition]] = []
    absent: list[tuple[ObjectKey, Condition]] = []
    failed: list[tuple[ObjectKey, Condition]] = []
    for key in _keys(state):
        condition = next((c for c in state.conditions.get(key, ()) if c.kind == READY), _UNSAID)
        if condition.true:
            ready += 1
        elif condition.reason in ABSENT:
            absent.append((key, condition))
        elif condition.reason in FINAL:
            failed.append((key, condition))
        else:
            coming.append((key, condition))
    return Readiness(ready=ready, coming=tuple(coming), absent=tuple(absent), failed=tuple(failed))


_UNSAID = Condition(kind=READY, true=False, reason="Unseen", message="not looked at yet")


def _keys(state: State) -> list[ObjectKey]:
    site = state.site
    return [
        *(ObjectKey("host", name) for name in sorted(site.hosts)),
        *(ObjectKey("network", name) for name in sorted(site.networks)),
        *(ObjectKey("router", name) for name in sorted(site.routers)),
        *(ObjectKey("group", name) for name in sorted(site.security_groups)),
        *(ObjectKey("port", name) for name in sorted(site.ports)),
    ]
