# SPDX-License-Identifier: Apache-2.0
"""What is measured in a world of one size, in the order in which it must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

from anyvisor.model.names import PortName
from bench.change import Operation, delete, insert
from bench.vcenter.gauge import Cost, cost, memory, middle
from bench.vcenter.inventory import Size, port
from bench.vcenter.world import World

Say: TypeAlias = Callable[[str], None]

IDLE_SECONDS = 5.0
LOOKS = 5


@dataclass(slots=True, kw_only=True)
class Figures:
    """What was found at one size. Medians unless they happen once."""

    size: Size
    first: Cost = field(default_factory=Cost)
    """From the login until the whole picture is there."""
    first_memory: int = 0
    """Bytes that this takes."""
    built: Cost = field(default_factory=Cost)
    """From the order to write the intent until every card is where it belongs."""
    look: Cost = field(default_factory=Cost)
    """One that finds nothing to do."""
    full: Cost = field(default_factory=Cost)
    """One at everything, as one is made every minute, that finds nothing to do."""
    counters: Cost = field(default_factory=Cost)
    """Read once."""
    idle: float = 0.0
    """Share of a core that listening costs while nothing happens."""
    changes: dict[str, Cost] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    """By kind of change, its CPU against that of the same change at the smallest size, made right before."""
    memory: int = 0
    """Bytes that all of it takes in the end, without what the process takes anyway."""


def measure(sizes: Sequence[Size], changes: int, say: Say) -> list[Figures]:
    """Build a world of each size, measure, take it down. Each kind of change is made so often, and once before.

    The smallest comes first and stays up to the end, as the yardstick: the machine is never twice the same.

    Raises:
        AnyvisorError: something did not succeed.
        TimeoutError: something did not happen in time.
    """
    least, *more = sizes
    first = Figures(size=least)
    found = [first]
    with World(least) as yardstick:
        before = _fill(yardstick, first, say)
        _change(yardstick, first, changes, say, None)
        first.memory = memory() - before
        for size in more:
            found.append(Figures(size=size))
            with World(size) as world:
                before = _fill(world, found[-1], say)
                _change(world, found[-1], changes, say, yardstick)
                found[-1].memory = memory() - before
    return found


def _fill(world: World, found: Figures, say: Say) -> int:
    """Returns how much memory the process took before."""
    say(f"{world.size}: the vCenter runs")
    before = memory()
    with cost(world) as costs:
        world.connect()
    found.first = costs[0]
    found.first_memory = memory() - before
    say(f"{world.size}: known after {found.first.wall:.1f} s")
    world.watch()
    world.settle()
    with cost(world, done=True) as costs:
        world.build()
    found.built = costs[0]
    say(f"{world.size}: built after {found.built.wall:.1f} s")
    _rest(world, found, say)
    return before


def _rest(world: World, found: Figures, say: Say) -> None:
    """What it costs while nothing happens."""
    world.reconciler.measure()  # the first time it learns what can be counted
    with cost(world) as costs:
        world.reconciler.measure()
    found.counters = costs[0]
    found.look, found.full = _looks(world, afresh=False), _looks(world, afresh=True)
    cpu = time.process_time() + world.database_cpu()
    time.sleep(IDLE_SECONDS)
    found.idle = (time.process_time() + world.database_cpu() - cpu) / IDLE_SECONDS
    say(f"{world.size}: a look costs {found.look.cpu * 1000:.1f} ms of CPU")


def _looks(world: World, *, afresh: bool) -> Cost:
    looks = []
    for _ in range(LOOKS):
        with cost(world) as costs:
            if world.look(afresh=afresh):
                raise RuntimeError("a look at what is in order changed something")
        looks.append(costs[0])
    return middle(looks)


def _change(world: World, found: Figures, changes: int, say: Say, yardstick: World | None) -> None:
    costs: dict[str, list[Cost]] = {}
    growth: dict[str, list[float]] = {}
    for number in range(changes + 1):
        small = {} if yardstick is None else _life(yardstick, number)
        for kind, spent in _life(world, number).items():
            costs.setdefault(kind, []).append(spent)
            if kind in small:
                growth.setdefault(kind, []).append(spent.cpu / small[kind].cpu)
    found.changes = {kind: middle(spent[1:]) for kind, spent in costs.items()}
    found.growth = {kind: median(factors[1:]) for kind, factors in growth.items()}
    worst = max(found.changes.values(), key=lambda each: each.cpu)
    say(f"{world.size}: a change costs {worst.cpu * 1000:.1f} ms of CPU at most")


def _life(world: World, number: int) -> dict[str, Cost]:
    """VM `number` moves between the first two hosts and its card is taken out by hand; a port comes and goes."""
    vm, spare = f"vm{number:05}", f"spare{number:02}"
    first, second, *_ = world.size.host_names
    place = world.store.snapshot().attachments[PortName(vm)].host
    target = second if place == first else first
    row: list[str] = []

    def comes() -> None:
        row[:] = _send(world, insert(port(spare, 0, first, world.macs[spare])), mac=world.macs[spare])

    return {
        "a VM migrates": _cost_of(world, lambda: world.control.vm(vm, move_to=target)),
        "a card is put elsewhere": _cost_of(world, lambda: world.displace(vm)),
        "one port more": _cost_of(world, comes),
        "one port less": _cost_of(world, lambda: _send(world, delete(row))),
    }


def _cost_of(world: World, event: Callable[[], object]) -> Cost:
    world.settle()
    with cost(world, done=True) as costs:
        event()
        world.settle()
    if missing := world.unplugged():
        raise RuntimeError(f"not where it belongs: {missing[0]}")
    return costs[0]


def _send(world: World, operation: Operation, **more: str) -> list[str]:
    """Write it as somebody else would; returns the row, if one is inserted."""
    if more:
        operation = {**operation, "row": {**operation["row"], **more}}
    answer = world.client.transact(operation)[0]
    row: list[str] = answer.get("uuid", [])
    return row
