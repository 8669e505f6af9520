# SPDX-License-Identifier: Apache-2.0
"""One round: look at some keys, decide, store what was decided, write the difference to the controller, say how it is.

The only path to every state: creation, change, removal, restart and drift all come through here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from anyvisor.contracts.controller import Change, ControllerDriver, Refusal
from anyvisor.contracts.store import Decision, Store
from anyvisor.errors import TerminalError
from anyvisor.model.condition import Condition
from anyvisor.model.logical import LogicalObject
from anyvisor.model.names import GroupName, HostName, NetworkName, ObjectKey, PortName, RouterName
from anyvisor.model.state import State
from anyvisor.planner.decide import Decided, Decider
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.logical import (
    logical_group,
    logical_network,
    logical_port,
    logical_router,
    logical_trunk,
)
from anyvisor.planner.moves import placed
from anyvisor.planner.sightings import Sightings
from anyvisor.reconcile import conditions
from anyvisor.reconcile.moving import Moving

log = logging.getLogger(__name__)

_COMPILED = frozenset({"host", "network", "router", "group", "port"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a round did. `retry` are keys to look at again, with the delay in seconds somebody asked for."""

    changes: tuple[Change, ...] = ()
    retry: Mapping[ObjectKey, float | None] = field(default_factory=dict)
    looked_at: frozenset[ObjectKey] = frozenset()


class Engine:
    """Keeps the indexes between rounds. One thread; one active engine per database (by its lock)."""

    def __init__(self, store: Store, controller: ControllerDriver, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._controller = controller
        self._clock = clock
        self._fleet = Fleet()
        self._decider = Decider(self._fleet)
        self._sightings = Sightings()
        self._loaded = False
        self._said: dict[ObjectKey, tuple[Condition, ...]] = {}
        self._moving = Moving(controller, clock)

    def round(self, keys: Iterable[ObjectKey], *, everything: bool = False) -> Outcome:
        """Look at `keys`, at what hangs on them, and with `everything` also at what is there but no longer wanted."""
        try:
            return self._round(keys, everything=everything)
        except BaseException:
            # Also after a fault of ours. What was decided may not be stored, and what was touched not written:
            # begin again from what is stored.
            self._fleet = Fleet()
            self._decider = Decider(self._fleet)
            self._sightings = Sightings()
            self._said = {}
            self._loaded = False
            raise

    def _round(self, keys: Iterable[ObjectKey], *, everything: bool) -> Outcome:
        state = self._store.snapshot()
        if not self._loaded:
            self._decider.load(state)
            self._said.update(state.conditions)
            self._loaded = True
            everything = True
        if everything:
            keys = {*keys, *every_key(state), *(key for key in self._controller.owned())}
        keys = frozenset(keys)
        moved = self._sightings.news(state, keys)
        if moved:
            self._store.decide(
                Decision(placements=moved, moves=placed(state, moved, int(self._clock() * 1000)))
            )
            state = self._store.snapshot()
            keys |= {ObjectKey("port", port) for port in moved}
        decided = self._decider.round(state, keys, now_seconds=int(self._clock()))
        self._store_decided(state, decided)
        wanted, unwanted = compiled(self._fleet, decided)
        outcome = self._write(wanted, unwanted, decided.failures)
        self._report(decided, outcome)
        if removed := [key for key in unwanted if key.kind != "host"]:
            self._store.forget(removed)
        retry = {key: delay for key, (_, delay) in outcome.failed.items() if delay is not NEVER}
        return Outcome(changes=tuple(outcome.changes), retry=retry, looked_at=frozenset(decided.touched))

    def say_applied(self, generation: int) -> None:
        """The intent of that generation is carried out, as far as it can be."""
        self._store.decide(Decision(applied=generation))

    def _store_decided(self, state: State, decided: Decided) -> None:
        """Before anything else is written: a tag must be ours before a frame carries it."""
        decision = Decision(
            schemes=decided.schemes,
            ports=decided.ports,
            attachments=decided.attachments,
            tags=decided.tags,
            underlay_mtu=None if self._fleet.underlay_mtu == state.underlay_mtu else self._fleet.underlay_mtu,
        )
        if not decision.empty:
            self._store.decide(decision)

    def _write(
        self, wanted: list[LogicalObject], unwanted: list[ObjectKey], failures: Mapping[ObjectKey, Condition]
    ) -> _Written:
        written = _Written()
        written.failed.update({key: (condition, NEVER) for key, condition in failures.items()})
        self._write_some(wanted, unwanted, written)
        return written

    def _write_some(self, wanted: list[LogicalObject], unwanted: list[ObjectKey], written: _Written) -> None:
        if not wanted and not unwanted:
            return
        try:
            plan = self._controller.plan(wanted, unwanted)
            self._controller.apply(plan)
        except TerminalError as error:
            self._bisect(wanted, unwanted, error, written)
            return
        written.changes.extend(plan.changes)
        for refusal in plan.refusals:
            written.refuse(refusal)
        for change in plan.changes:
            log.debug("%s %s", change.do, change.what)

    def _bisect(
        self, wanted: list[LogicalObject], unwanted: list[ObjectKey], error: TerminalError, written: _Written
    ) -> None:
        """One bad object must not hold up the others: find it by halves."""
        if len(wanted) + len(unwanted) == 1:
            key = wanted[0].key if wanted else unwanted[0]
            log.error("%s: waits for a change of intent: %s", key, error)
            written.failed[key] = (conditions.not_ready("Refused", str(error)), NEVER)
            return
        if unwanted:
            self._write_some(wanted, [], written)
            half = len(unwanted) // 2
            self._write_some([], unwanted[:half], written)
            self._write_some([], unwanted[half:], written)
            return
        ordered = sorted(wanted, key=lambda item: (_RANK[item.key.kind], item.key.name))
        half = len(ordered) // 2
        self._write_some(ordered[:half], [], written)
        self._write_some(ordered[half:], [], written)

    def _report(self, decided: Decided, written: _Written) -> None:
        state = self._store.snapshot()
        site = self._fleet.site
        ports = [
            PortName(key.name)
            for key in decided.touched
            if key.kind == "port" and PortName(key.name) in site.ports
        ]
        up = self._controller.up(ports) if ports else {}
        news: dict[ObjectKey, tuple[Condition, ...]] = {}
        for key in decided.touched:
            if not _in_site(self._fleet, key):
                self._said.pop(key, None)
                continue
            failed = written.failed.get(key)
            condition = failed[0] if failed is not None else self._condition(state, key, up)
            if condition is not None and self._said.get(key) != (condition,):
                self._said[key] = (condition,)
                news[key] = (condition,)
        moves = self._moving.look(state, ports)
        if news or moves:
            self._store.decide(Decision(conditions=news, moves=moves))

    def _condition(self, state: State, key: ObjectKey, up: Mapping[PortName, bool]) -> Condition | None:
        match key.kind:
            case "host":
                return conditions.of_host(self._fleet, state, HostName(key.name))
            case "port":
                name = PortName(key.name)
                return conditions.of_port(self._fleet, state, name, up=up.get(name, False))
            case "network" | "router" | "group":
                return conditions.written(key)
            case _:
                return None


NEVER = float("inf")
"""Not worth another try before something changes."""
_WAIT_SECONDS = 0.5
_RANK: Mapping[str, int] = {"network": 0, "group": 1, "router": 2, "host": 3, "port": 4}


class _Written:
    """What became of the writes of one round."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.failed: dict[ObjectKey, tuple[Condition, float | None]] = {}

    def refuse(self, refusal: Refusal) -> None:
        """Something is in the way. What only waits for another object comes again by itself."""
        delay = _WAIT_SECONDS if refusal.reason == "WaitsFor" else NEVER
        self.failed[refusal.key] = (conditions.not_ready(refusal.reason, refusal.message), delay)


def every_key(state: State) -> set[ObjectKey]:
    """All objects of the intent."""
    site = state.site
    return {
        *(ObjectKey("host", name) for name in site.hosts),
        *(ObjectKey("network", name) for name in site.networks),
        *(ObjectKey("router", name) for name in site.routers),
        *(ObjectKey("group", name) for name in site.security_groups),
        *(ObjectKey("port", name) for name in site.ports),
        *(ObjectKey("port", name) for name in state.attachments),
    }


def _in_site(fleet: Fleet, key: ObjectKey) -> bool:
    site = fleet.site
    held: Mapping[str, Collection[str]] = {
        "host": site.hosts,
        "network": site.networks,
        "router": site.routers,
        "group": site.security_groups,
        "port": site.ports,
    }
    return key.name in held.get(key.kind, ())


def compiled(fleet: Fleet, decided: Decided) -> tuple[list[LogicalObject], list[ObjectKey]]:
    """What the controller is to have of everything that was touched, and what it is to have no longer."""
    wanted: list[LogicalObject] = []
    unwanted: list[ObjectKey] = []
    for key in sorted(decided.touched):
        if key.kind not in _COMPILED or key in decided.failures:
            continue
        if not _in_site(fleet, key):
            unwanted.append(key)
        elif key.kind == "host":
            trunk = logical_trunk(fleet, HostName(key.name))
            wanted.extend(() if trunk is None else (trunk,))
            unwanted.extend((key,) if trunk is None else ())
        elif key.kind == "network":
            wanted.append(logical_network(fleet, NetworkName(key.name)))
        elif key.kind == "router":
            wanted.append(logical_router(fleet, RouterName(key.name)))
        elif key.kind == "group":
            wanted.append(logical_group(fleet, GroupName(key.name)))
        else:
            wanted.append(logical_port(fleet, PortName(key.name)))
    return wanted, unwanted
