# SPDX-License-Identifier: Apache-2.0
"""What differs between two intents, as steps on the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyvisor.model.plan import PlanStep
from anyvisor.model.site import Site
from anyvisor.planner.diff import changed_fields, compare

_ON = "database"


def changes_of_intent(before: Site, after: Site) -> tuple[PlanStep, ...]:
    """One step per object that is added, changed (naming its fields) or removed; none if both say the same."""
    if before == after:
        return ()
    return (
        *_setting("controller", before.controller, after.controller),
        *_setting("policy", before.policy, after.policy),
        *_objects("manager", before.managers, after.managers),
        *_objects("host", before.hosts, after.hosts),
        *_objects("network", before.networks, after.networks),
        *_objects("router", before.routers, after.routers),
        *_objects("security group", before.security_groups, after.security_groups),
        *_objects("port", before.ports, after.ports),
    )


def _setting(noun: str, before: object, after: object) -> tuple[PlanStep, ...]:
    return () if before == after else (PlanStep(do="change", on=_ON, what=noun),)


def _objects(noun: str, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[PlanStep, ...]:
    difference = compare(after, before)
    return (
        *(PlanStep(do="add", on=_ON, what=f"{noun} {name}") for name in difference.missing),
        *(
            PlanStep(
                do="change",
                on=_ON,
                what=f"{noun} {name}: {', '.join(changed_fields(before[name], after[name]))}",
            )
            for name in difference.changed
        ),
        *(PlanStep(do="remove", on=_ON, what=f"{noun} {name}") for name in difference.surplus),
    )
