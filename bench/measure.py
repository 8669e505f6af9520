# SPDX-License-Identifier: Apache-2.0
"""What is measured in a world of one size, in the order in which it must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeAlias

from anyvisor.model.names import PortName
from anyvisor.model.port import Port
from bench import change
from bench.change import Operation, Uuid
from bench.site import hosts_of, port, reserve
from bench.world import World

Say: TypeAlias = Callable[[str], None]

SAMPLES = 5
"""Of what goes through OVN's daemons."""
CHANGES = 15
"""Of what is ours alone; the first of each kind warms up and is left out."""
FULL_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds: on the clock; of CPU in anyvisord (all its threads); of CPU in the server of its database."""

    wall: float
    cpu: float
    database: float = 0.0

    @property
    def ours(self) -> float:
        """All CPU that is not spent by OVN's daemons."""
        return self.cpu + self.database


@dataclass(slots=True, kw_only=True)
class Figures:
    """What was found at one size. Times are seconds, medians unless they happen once."""

    size: int
    written: float = 0.0
    """From the order to write the whole intent until the last row is in the northbound database."""
    up: float = 0.0
    """The same, until every port whose vNIC is there is said to be up."""
    loading: Cost = field(default_factory=lambda: Cost(wall=0, cpu=0))
    """Ours of that."""
    pretended_up: float = 0.0
    """From the vNIC to the port's being said to be up, where a chassis is pretended: OVN's compiler and ours."""
    real_up: float = 0.0
    """The same with a real Open vSwitch and ovn-controller."""
    intent_up: float = 0.0
    """From a new port in the database, its vNIC being there, until it is said to be up (pretended chassis)."""
    changes: dict[str, Cost] = field(default_factory=dict)
    """Ours alone, by kind of change: on the clock until it is in the northbound database, of CPU all that follows."""
    growth: dict[str, float] = field(default_factory=dict)
    """By kind of change, its CPU against that of the same change at the smallest size, made right before."""
    rewrite: float = 0.0
    """To compare a whole new intent with the stored one, which it resembles but for one port, and to store that."""
    full: Cost = field(default_factory=lambda: Cost(wall=0, cpu=0))
    """A full reconcile that finds nothing to do."""
    spans: dict[str, float] = field(default_factory=dict)
    """Seconds of the load by kind of work in the engine."""


def measure(sizes: Sequence[int], say: Say) -> list[Figures]:
    """Build a world of each size, measure, take it down.

    The smallest comes first and stays up to the end, as the yardstick: the machine is never twice the same.

    Raises:
        TimeoutError: something did not happen in time.
    """
    least, *more = sizes
    first = Figures(size=least)
    found = [first]
    with World(least) as yardstick:
        _fill(yardstick, first, say)
        _change(yardstick, first, say, None)
        for size in more:
            found.append(Figures(size=size))
            with World(size) as world:
                _fill(world, found[-1], say)
                _change(world, found[-1], say, yardstick)
                _reconcile(world, found[-1], say)
        _reconcile(yardstick, first, say)
    return found


def _fill(world: World, found: Figures, say: Say) -> None:
    say(f"{world.size} ports: daemons run")
    _load(world, found, say)
    _come_up(world, found, say)


def _load(world: World, found: Figures, say: Say) -> None:
    waiting = {name for names in reserve(world.size) for name in names}
    begin = time.perf_counter()
    with _cost(world, quiet=False) as costs:
        world.store.write_site(world.site)
        world.wait_applied(world.store.snapshot().generation)
        found.written = world.journal.committed - begin
        say(f"{world.size} ports: written to OVN after {found.written:.1f} s")
        world.wait_up(set(world.site.ports) - waiting)
    found.loading = costs[0]
    found.up = max(world.journal.up.values()) - begin
    found.spans = {name: span.wall for name, span in world.journal.spans.items()}
    say(f"{world.size} ports: up after {found.up:.1f} s")
    world.settle()


def _come_up(world: World, found: Figures, say: Say) -> None:
    """One at a time, through OVN's compiler."""
    pretended, real = reserve(world.size)
    found.pretended_up = median(_until_up(world, name, world.plug_pretended) for name in pretended[:SAMPLES])
    found.real_up = median(_until_up(world, name, world.plug_real) for name in real[:SAMPLES])
    say(
        f"{world.size} ports: up {found.pretended_up:.2f} s after the vNIC, {found.real_up:.2f} s on the real host"
    )
    fresh = [PortName(f"late{number}") for number in range(SAMPLES)]
    found.intent_up = median(
        _until_up(world, name, lambda name: _send(world, change.insert(_guest(world, name))))
        for name in fresh
    )


def _until_up(world: World, name: PortName, act: Callable[[PortName], object]) -> float:
    world.settle()
    begin = time.perf_counter()
    act(name)
    world.wait_up({name})
    return world.journal.up[name] - begin


def _change(world: World, found: Figures, say: Say, yardstick: World | None) -> None:
    """With OVN's compiler stopped: nothing but us and the servers of the databases is at work."""
    world.settle()
    world.stop_northd()
    costs: dict[str, list[Cost]] = {}
    growth: dict[str, list[float]] = {}
    for number in range(CHANGES):
        name = PortName(f"spare{number}")
        small = {} if yardstick is None else _life(yardstick, name)
        for kind, cost in _life(world, name).items():
            costs.setdefault(kind, []).append(cost)
            if kind in small:
                growth.setdefault(kind, []).append(cost.ours / small[kind].ours)
    found.changes = {kind: _middle(spent[1:]) for kind, spent in costs.items()}
    found.growth = {kind: median(factors[1:]) for kind, factors in growth.items()}
    worst = max(found.changes.values(), key=lambda cost: cost.ours)
    say(f"{world.size} ports: a change of one port costs {worst.ours * 1000:.1f} ms of CPU")
    there = world.store.snapshot().site
    wanted = replace(there, ports={**there.ports, PortName("extra"): _guest(world, PortName("extra"))})
    begin = time.perf_counter()
    world.store.write_site(wanted)
    found.rewrite = time.perf_counter() - begin
    world.wait_applied(world.store.snapshot().generation)


def _life(world: World, name: PortName) -> dict[str, Cost]:
    """A port comes, moves to another host, and goes."""
    with _cost(world, written=True) as coming:
        row = _send(world, change.insert(_guest(world, name)))
    with _cost(world, written=True) as moving:
        _send(world, change.move(row, hosts_of(world.size)[1]))
    with _cost(world, written=True) as going:
        _send(world, change.delete(row))
    return {"one port more": coming[0], "a port moves": moving[0], "a port less": going[0]}


def _reconcile(world: World, found: Figures, say: Say) -> None:
    world.settle()
    world.stop_engine()
    costs = []
    for _ in range(FULL_ROUNDS):
        with _cost(world) as spent:
            outcome = world.works.engine.round((), everything=True)
        if outcome.changes or outcome.retry:
            raise RuntimeError(f"a reconcile of what is in order changed {len(outcome.changes)} rows")
        costs.append(spent[0])
    found.full = _middle(costs)
    say(f"{world.size} ports: a full reconcile takes {found.full.wall:.2f} s")


def _middle(costs: list[Cost]) -> Cost:
    """Of each figure the median."""
    return Cost(
        wall=median(cost.wall for cost in costs),
        cpu=median(cost.cpu for cost in costs),
        database=median(cost.database for cost in costs),
    )


@contextmanager
def _cost(world: World, *, written: bool = False, quiet: bool = True) -> Iterator[list[Cost]]:
    """What happens inside, and what follows from it until nothing of ours stirs any more; filled at the end.

    `written`: on the clock only until the last change was in the northbound database.
    """
    costs: list[Cost] = []
    begin, cpu, database = time.perf_counter(), time.process_time(), world.database_cpu()
    yield costs
    wall = (world.journal.committed if written else time.perf_counter()) - begin
    if quiet:
        world.wait_quiet()
    costs.append(Cost(wall=wall, cpu=time.process_time() - cpu, database=world.database_cpu() - database))


def _guest(world: World, name: PortName) -> Port:
    """A port beyond those of the site, on the first of the pretended hosts."""
    return port(name, 0, hosts_of(world.size)[0])


def _send(world: World, operation: Operation) -> Uuid:
    """Write it as somebody else would, and wait until it is carried out; returns the row, if one is inserted."""
    generation = world.store.snapshot().generation
    answer, _ = world.client.transact(operation, world.bump())
    world.wait_applied(generation + 1)
    row: Uuid = answer.get("uuid", [])
    return row
