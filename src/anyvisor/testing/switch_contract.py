# SPDX-License-Identifier: Apache-2.0
"""What every virtual switch driver must pass. A test module subclasses `SwitchContract` and provides the fixtures."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from dataclasses import replace

import pytest

from anyvisor.contracts.switch import SwitchDriver
from anyvisor.errors import ForeignObjectError
from anyvisor.model.attachment import Plug, Unplug
from anyvisor.model.names import PortName


def unplugged(plug: Plug) -> Unplug:
    """The step that takes `plug` back."""
    return Unplug(port=plug.port, device=plug.device, bridge=plug.bridge)


class SwitchContract:
    """Fixtures to provide: `driver`; `one` and `two`, plugs of two devices that exist and stand nowhere; `foreign`,
    the plug of a device that somebody else uses.
    """

    def test_nothing_is_plugged_at_first(self, driver: SwitchDriver) -> None:
        assert driver.observe() == {}

    def test_what_was_plugged_is_observed(self, driver: SwitchDriver, one: Plug, two: Plug) -> None:
        driver.apply([one, two])

        assert driver.observe() == {one.port: one, two.port: two}

    def test_every_step_can_be_repeated(self, driver: SwitchDriver, one: Plug) -> None:
        driver.apply([one, one])
        driver.apply([one])
        assert driver.observe() == {one.port: one}

        driver.apply([unplugged(one), unplugged(one)])
        driver.apply([unplugged(one)])

        assert driver.observe() == {}

    def test_two_ports_can_swap_devices(self, driver: SwitchDriver, one: Plug, two: Plug) -> None:
        driver.apply([one, two])
        first, second = replace(one, device=two.device), replace(two, device=one.device)

        driver.apply([unplugged(one), unplugged(two), first, second])

        assert driver.observe() == {one.port: first, two.port: second}

    def test_unplugging_one_leaves_the_other(self, driver: SwitchDriver, one: Plug, two: Plug) -> None:
        driver.apply([one, two])

        driver.apply([unplugged(one)])

        assert driver.observe() == {two.port: two}

    def test_counters_are_kept_for_what_is_plugged(self, driver: SwitchDriver, one: Plug) -> None:
        assert driver.counters() == {}

        driver.apply([one])

        assert set(driver.counters()) == {one.port}

    def test_a_foreign_device_is_reported_and_left_alone(self, driver: SwitchDriver, foreign: Plug) -> None:
        with pytest.raises(ForeignObjectError, match=foreign.device):
            driver.apply([foreign])

        assert driver.observe() == {}

    def test_unplugging_a_foreign_device_does_nothing(self, driver: SwitchDriver, foreign: Plug) -> None:
        driver.apply([unplugged(foreign)])

        with pytest.raises(ForeignObjectError):
            driver.apply([foreign])

    def test_a_port_has_one_device_at_a_time(self, driver: SwitchDriver, one: Plug, two: Plug) -> None:
        driver.apply([one])
        moved = replace(one, device=two.device)

        driver.apply([moved])

        assert driver.observe() == {PortName(one.port): moved}
