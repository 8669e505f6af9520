# SPDX-License-Identifier: Apache-2.0
"""Follows vCenter's state and makes it true in the lab, for as long as it runs.

Level-triggered: each round compares what shall be with what there is, so it does not matter what was missed while
vCenter or this process was away. What was made true is remembered only to spare looking again; it is looked at anew
from time to time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

from anyvisor.errors import AnyvisorError, UnreachableError
from anyvisor.lab import namespace
from anyvisor.lab.esxi import announce, bridges, machine
from anyvisor.lab.esxi.bridges import Seen, Switches
from anyvisor.lab.esxi.counting import Counting
from anyvisor.lab.esxi.picture import Bridge, Picture, merged, picture_of
from anyvisor.lab.esxi.population import Population
from anyvisor.lab.place import Place
from anyvisor.lab.topology import VCENTER
from anyvisor.lab.vcenter.client import Control
from anyvisor.lab.vcenter.model import State

log = logging.getLogger(__name__)

PACE_SECONDS = 1.0
"""How often counters and the guests' addresses are read."""
RETRY_SECONDS = 0.3
RESYNC_SECONDS = 10.0


def settled_file(place: Place) -> Path:
    """Where it stands which state has been made true: vCenter's run and generation."""
    return place.part(VCENTER) / "settled"


class Emulator:
    """The ESXi hosts of one lab. One thread; appliances boot in threads of their own."""

    def __init__(
        self, place: Place, switches: Mapping[str, Switches], population: Population, control: Control
    ) -> None:
        self._place = place
        self._switches = switches
        self._population = population
        self._control = control
        self._state: State | None = None
        self._true: dict[str, tuple[Bridge, ...]] = {}
        self._addresses: dict[str, str] = {}
        self._counting = Counting(control)
        self._picture = Picture(bridges={}, cables={})
        self._open = True
        """Whether something is still to be done although vCenter has no news."""
        self._complaint = ""
        self._noted = ""

    def follow(self, stop: Event) -> None:
        """Work until told to stop."""
        looked = resynced = 0.0
        while not stop.is_set():
            news = self._listen(stop)
            self._open |= self._population.has_news()
            now = time.monotonic()
            if now - resynced >= RESYNC_SECONDS:
                self._true.clear()
                self._open, resynced = True, now
            if news or self._open:
                self._try(self._settle)
            if now - looked >= PACE_SECONDS and self._state is not None:
                self._try(self._look)
                looked = now

    def _listen(self, stop: Event) -> bool:
        """Wait for news; the world stays as it is while vCenter is away."""
        patience = RETRY_SECONDS if self._open else PACE_SECONDS
        known = self._state
        try:
            answer = self._control.state() if known is None else self._control.wait(known, seconds=patience)
        except UnreachableError as error:
            self._complain(str(error))
            stop.wait(RETRY_SECONDS)
            return False
        if known is not None and answer.instance == known.instance and answer.generation == known.generation:
            return False
        if known is not None and answer.instance != known.instance:
            self._counting.forget()
        self._state = answer if known is None else merged(known, answer)
        return True

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (AnyvisorError, OSError) as error:
            self._open = True
            self._complain(str(error))
        except Exception:
            # A mistake of ours in one round must not leave the hosts without anybody for good.
            self._open = True
            log.exception("this round failed")

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            log.warning("%s", words)
        self._complaint = words

    def _settle(self) -> None:
        """One round: machines, then cards out of switches, to their hosts, and into switches."""
        if self._state is None:
            return
        self._open = False
        population = self._population
        population.look(self._state)
        self._open |= population.make()
        picture = self._with_machines(picture_of(self._state, population.machine_of))
        self._picture = picture
        lying = machine.observe(self._place, self._switches)
        changed = {
            host: bridges_of
            for host in self._switches
            if (bridges_of := picture.bridges.get(host, ())) != self._true.get(host)
        }
        for host, wanted in changed.items():
            switch = self._switches[host]
            switch.change(bridges.removals(wanted, switch.observe()))
        machine.arrange(self._place, picture.cables, lying)
        for host, wanted in changed.items():
            self._true.pop(host, None)
            self._plug(host, wanted)
            self._true[host] = wanted
        population.run(picture.cables.values())
        self._complaint = ""
        if not self._open:
            self._note(self._state)

    def _note(self, state: State) -> None:
        """Tell others how far this has come."""
        text = f"{state.instance} {state.generation}"
        if text != self._noted:
            path = settled_file(self._place)
            new = path.with_suffix(".new")
            new.write_text(text, encoding="utf-8")
            new.replace(path)
            self._noted = text

    def _with_machines(self, picture: Picture) -> Picture:
        """Without the cards of machines that do not exist yet."""
        parts = {cable.part for cable in picture.cables.values()}
        there = {part for part in parts if namespace.inode(self._place.namespace(part)) is not None}
        cables = {device: cable for device, cable in picture.cables.items() if cable.part in there}
        found = {host: tuple(_having(one, cables) for one in own) for host, own in picture.bridges.items()}
        return Picture(bridges=found, cables=cables)

    def _plug(self, host: str, wanted: tuple[Bridge, ...]) -> None:
        switch = self._switches[host]
        before = switch.observe()
        switch.change(bridges.additions(wanted, before))
        after = switch.observe()
        for bridge in wanted:
            ports = after.get(bridge.name, {})
            switch.settle(bridge, ports, self._addresses)
            known = before.get(bridge.name, {})
            self._announce(host, bridge, ports, [ports[port].number for port in ports.keys() - known.keys()])
            # A device that the switch has not opened yet has no number; it is looked at again soon.
            self._open |= any(seen.number is None for seen in ports.values())

    def _announce(
        self, host: str, bridge: Bridge, ports: Mapping[str, Seen], newcomers: Collection[int | None]
    ) -> None:
        state = bridges.switch_of(bridge, ports, self._addresses)
        for frame in announce.announcements(state, newcomers):
            if state.uplink is not None:
                self._switches[host].send(bridge.name, frame, state.uplink)

    def _look(self) -> None:
        """What changes without vCenter: counters, and the addresses that guests give themselves."""
        cables = self._picture.cables
        seen = machine.addresses(self._place, cables)
        if seen != self._addresses:
            moved = {device for device, mac in seen.items() if mac != self._address_before(device)}
            self._addresses = seen
            for host in {cables[device].host for device in moved}:
                self._true.pop(host, None)
                self._open = True
        self._counting.push(cables, machine.observe(self._place, self._switches))

    def _address_before(self, device: str) -> str:
        return self._addresses.get(device) or self._picture.cables[device].mac


def _having(bridge: Bridge, devices: Collection[str]) -> Bridge:
    return replace(bridge, sockets=tuple(one for one in bridge.sockets if one.device in devices))
