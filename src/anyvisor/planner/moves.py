# SPDX-License-Identifier: Apache-2.0
"""What is kept of migrations: begun and arrived as a manager tells, staged and finalised as the controller does. Pure.

Two parts of anyvisord write: who looks at managers, and who looks at the controller. Each fills in its own times; a
time that is there never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from anyvisor.model.move import Move
from anyvisor.model.names import HostName, PortName
from anyvisor.model.state import Placement, State
from anyvisor.planner.seats import chassis_host

KEPT = 10
"""How many migrations are remembered per port."""
Moves = dict[tuple[PortName, int], Move | None]
"""By port and the time it began; None for one that is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the controller has a port now. `also` are chassis that have claimed it beside the main one."""

    chassis: HostName | None = None
    also: frozenset[HostName] = frozenset()
    up: bool = False


def placed(state: State, news: Mapping[PortName, Placement | None], now_ms: int) -> Moves:
    """What is to be written about migrations when these placements are news. One that is forgotten is none."""
    changed: Moves = {}
    for port, place in news.items():
        if place is None:
            continue
        known = state.moves.get(port, ())
        for move in _told(known, state.placements.get(port), place, now_ms):
            changed[port, move.begun] = move
        fresh = sum(1 for who, begun in changed if who == port and all(m.begun != begun for m in known))
        surplus = known[: max(0, len(known) + fresh - KEPT)]
        changed |= {(port, move.begun): None for move in surplus}
    return changed


def followed(move: Move, binding: Binding, *, plugged: bool, native: bool, now_ms: int) -> Move:
    """The migration with what the controller shows of it.

    `native` says that the new host's vNICs sit behind a switch that the controller does not program: then the port is
    ready once its vNIC is `plugged` there.
    """
    if move.over:
        return move
    bound = chassis_host(binding.chassis) if binding.chassis is not None else None
    if move.arrived is None:
        claimed = move.staged is None and move.target in {bound, *map(chassis_host, binding.also)}
        return replace(move, staged=now_ms) if claimed else move
    ready = plugged if native else binding.up and bound == move.target
    return replace(move, finalised=max(now_ms, move.arrived)) if ready else move


def under_way(moves: tuple[Move, ...]) -> Move | None:
    """The newest, if it is not over."""
    return moves[-1] if moves and not moves[-1].over else None


def with_move(moves: Iterable[Move], begun: int, move: Move | None) -> tuple[Move, ...]:
    """The migrations of a port, oldest first, with that one put in, or without it."""
    others = [each for each in moves if each.begun != begun]
    return tuple(sorted((*others, *((move,) if move is not None else ())), key=lambda each: each.begun))


def _told(known: tuple[Move, ...], before: Placement | None, place: Placement, now_ms: int) -> Iterator[Move]:
    last = under_way(known)
    open_move = last if last is not None and last.arrived is None else None
    # One per port and millisecond: the time is what tells them apart.
    now = max((now_ms, *(move.begun + 1 for move in known)))
    if open_move is not None:
        if place.host == open_move.target:
            yield replace(open_move, arrived=max(now_ms, open_move.begun))
        elif (place.host, place.moving_to) == (open_move.origin, open_move.target):
            return
        else:
            yield replace(open_move, returned=max(now_ms, open_move.begun))
    elif before is not None and before.host != place.host:
        yield Move(begun=now, origin=before.host, target=place.host, arrived=now)
        now += 1
    if place.moving_to is not None and place.moving_to != place.host:
        yield Move(begun=now, origin=place.host, target=place.moving_to)
