# SPDX-License-Identifier: Apache-2.0
"""A plan for an estate in parts: what hangs on hosts, and entry by entry what hangs on one vNIC or one group.

So that an entry can be made anew without the others; `assembled` gives the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from anyvisor.model.estate import CardId, Estate, EstateStep, Group
from anyvisor.model.names import PortName
from anyvisor.planner.admission import Held
from anyvisor.planner.silence import within_reach

Place: TypeAlias = tuple[str, str, str]
"""Switch, host (empty on a distributed switch) and name of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstatePlan:
    """Steps, the card of each port, and what is wrong, by port or host."""

    steps: tuple[EstateStep, ...] = ()
    cards: Mapping[PortName, CardId] = field(default_factory=dict)
    plugged: Mapping[PortName, CardId] = field(default_factory=dict)
    """Those that are where they belong already."""
    problems: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[PortName, str] = field(default_factory=dict)
    """What somebody should look at, vNIC by vNIC; it keeps nothing from being done."""
    held: Mapping[PortName, Held] = field(default_factory=dict)
    """Of those that are held back the ones that would be plugged now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be said and done about vNICs and their groups. Each entry hangs on a few others alone: those that
    `anyvisor.planner.neighbours` finds.
    """

    cards: dict[PortName, CardId] = field(default_factory=dict)
    plugged: dict[PortName, CardId] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By port or name of a VM."""
    cautions: dict[PortName, str] = field(default_factory=dict)
    held: dict[PortName, Held] = field(default_factory=dict)
    making: dict[Place, EstateStep] = field(default_factory=dict)
    plugging: dict[PortName, EstateStep] = field(default_factory=dict)
    leaving: dict[Place, tuple[EstateStep, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is to be said and done about hosts: their inner switches and appliances."""

    switches: tuple[EstateStep, ...] = ()
    appliances: tuple[EstateStep, ...] = ()
    unused: tuple[EstateStep, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def assembled(frame: Frame, proposal: Proposal, estate: Estate) -> EstatePlan:
    """Both parts in the order in which they are carried out, without what a silent host would have to do."""
    steps = (
        *frame.switches,
        *(step for _, step in sorted(proposal.making.items(), key=_by_key)),
        *frame.appliances,
        *(step for _, step in sorted(proposal.plugging.items(), key=_by_key)),
        *(step for _, steps in sorted(proposal.leaving.items(), key=_by_key) for step in steps),
        *frame.unused,
    )
    steps, silent = within_reach(steps, estate)
    return EstatePlan(
        steps=steps,
        cards=proposal.cards,
        plugged=proposal.plugged,
        problems={**proposal.problems, **frame.problems, **silent},
        cautions=proposal.cautions,
        held=proposal.held,
    )


def place_of(group: Group) -> Place:
    """Where a group is."""
    return (group.switch, group.host or "", group.name)


def wire_of(group: Group) -> tuple[str, str, int | None]:
    """What no two groups may have in common; of trunks there is one per switch and host anyway."""
    return (group.switch, group.host or "", group.vlan)


def by_place(item: tuple[Place, Any]) -> Place:
    """To sort items of a mapping by."""
    return item[0]


def _by_key(item: tuple[str, Any] | tuple[Place, Any]) -> Any:
    return item[0]
