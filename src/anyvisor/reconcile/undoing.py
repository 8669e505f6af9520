# SPDX-License-Identifier: Apache-2.0
"""The reverse of each step of a conversion, from the journal alone: it works after the agent's death as well."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from anyvisor.contracts.host import ChassisSwitch, Daemons, HostNetwork
from anyvisor.errors import AnyvisorError, TerminalError, UnreachableError
from anyvisor.model.attachment import Unplug
from anyvisor.model.names import PortName
from anyvisor.planner.chassis import OWNER
from anyvisor.planner.chassis_steps import DropBridge, DropUplink, SetKeys
from anyvisor.planner.conversion import Journal, Replacement
from anyvisor.reconcile.outage import Outages

log = logging.getLogger(__name__)


class Undoing:
    """Puts a host back, step by step, whether or not a step was completed.

    Only what the conversion did is taken back: bridges, settings and plugs that Open vSwitch had before stay.
    """

    def __init__(
        self,
        switch: Callable[[], ChassisSwitch],
        *,
        network: HostNetwork,
        daemons: Daemons,
        outages: Outages,
    ) -> None:
        self._connect = switch
        self._network = network
        self._daemons = daemons
        self._outages = outages

    def undo(self, journal: Journal) -> tuple[str, ...]:
        """Take every step back that may have been made, the last one first; returns what went wrong.

        One failure does not keep the others from being undone. Repeating it is not an error.
        """
        switch = self._openvswitch(journal)
        reverses: Mapping[str, Callable[[], None]] = {
            "switch": self._daemons.stop_switch,
            "bridges": partial(self._drop_bridges, journal, switch),
            "uplinks": partial(self._return_uplinks, journal, switch),
            "chassis": partial(self._release_chassis, journal, switch),
            "controller": self._daemons.stop_controller,
            "vnics": partial(self._return_vnics, journal, switch),
        }
        return tuple(
            f"{step}: {failure}"
            for step in reversed(journal.started)
            if step in reverses and (failure := _attempt(f"undo {step}", reverses[step]))
        )

    def _openvswitch(self, journal: Journal) -> ChassisSwitch | None:
        """Open vSwitch, if there is anything of ours in it. One that has ended meanwhile is started for this: its
        database lasts, and would take the uplink again the next time it runs."""
        if journal.settings is None:
            return None
        try:
            return self._connect()
        except UnreachableError:
            log.warning("Open vSwitch does not run: starting it to take back what was made in it")
        try:
            self._daemons.start_switch()
            return self._connect()
        except AnyvisorError as error:
            log.warning("%s; what was made in Open vSwitch stays there, unused", error)
            return None

    def _drop_bridges(self, journal: Journal, switch: ChassisSwitch | None) -> None:
        if switch is not None:
            names = (r.after.name for r in journal.replacements)
            switch.configure(DropBridge(name=name) for name in names if name not in journal.bridges)

    def _return_uplinks(self, journal: Journal, switch: ChassisSwitch | None) -> None:
        _all_of(action for r in journal.replacements for action in self._returning(r, switch))

    def _returning(self, r: Replacement, switch: ChassisSwitch | None) -> Iterator[Callable[[], None]]:
        if switch is not None:
            # Open vSwitch lets the card go first; the host comes first all the same if it does not answer.
            drops = tuple(DropUplink(bridge=r.after.name, device=uplink) for uplink in r.after.uplinks)
            yield partial(switch.configure, drops)
        yield partial(self._network.remake, r.before)
        for uplink in r.after.uplinks:
            yield partial(self._network.join, uplink, r.before.name)
        yield partial(self._network.drop, r.after.name, r.before.addresses)
        yield partial(self._network.carry, r.before.name, r.before.addresses, r.before.routes)

    def _release_chassis(self, journal: Journal, switch: ChassisSwitch | None) -> None:
        if switch is None or journal.settings is None:
            return
        now = switch.observe_chassis()
        if now.settings.get(OWNER) not in {journal.owner, journal.settings.get(OWNER)}:
            return  # another installation has taken it over meanwhile
        written = {key for key in (*now.settings, *journal.settings) if _written_by_us(key)}
        changed = {
            key: journal.settings.get(key)
            for key in written
            if now.settings.get(key) != journal.settings.get(key)
        }
        # The bridges of the replacements go later, when their uplinks have left them.
        kept = {*journal.bridges, *(r.after.name for r in journal.replacements)}
        made = sorted(
            bridge.name for bridge in now.bridges.values() if bridge.ours and bridge.name not in kept
        )
        switch.configure((SetKeys(values=changed), *(DropBridge(name=name) for name in made)))

    def _return_vnics(self, journal: Journal, switch: ChassisSwitch | None) -> None:
        _all_of(self._returning_vnics(journal, switch))
        self._outages.end(PortName(vnic.port) for vnic in journal.vnics)

    def _returning_vnics(
        self, journal: Journal, switch: ChassisSwitch | None
    ) -> Iterator[Callable[[], None]]:
        if switch is not None:
            yield partial(_unplug, switch, {(vnic.port, vnic.device) for vnic in journal.vnics})
        for vnic in journal.vnics:
            if vnic.bridge:
                yield partial(self._network.join, vnic.device, vnic.bridge)


def _unplug(switch: ChassisSwitch, moved: set[tuple[str, str]]) -> None:
    there = switch.observe().items()
    switch.apply(
        [
            Unplug(port=port, device=plug.device, bridge=plug.bridge)
            for port, plug in there
            if (port, plug.device) in moved
        ]
    )


def _written_by_us(key: str) -> bool:
    return key in {"system-id", "hostname"} or key.startswith(("ovn-", "anyvisor:"))


def _all_of(actions: Iterable[Callable[[], None]]) -> None:
    """Try every one of them, whatever becomes of the others."""
    failures = [failure for action in actions if (failure := _attempt("put it back", action))]
    if failures:
        raise TerminalError("; ".join(failures))


def _attempt(what: str, action: Callable[[], None]) -> str:
    """What went wrong, or nothing."""
    try:
        action()
    except AnyvisorError as error:
        log.warning("could not %s: %s", what, error)
        return str(error)
    except Exception as error:
        log.exception("could not %s", what)
        return str(error) or type(error).__name__
    return ""
