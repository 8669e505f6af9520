# SPDX-License-Identifier: Apache-2.0
"""What every driver of a host that stands alone must pass: standard switches, and appliances that people make."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest

from anyvisor.contracts.estate import EstateDriver
from anyvisor.errors import ForeignObjectError, TerminalError
from anyvisor.model.estate import (
    Deploy,
    DropGroup,
    DropSwitch,
    EstateStep,
    Fence,
    Giveback,
    Health,
    MakeGroup,
    Pin,
    Plugin,
    Remove,
    Start,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import SwitchName
from anyvisor.testing.estate_contract import INNER, EstateContract, EstateSample

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardSample(EstateSample):
    """`hosts` are the same host twice. Nothing moves, and there is no template to clone."""

    make_appliance: Callable[[str, SwitchName, str], None]
    """Let somebody make an appliance of that key on the host by hand, its last card in that group of ours."""


def _without(*names: str) -> Callable[[type[T]], type[T]]:
    """Tests that a class inherits and that do not apply."""

    def leave_out(cls: type[T]) -> type[T]:
        for name in names:
            assert hasattr(cls, name), name
            setattr(cls, name, None)
        return cls

    return leave_out


@_without(
    "test_a_switch_is_made_once_and_takes_more_hosts",
    "test_a_switch_of_somebody_else_is_left_alone",
    "test_a_vm_that_moves_keeps_its_cards",
    "test_an_appliance_is_made_fenced_started_and_removed",
    "test_an_appliance_is_pinned_and_pinned_anew",
    "test_each_appliance_is_another_vm",
    "test_an_appliance_that_cannot_be_made_leaves_nothing_behind",
)
class StandardContract(EstateContract):
    """Fixtures as those of `EstateContract`; set `host`."""

    kind = SwitchKind.VSS

    def test_a_switch_is_made_and_goes(self, driver: EstateDriver, sample: StandardSample) -> None:
        (before,) = {len(host.switches) for host in driver.estate().hosts.values()}
        driver.apply([self.switch(sample), self.switch(sample)])
        made = driver.estate().switches[INNER]
        assert (made.kind, made.hosts, made.mtu, made.version) == (SwitchKind.VSS, (self.host,), 9000, "")
        assert {len(host.switches) for host in driver.estate().hosts.values()} == {before}

        driver.apply([DropSwitch(name=INNER), DropSwitch(name=INNER)])

        assert driver.estate().switches == {}

    def test_a_group_of_somebody_else_is_neither_changed_nor_removed(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        theirs = replace(self.group(sample.foreign_group, 9).group, switch=sample.foreign_switch)
        refused: tuple[EstateStep, ...] = (
            MakeGroup(group=theirs),
            DropGroup(switch=theirs.switch, name=theirs.name, host=self.host),
            Plugin(card=sample.card, switch=theirs.switch, group=theirs.name),
        )

        for step in refused:
            with pytest.raises(ForeignObjectError, match=sample.foreign_group):
                driver.apply([step])

        assert driver.estate().groups == {}

    def test_steps_before_one_that_is_refused_stay_done(
        self, driver: EstateDriver, sample: EstateSample
    ) -> None:
        refused = Plugin(card=sample.passthrough, switch=INNER, group="av-one")

        with pytest.raises(TerminalError):
            driver.apply(
                [self.switch(sample), self.group("av-one", 101), refused, self.group("av-late", 102)]
            )

        assert set(driver.estate().groups) == {self.at("av-one")}

    def test_nothing_is_cloned_there(self, driver: EstateDriver, sample: StandardSample) -> None:
        driver.apply([self.switch(sample), self.trunk()])
        order = Deploy(
            key=f"{self.host}/1",
            vm="av-app",
            host=sample.hosts[0],
            template=sample.template,
            user_data="",
            switch=INNER,
            trunk_group="av-trunk",
        )

        with pytest.raises(TerminalError):
            driver.apply([order])

        assert driver.estate().appliances == {}

    def test_an_appliance_made_by_hand_is_pinned_fenced_started_and_removed(
        self, driver: EstateDriver, sample: StandardSample
    ) -> None:
        key = f"{self.host}/1"
        driver.apply([self.switch(sample), self.trunk(), self.group("av-one", 101)])
        sample.make_appliance(key, INNER, "av-trunk")
        made = driver.estate().appliances[key]
        assert (made.host, made.health, made.pinned) == (sample.hosts[0], Health.RUNNING, False)
        assert made.trunk is not None
        assert made.trunk_connected

        driver.apply([Pin(key=key), Pin(key=key)])
        assert driver.estate().appliances[key].pinned
        sample.unpin(made.vm)
        assert not driver.estate().appliances[key].pinned
        driver.apply([Pin(key=key), Fence(key=key)])
        assert (driver.estate().appliances[key].pinned, driver.estate().appliances[key].trunk_connected) == (
            True,
            False,
        )
        driver.apply([Fence(key=key, off=False)])

        sample.power_off(made.vm)
        assert driver.estate().appliances[key].health is Health.OFF
        driver.apply([Start(key=key), Start(key=key)])
        assert driver.estate().appliances[key] == replace(made, pinned=True)

        driver.apply([Plugin(card=sample.card, switch=INNER, group="av-one"), Giveback(card=sample.card)])
        driver.apply([Remove(key=key), Remove(key=key)])
        assert driver.estate().appliances == {}
