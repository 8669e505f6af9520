# SPDX-License-Identifier: Apache-2.0
"""The host's Open vSwitch, connected to when it is first needed: it may not be running yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.errors import UnreachableError
from anyvisor.model.names import Mac


class LazySwitch:
    """Gives the driver, connecting if need be. One that lost its connection shows an old picture: it is replaced."""

    def __init__(self, remote: str, *, owner: Callable[[], str], notify: Callable[[], None]) -> None:
        self._remote = remote
        self._owner = owner
        self._notify = notify
        self._driver: OpenvSwitch | None = None

    def __call__(self) -> OpenvSwitch:
        """The driver.

        Raises:
            UnreachableError: Open vSwitch does not run.
        """
        if self._driver is not None and not self._driver.connected:
            self.close()
        if self._driver is None:
            if not self.may_run:
                raise UnreachableError(f"Open vSwitch does not run: there is no {self._remote}")
            self._driver = OpenvSwitch.connect(self._remote, owner=self._owner)
            self._driver.subscribe(self._notify)
        return self._driver

    @property
    def may_run(self) -> bool:
        """False where there is certainly no Open vSwitch: then nobody has to wait for an answer."""
        method, _, path = self._remote.partition(":")
        return method != "unix" or Path(path).exists()

    def attached(self) -> Mapping[Mac, str]:
        """The devices that Open vSwitch knows by their guest's MAC; none while it is not connected."""
        if self._driver is None:
            return {}
        return {vnic.mac: vnic.device for vnic in self._driver.vnics() if vnic.device is not None}

    def close(self) -> None:
        """End the connection."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None
