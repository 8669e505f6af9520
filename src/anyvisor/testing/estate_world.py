# SPDX-License-Identifier: Apache-2.0
"""The world behind `FakeEstate`: hosts, VMs, groups; what happens in it without us, and the rules that always hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2s
from itertools import count

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.estate import Backing, Card, CardId, Group, InnerSwitch
from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, Mac, SwitchName

GroupKey = tuple[SwitchName, str, HostName | None]
"""Where a group is: the host is None on a distributed switch."""


@dataclass(kw_only=True)
class FakeVm:
    """A VM. `before` is what a real manager would keep with it: where each card was before it was taken."""

    uuid: str
    name: str
    host: HostName
    cards: dict[str, Card] = field(default_factory=dict)
    running: bool = True
    moving_to: HostName | None = None
    template: bool = False
    appliance: str | None = None
    user_data: str = ""
    pinned: bool = False
    before: dict[str, Backing | None] = field(default_factory=dict)


class EstateWorld:
    """Made and changed by a test. `changed` collects the hosts of whom something changed."""

    def __init__(self) -> None:
        self.hosts: dict[HostName, Host] = {}
        self.foreign: set[GroupKey] = set()
        """Groups that are not ours."""
        self.groups: dict[GroupKey, Group] = {}
        self.switches: dict[SwitchName, InnerSwitch] = {}
        self.vms: dict[str, FakeVm] = {}
        self.lost: set[HostName] = set()
        self.refuses: set[HostName] = set()
        """Hosts in maintenance: nothing can be started on them."""
        self._numbers = count(1)

    def vm(self, uuid: str) -> FakeVm:
        """That VM; TerminalError if there is none."""
        if uuid not in self.vms:
            raise TerminalError(f"there is no VM {uuid}")
        return self.vms[uuid]

    def named(self, name: str) -> FakeVm | None:
        """The VM of that name."""
        return next((vm for vm in self.vms.values() if vm.name == name), None)

    def card(self, card: CardId) -> Card:
        """That card; TerminalError if there is none."""
        vm = self.vm(card.vm)
        if card.card not in vm.cards:
            raise TerminalError(f"VM {vm.name} has no card {card.card}")
        return vm.cards[card.card]

    def set_card(self, card: Card) -> None:
        """The card is this from now on."""
        self.vms[card.id.vm].cards[card.id.card] = card

    def new_vm(
        self, name: str, host: HostName, backings: Iterable[Backing | None], *, running: bool = True
    ) -> FakeVm:
        """One more VM, with a card per backing."""
        uuid = f"vm-{next(self._numbers)}"
        vm = FakeVm(uuid=uuid, name=name, host=host, running=running)
        self.vms[uuid] = vm
        for number, backing in enumerate(backings):
            key = str(4000 + number)
            vm.cards[key] = Card(
                id=CardId(uuid, key), mac=fake_mac(uuid, key), vm=name, host=host, running=running
            )
            if backing is not None:
                self.set_card(replace(vm.cards[key], backing=self.placed(backing, host)))
        return vm

    def kind_of(self, switch: SwitchName, host: HostName) -> SwitchKind | None:
        """What that switch is where it reaches the host; None if it does not."""
        inner = self.switches.get(switch)
        if inner is not None:
            return inner.kind if host in inner.hosts else None
        native = (s.kind for s in self.hosts[host].switches if s.name == switch)
        return next(native, None)

    def group_key(self, switch: SwitchName, name: str, host: HostName) -> GroupKey:
        """Where a group of that name would be for a card on that host."""
        return (switch, name, host if self.kind_of(switch, host) is SwitchKind.VSS else None)

    def placed(self, backing: Backing, host: HostName) -> Backing:
        """The backing with a free port, if the switch has numbered ports. It must reach the host."""
        kind = self.kind_of(backing.switch, host)
        key = self.group_key(backing.switch, backing.group, host)
        if kind is None or (key not in self.foreign and key not in self.groups):
            raise RetryableError(f"{backing.group} on {backing.switch} does not reach {host}")
        if kind is not SwitchKind.VDS:
            return replace(backing, kind=kind, port=None)
        used = {b.port for _, b in self.plugs() if b.switch == backing.switch}
        port = next(str(n) for n in count(1) if str(n) not in used)
        return replace(backing, kind=kind, port=port)

    def plugs(self) -> Iterable[tuple[Card, Backing]]:
        """All cards that are plugged anywhere, also those of templates."""
        for vm in self.vms.values():
            for card in vm.cards.values():
                if card.backing is not None:
                    yield card, card.backing

    def users(self, group: GroupKey) -> list[Card]:
        """The cards plugged into that group."""
        return [
            card
            for card, backing in self.plugs()
            if self.group_key(backing.switch, backing.group, card.host) == group
        ]

    def exists(self, backing: Backing, host: HostName) -> bool:
        """That place is still there for a card on that host."""
        key = self.group_key(backing.switch, backing.group, host)
        reaches = self.kind_of(backing.switch, host) is not None
        return reaches and (key in self.foreign or key in self.groups)

    def move_refused(self, vm: FakeVm, to: HostName) -> str:
        """Why the VM cannot move there while it runs; empty if it can."""
        for card in vm.cards.values():
            place = card.backing
            if place is None or not card.connected:
                continue
            inner = self.switches.get(place.switch)
            if inner is not None and inner.kind is SwitchKind.VSS and vm.running:
                return f"{vm.name} is on a virtual intranet: {place.switch} has no uplink"
            if not self.exists(place, to):
                return f"{place.group} on {place.switch} does not reach {to}"
        return ""


def fake_mac(uuid: str, key: str) -> Mac:
    """The same for the same card."""
    digest = blake2s(f"{uuid}/{key}".encode(), digest_size=3).hexdigest()
    return Mac(":".join(["00", "50", "56", digest[:2], digest[2:4], digest[4:]]))
