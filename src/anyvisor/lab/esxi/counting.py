# SPDX-License-Identifier: Apache-2.0
"""What cards count flows back to vCenter, since they were plugged in where they are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace

from anyvisor.errors import UnreachableError
from anyvisor.lab.esxi import machine
from anyvisor.lab.esxi.machine import Lying
from anyvisor.lab.esxi.picture import Cable
from anyvisor.lab.vcenter.client import Control, Counters


class Counting:
    """Pushes what has changed since the last time."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._told: dict[str, Counters] = {}
        self._base: dict[str, Counters] = {}
        """By device: what it had counted when it was plugged in where it is. It counts on when it is replugged."""

    def forget(self) -> None:
        """vCenter has forgotten what it was told."""
        self._told.clear()

    def push(self, cables: Mapping[str, Cable], lying: Mapping[str, Lying]) -> None:
        """Tell vCenter what is new; if it is away, the next time does."""
        ports: dict[str, Counters] = {}
        nics: dict[str, Counters] = {}
        for device, cable in cables.items():
            if device in lying and cable.up:
                counted = self._since(device, machine.counters(cable, lying[device].link))
                if self._told.get(device) != counted:
                    (ports if cable.distributed else nics)[device] = counted
        if not ports and not nics:
            return
        try:
            self._control.push(ports=ports.values(), nics=nics.values(), at=time.time())
        except UnreachableError:
            return
        self._told.update(ports)
        self._told.update(nics)

    def _since(self, device: str, now: Counters) -> Counters:
        base = self._base.get(device)
        if base is None:
            # Whatever it counted before this process began was counted here.
            base = self._base[device] = Counters(key=now.key)
        elif base.key != now.key:
            base = self._base[device] = now
        return difference(now, base)


def difference(now: Counters, base: Counters) -> Counters:
    """What was counted since `base`; a device that was made anew begins again."""
    before = asdict(base)
    values = {
        name: value - before[name] if value >= before[name] else value
        for name, value in asdict(now).items()
        if name != "key"
    }
    return replace(now, **values)
