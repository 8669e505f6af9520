# SPDX-License-Identifier: Apache-2.0
"""A manager of many hosts in memory: it keeps state, obeys the rules of a real one, and can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from anyvisor.errors import AnyvisorError, TerminalError
from anyvisor.model.estate import (
    Appliance,
    Backing,
    Card,
    CardId,
    Estate,
    EstateStep,
    Group,
    Health,
    MissingRight,
)
from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.model.vnic import Counters
from anyvisor.testing.estate_steps import FakeSteps
from anyvisor.testing.estate_world import EstateWorld, FakeVm
from anyvisor.testing.faults import Faults

if TYPE_CHECKING:
    from anyvisor.contracts.estate import EstateDriver


class FakeEstate:
    """Fill it with `add_host`, `add_group`, `add_vm`, `add_template`; let things happen with `begin_move`, `lose`, ….

    Each call counts in `faults` (``estate``, ``counters``, and ``apply MakeGroup`` and the like, one per step). Set
    `failure` to an error and every call raises it until it is None again.
    """

    def __init__(self, *, faults: Faults | None = None) -> None:
        self.world = EstateWorld()
        self._steps = FakeSteps(self.world)
        self.faults = faults or Faults()
        self.failure: AnyvisorError | None = None
        self.counted: dict[CardId, Counters] = {}
        self.missing: tuple[MissingRight, ...] = ()
        self._watchers: list[Callable[[frozenset[HostName]], None]] = []

    # The contract

    def estate(self) -> Estate:
        """The world as it is."""
        self._call("estate")
        world = self.world
        shown = [vm for vm in world.vms.values() if not vm.template]
        return Estate(
            hosts={name: self._shown(host) for name, host in world.hosts.items()},
            cards={
                card.id: replace(card, taken=card.id.card in vm.before)
                for vm in shown
                for card in vm.cards.values()
            },
            groups={group.identity: group for group in world.groups.values()},
            switches=dict(world.switches),
            appliances={vm.appliance: self._appliance(vm) for vm in shown if vm.appliance is not None},
        )

    def apply(self, steps: Iterable[EstateStep]) -> None:
        """One after the other; the first that is refused ends it, those before it stay done."""
        for step in steps:
            self._maybe_fail()
            with self.faults.call(f"apply {type(step).__name__}"):
                self._tell(self._steps.carry_out(step))

    def counters(self, cards: Iterable[CardId]) -> Mapping[CardId, Counters]:
        """What a test put into `counted`, for the cards that are there."""
        self._call("counters")
        there = {card.id for vm in self.world.vms.values() for card in vm.cards.values()}
        return {card: self.counted.get(card, Counters()) for card in cards if card in there}

    def missing_rights(self) -> tuple[MissingRight, ...]:
        """What a test put into `missing`."""
        self._call("missing_rights")
        return self.missing

    def watch(self, notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """Tell of every change, in the thread of whoever makes it."""
        return self._watching(notify)

    # What a test builds and lets happen

    def add_host(self, host: Host) -> None:
        """One more host."""
        self.world.hosts[host.name] = host
        self._tell({host.name})

    def add_group(self, switch: SwitchName, name: str, *, host: HostName | None = None) -> None:
        """A group of the operator's; `host` for one on a standard switch."""
        self.world.foreign.add((switch, name, host))

    def add_segment(self, group: Group) -> None:
        """The vendor's controller has made a segment of ours, and it shows as this group."""
        self.world.groups[group.switch, group.name, None] = group
        self._tell(host for host in self.world.hosts if self.world.kind_of(group.switch, host) is not None)

    def add_vm(
        self, name: str, host: HostName, *places: tuple[SwitchName, str] | None, running: bool = True
    ) -> tuple[CardId, ...]:
        """One more VM, with a card in each of these groups (None: plugged nowhere). Its cards."""
        vm = self.world.new_vm(name, host, [_place(place) for place in places], running=running)
        self._tell({host})
        return tuple(card.id for card in vm.cards.values())

    def add_template(self, name: str, host: HostName, *, cards: int = 3) -> None:
        """One more template."""
        self.world.new_vm(name, host, [None] * cards, running=False).template = True

    def replug(self, card: CardId, place: tuple[SwitchName, str] | None) -> None:
        """Somebody else plugs a card elsewhere."""
        held = self.world.card(card)
        backing = _place(place)
        placed = None if backing is None else self.world.placed(backing, held.host)
        self.world.set_card(replace(held, backing=placed))
        self._tell({held.host})

    def change_card(self, card: Card) -> None:
        """A card is this from now on (its problem, its MAC, whether it is connected)."""
        self.world.set_card(card)
        self._tell({card.host})

    def power(self, name: str, *, on: bool) -> None:
        """A VM is switched on or off, or dies."""
        self._steps.power(self._named(name), on=on)
        self._tell({self._named(name).host})

    def unpin(self, name: str) -> None:
        """Somebody takes back that a VM stays on its host."""
        self._named(name).pinned = False
        self._tell({self._named(name).host})

    def begin_move(self, name: str, to: HostName) -> None:
        """A migration begins. TerminalError if the manager would refuse it."""
        vm = self._named(name)
        if refused := self.world.move_refused(vm, to):
            raise TerminalError(refused)
        self._move(vm, vm.host, to)
        self._tell({vm.host, to})

    def finish_move(self, name: str, *, success: bool = True) -> None:
        """The migration ends; the VM is there, or still here."""
        vm = self._named(name)
        assert vm.moving_to is not None, f"{name} does not move"
        before, target = vm.host, vm.moving_to
        self._move(vm, target if success else before, None)
        self._tell({before, target})

    def lose(self, host: HostName) -> None:
        """The manager does not reach the host any more; what runs there runs on."""
        self.world.lost.add(host)
        self._tell({host})

    def find(self, host: HostName) -> None:
        """It reaches it again."""
        self.world.lost.discard(host)
        self._tell({host})

    def maintain(self, host: HostName, *, on: bool) -> None:
        """Maintenance mode begins or ends."""
        (self.world.refuses.add if on else self.world.refuses.discard)(host)
        self._tell({host})

    def user_data(self, key: str) -> str:
        """What an appliance was given when it was made."""
        return self._steps.by_key(key).user_data

    def healths(self) -> Mapping[str, Health]:
        """As the contract says: nothing while nobody watches, or the manager does not answer."""
        if not self._watchers or self.failure is not None:
            return {}
        return {each.key: each.health for each in self.estate().appliances.values()}

    # Small parts

    def _shown(self, host: Host) -> Host:
        state = {
            "connection": "notResponding" if host.name in self.world.lost else "connected",
            "maintenance": host.name in self.world.refuses,
        }
        return replace(host, facts={**host.facts, **state})

    def _appliance(self, vm: FakeVm) -> Appliance:
        trunk = self._steps.trunk_of(vm)
        health = Health.RUNNING if vm.running else Health.OFF
        return Appliance(
            key=vm.appliance or "",
            vm=vm.name,
            instance=vm.uuid,
            host=vm.host,
            health=Health.LOST if vm.host in self.world.lost else health,
            trunk=trunk.id if trunk else None,
            trunk_connected=trunk.connected if trunk else False,
            pinned=vm.pinned,
        )

    def _named(self, name: str) -> FakeVm:
        vm = self.world.named(name)
        assert vm is not None, f"there is no VM {name}"
        return vm

    def _move(self, vm: FakeVm, host: HostName, to: HostName | None) -> None:
        vm.host, vm.moving_to = host, to
        vm.cards = {key: replace(card, host=host, moving_to=to) for key, card in vm.cards.items()}

    def _call(self, name: str) -> None:
        self._maybe_fail()
        with self.faults.call(name):
            pass

    def _maybe_fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _tell(self, hosts: Iterable[HostName]) -> None:
        changed = frozenset(hosts)
        for notify in tuple(self._watchers) if changed else ():
            notify(changed)

    @contextmanager
    def _watching(self, notify: Callable[[frozenset[HostName]], None]) -> Iterator[None]:
        self._watchers.append(notify)
        try:
            yield
        finally:
            self._watchers.remove(notify)


def _place(place: tuple[SwitchName, str] | None) -> Backing | None:
    return None if place is None else Backing(switch=place[0], kind=SwitchKind.VDS, group=place[1])


if TYPE_CHECKING:
    _conforms: type[EstateDriver] = FakeEstate
