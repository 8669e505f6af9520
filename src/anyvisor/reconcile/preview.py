# SPDX-License-Identifier: Apache-2.0
"""What a full round would write, found without writing anything anywhere (``anyvisor apply --dry-run``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from anyvisor.contracts.controller import ControllerDriver, ControllerPlan
from anyvisor.contracts.entity import EntityDriver
from anyvisor.model.estate import Estate
from anyvisor.model.state import HostState, State
from anyvisor.planner.decide import Decided, Decider
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.proposal import EstatePlan
from anyvisor.planner.wanted import Wishes, wanted_of
from anyvisor.planner.whereabouts import moved
from anyvisor.reconcile.engine import compiled, every_key
from anyvisor.reconcile.entity import wish_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The next writes. What hangs on those (a card is plugged when its way is laid) follows in later rounds."""

    controller: ControllerPlan
    estates: Mapping[str, EstatePlan] = field(default_factory=dict)
    """By the name of the manager."""
    entities: Mapping[str, ControllerPlan] = field(default_factory=dict)
    """Likewise, of vendors' own controllers."""


def preview(
    state: State,
    controller: ControllerDriver,
    estates: Mapping[str, Estate],
    entities: Mapping[str, EntityDriver] | None = None,
    *,
    wishes: Wishes,
    now_seconds: int,
) -> Preview:
    """The first full round on `state`, where the managers report `estates`; `entities` are asked.

    Raises:
        UnreachableError: the controller does not answer, or one of the entities.
    """
    state = replace(state, hosts={name: state.hosts.get(name, HostState()) for name in state.site.hosts})
    for estate in estates.values():
        state = replace(state, placements={**state.placements, **moved(state, estate)})
    fleet = Fleet()
    decider = Decider(fleet)
    decider.load(state)
    decided = decider.round(state, {*every_key(state), *controller.owned()}, now_seconds=now_seconds)
    wanted, unwanted = compiled(fleet, decided)
    after = _after(state, decided, fleet.underlay_mtu)
    return Preview(
        controller=controller.plan(wanted, unwanted),
        estates={
            manager: estate_plan(wanted_of(after, estate, wishes), estate)
            for manager, estate in estates.items()
        },
        entities={
            manager: driver.plan(wish)
            for manager, driver in (entities or {}).items()
            if (wish := wish_of(after, manager)) is not None
        },
    )


def _after(state: State, decided: Decided, underlay_mtu: int) -> State:
    """`state` once that is decided."""
    schemes = {name: replace(state.hosts[name], scheme=scheme) for name, scheme in decided.schemes.items()}
    attachments = {**state.attachments, **decided.attachments}
    tags = {**state.tags, **decided.tags}
    ports = {**state.ports, **decided.ports}
    return replace(
        state,
        underlay_mtu=underlay_mtu,
        ports={port: known for port, known in ports.items() if known is not None},
        hosts={**state.hosts, **schemes},
        attachments={port: each for port, each in attachments.items() if each is not None},
        tags={key: tag for key, tag in tags.items() if tag is not None},
    )
