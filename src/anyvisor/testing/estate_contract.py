# SPDX-License-Identifier: Apache-2.0
"""What every driver of a manager must pass. A test module subclasses `EstateContract` and provides the fixtures."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from anyvisor.contracts.estate import EstateDriver
from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import (
    CardId,
    Deploy,
    DropGroup,
    DropSwitch,
    Estate,
    EstateStep,
    Fence,
    Giveback,
    Group,
    Health,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Pin,
    Plugin,
    Remove,
    Start,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName

INNER = SwitchName("av-inner")
NOWHERE = CardId("50000000-0000-0000-0000-000000000000", "4000")


@dataclass(frozen=True, slots=True, kw_only=True)
class EstateSample:
    """What a test module says of the world behind its driver, and lets happen in it."""

    hosts: tuple[HostName, HostName]
    """Two hosts that may take part in one distributed switch whose trunk can learn."""
    card: CardId
    """A card of a running VM on the first host, in `foreign_group`; its VM has no other."""
    other: CardId
    """A card of a running VM on the second host, likewise."""
    passthrough: CardId
    """A card that bypasses the virtual switch."""
    foreign_switch: SwitchName
    """A distributed switch of the operator's that both hosts take part in."""
    foreign_group: str
    """A group of the operator's on it."""
    template: str
    networks: Mapping[str, str]
    """Of an appliance."""
    move: Callable[[str, HostName], None]
    """Let a VM migrate and arrive."""
    power_off: Callable[[str], None]
    """Let a VM die."""
    unpin: Callable[[str], None]
    """Let somebody take back that a VM stays on its host."""


class EstateContract:
    """Fixtures to provide: `driver`, and `sample` of the world that it sees."""

    kind = SwitchKind.VDS
    """Of the inner switch."""
    host: HostName | None = None
    """Of its groups, where each host has its own."""

    def switch(self, sample: EstateSample, *hosts: HostName) -> MakeSwitch:
        members = hosts or tuple(dict.fromkeys(sample.hosts))
        return MakeSwitch(switch=InnerSwitch(name=INNER, kind=self.kind, hosts=members, mtu=9000))

    def group(self, name: str, vlan: int) -> MakeGroup:
        return MakeGroup(group=Group(switch=INNER, name=name, key=f"port/{name}", vlan=vlan, host=self.host))

    def at(self, name: str) -> tuple[SwitchName, str]:
        """What the group of that name is found by."""
        return self.group(name, 1).group.identity

    def trunk(self, name: str = "av-trunk") -> MakeGroup:
        learns = self.kind is SwitchKind.VDS
        trunk = Group(
            switch=INNER,
            name=name,
            key="trunk/a",
            trunk=True,
            mac_learning=learns,
            promiscuous=not learns,
            forged_transmits=True,
            host=self.host,
        )
        return MakeGroup(group=trunk)

    def deploy(self, sample: EstateSample, key: str = "a/1", vm: str = "av-app-1") -> Deploy:
        return Deploy(
            key=key,
            vm=vm,
            host=sample.hosts[0],
            template=sample.template,
            user_data="#cloud-config\n{}\n",
            switch=INNER,
            trunk_group="av-trunk",
            networks=sample.networks,
        )

    def test_nothing_is_ours_at_first(self, driver: EstateDriver, sample: EstateSample) -> None:
        estate = driver.estate()

        assert (dict(estate.groups), dict(estate.switches), dict(estate.appliances)) == ({}, {}, {})
        assert set(sample.hosts) <= set(estate.hosts)
        assert {sample.card, sample.other, sample.passthrough} <= set(estate.cards)

    def test_cards_say_where_they_are(self, driver: EstateDriver, sample: EstateSample) -> None:
        cards = driver.estate().cards

        card, other = cards[sample.card], cards[sample.other]
        assert (card.host, other.host) == sample.hosts
        assert card.backing is not None
        assert (card.backing.switch, card.backing.group) == (sample.foreign_switch, sample.foreign_group)
        assert (card.running, card.connected, card.moving_to, card.problem) == (True, True, None, None)
        assert card.mac != other.mac
        passthrough = cards[sample.passthrough].problem
        assert passthrough is not None
        assert passthrough.blocks(None)

    def test_a_switch_is_made_once_and_takes_more_hosts(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        first, second = sample.hosts
        driver.apply([self.switch(sample, first), self.switch(sample, first)])
        made = driver.estate().switches[INNER]
        assert (made.kind, made.hosts, made.mtu) == (self.kind, (first,), 9000)
        assert bool(made.version) is (self.kind is SwitchKind.VDS)

        driver.apply([self.switch(sample, second)])

        grown = driver.estate().switches[INNER]
        assert set(grown.hosts) == {first, second}
        assert replace(grown, hosts=made.hosts) == made

    def test_a_switch_of_somebody_else_is_left_alone(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        wanted = InnerSwitch(name=sample.foreign_switch, kind=self.kind, hosts=sample.hosts)

        with pytest.raises(ForeignObjectError, match=sample.foreign_switch):
            driver.apply([MakeSwitch(switch=wanted)])

        assert driver.estate().switches == {}

    def test_a_group_is_made_changed_and_removed(self, driver: EstateDriver, sample: EstateSample) -> None:
        one = self.group("av-one", 101)
        driver.apply([self.switch(sample), one, one, self.group("av-two", 102)])
        assert driver.estate().groups[self.at("av-one")] == one.group
        assert set(driver.estate().groups) == {self.at("av-one"), self.at("av-two")}

        changed = replace(one.group, vlan=103, key="port/other", forged_transmits=True)
        driver.apply([MakeGroup(group=changed)])
        assert driver.estate().groups[self.at("av-one")] == changed

        drop = DropGroup(switch=INNER, name="av-one", host=self.host)
        driver.apply([drop, drop])
        driver.apply([drop])
        assert set(driver.estate().groups) == {self.at("av-two")}

    def test_a_trunk_carries_all_vlans_and_learns(self, driver: EstateDriver, sample: EstateSample) -> None:
        driver.apply([self.switch(sample), self.trunk()])
        assert driver.estate().groups[self.at("av-trunk")] == self.trunk().group

        promiscuous = replace(self.trunk().group, mac_learning=False, promiscuous=True)
        driver.apply([MakeGroup(group=promiscuous)])

        assert driver.estate().groups[self.at("av-trunk")] == promiscuous

    def test_a_group_of_ours_may_stand_on_the_operators_switch(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        ours = Group(switch=sample.foreign_switch, name="av-web", key="network/web", vlan=77, host=self.host)
        driver.apply([MakeGroup(group=ours)])
        driver.apply([Plugin(card=sample.card, switch=ours.switch, group=ours.name)])

        estate = driver.estate()
        assert dict(estate.groups) == {ours.identity: ours}
        backing = estate.cards[sample.card].backing
        assert backing is not None
        assert (backing.switch, backing.group) == (ours.switch, ours.name)

    def test_a_group_of_somebody_else_is_neither_changed_nor_removed(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        theirs = Group(switch=sample.foreign_switch, name=sample.foreign_group, key="port/x", vlan=9)

        with pytest.raises(ForeignObjectError, match=sample.foreign_group):
            driver.apply([MakeGroup(group=theirs)])
        with pytest.raises(ForeignObjectError, match=sample.foreign_group):
            driver.apply([DropGroup(switch=theirs.switch, name=theirs.name)])
        with pytest.raises(ForeignObjectError, match=sample.foreign_group):
            driver.apply([Plugin(card=sample.other, switch=theirs.switch, group=theirs.name)])

        assert driver.estate().groups == {}

    def test_steps_before_one_that_is_refused_stay_done(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        theirs = Group(switch=sample.foreign_switch, name=sample.foreign_group, key="port/x", vlan=9)
        steps: list[EstateStep] = [self.switch(sample), self.group("av-one", 101), MakeGroup(group=theirs)]

        with pytest.raises(ForeignObjectError):
            driver.apply([*steps, self.group("av-late", 102)])

        assert set(driver.estate().groups) == {self.at("av-one")}

    def test_a_card_is_plugged_and_given_back(self, driver: EstateDriver, sample: EstateSample) -> None:
        before = driver.estate().cards[sample.card]
        plug = Plugin(card=sample.card, switch=INNER, group="av-one")
        driver.apply([self.switch(sample), self.group("av-one", 101), self.group("av-two", 102), plug, plug])
        backing = driver.estate().cards[sample.card].backing
        assert backing is not None
        assert (backing.switch, backing.kind, backing.group) == (INNER, self.kind, "av-one")
        assert (backing.port is not None) is (self.kind is SwitchKind.VDS)

        driver.apply([replace(plug, group="av-two")])
        moved = driver.estate().cards[sample.card]
        assert moved.backing is not None
        assert moved.backing.group == "av-two"
        assert (moved.mac, moved.connected, moved.running) == (before.mac, True, True)
        assert (before.taken, moved.taken) == (False, True)

        driver.apply([Giveback(card=sample.card), Giveback(card=sample.card)])
        driver.apply([Giveback(card=sample.card)])
        after = driver.estate().cards[sample.card]
        assert after.backing is not None
        assert before.backing is not None
        assert replace(after, backing=replace(after.backing, port=before.backing.port)) == before

    def test_several_cards_are_plugged_at_once(self, driver: EstateDriver, sample: EstateSample) -> None:
        plugs = [
            Plugin(card=sample.card, switch=INNER, group="av-one"),
            Plugin(card=sample.other, switch=INNER, group="av-two"),
        ]
        driver.apply([self.switch(sample), self.group("av-one", 101), self.group("av-two", 102), *plugs])

        assert self.plugged(driver.estate()) == {sample.card: "av-one", sample.other: "av-two"}

        driver.apply([replace(plugs[0], group="av-two"), replace(plugs[1], group="av-one")])

        assert self.plugged(driver.estate()) == {sample.card: "av-two", sample.other: "av-one"}

    def plugged(self, estate: Estate) -> Mapping[CardId, str]:
        cards = estate.cards.values()
        return {c.id: c.backing.group for c in cards if c.backing is not None and c.backing.switch == INNER}

    def test_a_card_that_bypasses_the_switch_is_refused(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        driver.apply([self.switch(sample), self.group("av-one", 101)])

        with pytest.raises(TerminalError, match=sample.passthrough.card):
            driver.apply([Plugin(card=sample.passthrough, switch=INNER, group="av-one")])

    def test_a_card_or_group_that_is_not_there_is_refused(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        driver.apply([self.switch(sample)])

        with pytest.raises((TerminalError, RetryableError), match="no VM"):
            driver.apply([Plugin(card=NOWHERE, switch=INNER, group="av-one")])
        with pytest.raises(RetryableError, match="av-one"):
            driver.apply([Plugin(card=sample.card, switch=INNER, group="av-one")])

    def test_what_is_in_use_is_not_removed(self, driver: EstateDriver, sample: EstateSample) -> None:
        plug = Plugin(card=sample.card, switch=INNER, group="av-one")
        driver.apply([self.switch(sample), self.group("av-one", 101), plug])

        with pytest.raises(RetryableError, match="in use"):
            driver.apply([DropGroup(switch=INNER, name="av-one", host=self.host)])
        with pytest.raises(RetryableError, match="in use"):
            driver.apply([DropSwitch(name=INNER)])
        assert self.plugged(driver.estate()) == {sample.card: "av-one"}

        driver.apply([Giveback(card=sample.card), DropSwitch(name=INNER), DropSwitch(name=INNER)])

        estate = driver.estate()
        assert (dict(estate.groups), dict(estate.switches)) == ({}, {})

    def test_a_vm_that_moves_keeps_its_cards(self, driver: EstateDriver, sample: EstateSample) -> None:
        plug = Plugin(card=sample.card, switch=INNER, group="av-one")
        driver.apply([self.switch(sample), self.group("av-one", 101), plug])
        vm = driver.estate().cards[sample.card].vm

        sample.move(vm, sample.hosts[1])

        card = driver.estate().cards[sample.card]
        assert (card.host, card.moving_to, card.running) == (sample.hosts[1], None, True)
        assert card.backing is not None
        assert (card.backing.switch, card.backing.group) == self.at("av-one")

    def test_an_appliance_is_made_fenced_started_and_removed(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        vms = {card.vm for card in driver.estate().cards}
        driver.apply([self.switch(sample), self.trunk(), self.deploy(sample)])
        driver.apply([self.deploy(sample)])
        (made,) = driver.estate().appliances.values()
        assert (made.key, made.vm, made.host) == ("a/1", "av-app-1", sample.hosts[0])
        assert made.health in (Health.RUNNING, Health.STARTING)
        assert made.trunk is not None
        assert (made.trunk.vm, made.trunk_connected) == (made.instance, True)
        groups = {
            c.backing.group for c in driver.estate().cards.values() if c.id.vm == made.instance and c.backing
        }
        assert groups == {*sample.networks.values(), "av-trunk"}

        driver.apply([Fence(key="a/1"), Fence(key="a/1")])
        assert not driver.estate().appliances["a/1"].trunk_connected
        driver.apply([Fence(key="a/1", off=False)])
        assert driver.estate().appliances["a/1"].trunk_connected

        sample.power_off("av-app-1")
        assert driver.estate().appliances["a/1"].health is Health.OFF
        driver.apply([Start(key="a/1"), Start(key="a/1")])
        assert driver.estate().appliances["a/1"].health in (Health.RUNNING, Health.STARTING)

        driver.apply([Remove(key="a/1"), Remove(key="a/1")])
        assert driver.estate().appliances == {}
        assert {card.vm for card in driver.estate().cards} == vms

    def test_an_appliance_is_pinned_and_pinned_anew(self, driver: EstateDriver, sample: EstateSample) -> None:
        driver.apply([self.switch(sample), self.trunk(), self.deploy(sample)])
        assert driver.estate().appliances["a/1"].pinned

        for again in (Pin(key="a/1"), self.deploy(sample)):
            sample.unpin("av-app-1")
            assert not driver.estate().appliances["a/1"].pinned
            driver.apply([again, again])
            assert driver.estate().appliances["a/1"].pinned

        with pytest.raises(RetryableError, match="no appliance b/1"):
            driver.apply([Pin(key="b/1")])

    def test_each_appliance_is_another_vm(self, driver: EstateDriver, sample: EstateSample) -> None:
        second = replace(self.deploy(sample, "b/1", "av-app-2"), host=sample.hosts[1])
        driver.apply([self.switch(sample), self.trunk(), self.deploy(sample), second])

        one, two = (driver.estate().appliances[key] for key in ("a/1", "b/1"))

        assert (one.host, two.host) == sample.hosts
        cards = driver.estate().cards
        macs = [card.mac for card in cards.values()]
        assert len(set(macs)) == len(macs)

    def test_an_appliance_that_cannot_be_made_leaves_nothing_behind(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        vms = {card.vm for card in driver.estate().cards}
        taken = driver.estate().cards[sample.card].vm
        driver.apply([self.switch(sample), self.trunk()])

        with pytest.raises(TerminalError, match="no such template"):
            driver.apply([replace(self.deploy(sample), template="no such template")])
        with pytest.raises(ForeignObjectError, match=taken):
            driver.apply([replace(self.deploy(sample), vm=taken)])
        with pytest.raises(TerminalError, match="no such group"):
            driver.apply([replace(self.deploy(sample), networks={"management": "no such group"})])

        assert {card.vm for card in driver.estate().cards} == vms
        assert driver.estate().appliances == {}

    def test_counters_leave_out_what_is_not_there(self, driver: EstateDriver, sample: EstateSample) -> None:
        plug = Plugin(card=sample.card, switch=INNER, group="av-one")
        driver.apply([self.switch(sample), self.group("av-one", 101), plug])
        assert set(driver.counters([sample.card, NOWHERE])) == {sample.card}
        assert driver.counters([]) == {}

    def test_all_rights_are_there(self, driver: EstateDriver, sample: EstateSample) -> None:  # noqa: ARG002
        assert driver.missing_rights() == ()

    def test_watchers_hear_of_the_host_whose_card_changed(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        heard: set[HostName] = set()
        rang = threading.Event()

        def notify(hosts: frozenset[HostName]) -> None:
            heard.update(hosts)
            if sample.hosts[1] in heard:
                rang.set()

        driver.apply([self.switch(sample), self.group("av-one", 101)])
        with driver.watch(notify):
            driver.apply([Plugin(card=sample.other, switch=INNER, group="av-one")])
            assert rang.wait(10)
