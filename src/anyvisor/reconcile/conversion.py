# SPDX-License-Identifier: Apache-2.0
"""Turning a Linux bridge host into an Open vSwitch host while its VMs run: `substitution` on KVM and Xen.

Each step is in the journal, on the disk, before it is made, and has a reverse that may be taken whether or not the
step was. What fails is undone at once; what was cut short by the agent's death is undone when the next agent starts.
The host's own addresses move in one short window; the VMs follow one by one once ovn-controller is at work.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from anyvisor.contracts.host import ChassisSwitch, Daemons, HostNetwork, Memory, Surroundings
from anyvisor.errors import AnyvisorError, RetryableError, RolledBackError, TerminalError
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.names import PortName
from anyvisor.model.state import State
from anyvisor.planner.chassis import OWNER, ObservedChassis, chassis_plan
from anyvisor.planner.chassis_steps import AddUplink, MakeBridge
from anyvisor.planner.conversion import (
    ConversionPlan,
    Journal,
    MovedVnic,
    conversion_plan,
    journal_document,
    journal_of,
    wanted_bridges,
)
from anyvisor.reconcile import findings
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.patience import Patience
from anyvisor.reconcile.undoing import Undoing

log = logging.getLogger(__name__)

FILE = "conversion"
_ATTEMPTS = 3
"""How often an agent that died half-way is followed by another try."""
_PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a conversion works on. `database` is the remote that must stay in reach."""

    switch: Callable[[], ChassisSwitch]
    network: HostNetwork
    surroundings: Surroundings
    daemons: Daemons
    memory: Memory
    patience: Patience
    database: str
    datapath: str = "system"


@dataclass(slots=True, kw_only=True)
class _Run:
    """One conversion under way."""

    state: State
    host: Host
    attachments: tuple[Attachment, ...]
    announce: Callable[[Mapping[PortName, str]], None]
    journal: Journal
    plugged: Mapping[PortName, str] = field(default_factory=dict)


class Conversion:
    """Converts the host that the program runs on, once it must be. One thread."""

    def __init__(self, grounds: Grounds, integration: Integration, outages: Outages) -> None:
        self._grounds = grounds
        self._integration = integration
        self._outages = outages
        self._undoing = Undoing(
            grounds.switch, network=grounds.network, daemons=grounds.daemons, outages=outages
        )

    def carry_out(
        self,
        state: State,
        host: Host,
        attachments: Iterable[Attachment],
        announce: Callable[[Mapping[PortName, str]], None],
    ) -> Condition | None:
        """Convert what is left to convert; returns what to say of it, None where there never was anything.

        `announce` is called with the plugged devices once every vNIC has left its Linux bridge: the controller must
        know at once, for it has to bind the ports here now.

        Raises:
            TerminalError: it must not be begun; nothing was touched.
            RolledBackError: it was begun and undone; the host is as it was.
            UnreachableError: the hypervisor does not answer; nothing was touched.
        """
        listed = tuple(attachments)
        self.recover()  # what an earlier look could not put back
        journal = self._journal()
        observed = self._observed()
        plan = self._plan(host, listed, observed)
        if not plan.needed:
            return _converted(journal) if journal.phase == "done" else None
        subject = _fingerprint(state, host)
        if journal.subject != subject:
            journal = Journal(subject=subject)
        if journal.phase == "undone" or journal.attempts >= _ATTEMPTS:
            raise RolledBackError(
                journal.reason
                or f"the agent of {host.name} died {journal.attempts} times while converting it; it is as it was",
                hint=f"pin another scheme and then this one again, or change what the site says of {host.name}",
            )
        problems = (*plan.problems, *self._grounds.daemons.missing())
        if problems:
            raise TerminalError(f"{host.name} is not converted: {'; '.join(problems)}")
        # A site that does not say enough and a switch that is another's are found out before anything moves.
        chassis_plan(self._integration.desired(state, host), observed)
        journal = Journal(
            phase="under way",
            subject=subject,
            owner=state.owner,
            replacements=plan.replacements,
            attempts=journal.attempts + 1,
        )
        self._convert(_Run(state=state, host=host, attachments=listed, announce=announce, journal=journal))
        return _converted(self._journal())

    def recover(self) -> None:
        """To be called before anything else when an agent starts: finish or undo what a dead one left half done.

        Raises:
            TerminalError: something could not be put back; the next call tries again.
        """
        journal = self._journal()
        if journal.phase != "under way":
            return
        if "settle" in journal.started and not journal.reason:
            log.info("the conversion was complete when the last agent ended")
            self._save(replace(journal, phase="done"))
            return
        log.warning("this host was left half converted: undoing %s", ", ".join(journal.started) or "nothing")
        failures = self._undoing.undo(journal)
        if failures:
            raise TerminalError(f"the conversion could not be undone: {'; '.join(failures)}")
        self._save(_after_undoing(journal))

    def forget_failure(self) -> None:
        """Another scheme is wanted now: if this one comes back, it is worth another try.

        Raises:
            TerminalError: the host is half converted, and still could not be put back.
        """
        self.recover()
        journal = self._journal()
        if journal.phase != "done" and journal != Journal():
            self._save(Journal())

    @property
    def owner(self) -> str:
        """Whose conversion is in the journal; ``""`` if none is."""
        return self._journal().owner

    # --- the conversion ---------------------------------------------------------------------------------------------

    def _observed(self) -> ObservedChassis:
        try:
            return self._grounds.switch().observe_chassis()
        except AnyvisorError:
            return ObservedChassis()  # it is looked at again once it runs

    def _plan(
        self, host: Host, attachments: tuple[Attachment, ...], observed: ObservedChassis
    ) -> ConversionPlan:
        bridges = self._grounds.network.bridges()
        first = conversion_plan(host, bridges, vnics=(), datapath=self._grounds.datapath)
        if not first.needed:
            return ConversionPlan()
        found = self._integration.found(host, attachments)
        plan = conversion_plan(
            host,
            bridges,
            vnics=frozenset(found.by_port.values()),
            switch_bridges=_foreign(observed),
            datapath=self._grounds.datapath,
        )
        # A vNIC that several claim is nobody's, and so in the way: the doubt says why.
        return replace(plan, problems=(*found.doubts, *plan.problems)) if plan.problems else plan

    def _convert(self, run: _Run) -> None:
        steps: tuple[tuple[str, str, Callable[[_Run], None]], ...] = (
            ("switch", "start Open vSwitch", self._start_switch),
            ("bridges", "make the bridges", self._make_bridges),
            ("uplinks", "move the host's addresses", self._move_uplinks),
            ("reach", "reach the databases", self._check_reach),
            ("chassis", "make the host a chassis", self._become_chassis),
            ("controller", "start ovn-controller", self._start_controller),
            ("flows", "see ovn-controller at work", self._await_flows),
            ("vnics", "move the vNICs", self._move_vnics),
            ("settle", "see the vNICs connected", self._settle),
        )
        doing = ""
        try:
            for name, doing, step in steps:
                log.info("%s: %s", run.host.name, doing)
                if not self._ran_before(name, run):
                    self._note(run, started=(*run.journal.started, name))
                step(run)
        except Exception as error:
            raise self._rolled_back(run, f"{run.host.name}: could not {doing}: {error}") from error
        self._save(replace(run.journal, phase="done"))

    def _ran_before(self, step: str, run: _Run) -> bool:
        """Whether a daemon that a step starts runs already: then it is not ours to stop, and an undo shall not."""
        match step:
            case "switch":
                return self._connects()
            case "controller":
                return (run.journal.settings or {}).get(OWNER) == run.journal.owner and self._controlled()
            case _:
                return False

    def _controlled(self) -> bool:
        try:
            return self._grounds.switch().controlled()
        except RetryableError:
            return False

    def _rolled_back(self, run: _Run, message: str) -> TerminalError:
        """Undo what was done; what is to be said of it."""
        # In the journal first: an agent that dies during the undo must not pass for one that died in the last step.
        with suppress(Exception):
            self._note(run, reason=f"{message}; the host is as it was")
        failures = self._undoing.undo(run.journal)
        if failures:
            return TerminalError(f"{message}; and could not undo it: {'; '.join(failures)}")
        log.warning("%s; everything was put back", message)
        self._save(_after_undoing(run.journal))
        return RolledBackError(run.journal.reason)

    def _note(self, run: _Run, **changes: Any) -> None:
        run.journal = replace(run.journal, **changes)
        self._save(run.journal)

    def _journal(self) -> Journal:
        return journal_of(self._grounds.memory.load(FILE))

    def _save(self, journal: Journal) -> None:
        self._grounds.memory.save(FILE, journal_document(journal))

    # --- the steps --------------------------------------------------------------------------------------------------

    def _start_switch(self, _: _Run) -> None:
        self._grounds.daemons.start_switch()
        self._grounds.patience.until(self._connects, "Open vSwitch did not answer")

    def _connects(self) -> bool:
        try:
            self._grounds.switch().observe_chassis()
        except AnyvisorError:
            return False
        return True

    def _make_bridges(self, run: _Run) -> None:
        observed = self._grounds.switch().observe_chassis()
        chassis_plan(self._integration.desired(run.state, run.host), observed)
        taken = sorted(_foreign(observed) & {r.after.name for r in run.journal.replacements})
        if taken:
            raise TerminalError(f"Open vSwitch has a bridge {', '.join(taken)} already")
        self._note(run, settings=dict(observed.settings), bridges=tuple(sorted(observed.bridges)))
        self._grounds.switch().configure(
            MakeBridge(
                name=r.after.name,
                datapath=self._grounds.datapath,
                fail_mode="standalone",
                mac=r.after.mac,
                mtu=r.after.mtu,
            )
            for r in run.journal.replacements
        )
        for r in run.journal.replacements:
            self._grounds.network.carry(r.after.name, (), ())

    def _move_uplinks(self, run: _Run) -> None:
        network = self._grounds.network
        for r in run.journal.replacements:
            for uplink in r.after.uplinks:
                network.leave(uplink)
            self._grounds.switch().configure(
                AddUplink(bridge=r.after.name, device=uplink) for uplink in r.after.uplinks
            )
            network.drop(r.before.name, r.before.addresses)
            network.carry(r.after.name, r.before.addresses, r.before.routes)

    def _check_reach(self, run: _Run) -> None:
        southbound = self._integration.desired(run.state, run.host).remote
        for remote in (southbound, self._grounds.database):
            self._grounds.patience.until(
                lambda remote=remote: self._grounds.surroundings.reaches(remote, _PROBE_SECONDS),  # type: ignore[misc]
                f"{remote} could not be reached",
            )

    def _become_chassis(self, run: _Run) -> None:
        bridges = wanted_bridges(run.host, run.journal.replacements)
        problems, _ = self._integration.configure(run.state, run.host, bridges)
        if problems:
            raise TerminalError("; ".join(problems))

    def _start_controller(self, _: _Run) -> None:
        self._grounds.daemons.start_controller()

    def _await_flows(self, _: _Run) -> None:
        self._grounds.patience.until(
            lambda: self._grounds.switch().controlled(), "ovn-controller did not program br-int"
        )

    def _move_vnics(self, run: _Run) -> None:
        problems: tuple[str, ...] = ()

        def moved() -> bool:
            # A VM that ends meanwhile takes its device along: what failed for that succeeds without it.
            nonlocal problems
            problems = self._plug(run)
            return not problems

        try:
            self._grounds.patience.until(moved, "not every vNIC could be moved")
        except RetryableError as error:
            raise TerminalError("; ".join(problems) or str(error)) from error

    def _plug(self, run: _Run) -> tuple[str, ...]:
        """Plug what is there now. Only that: what comes later is not in the journal, and is taken over afterwards."""
        masters = self._grounds.surroundings.masters()
        plugged = self._grounds.switch().observe()
        devices = self._devices(run, {port: plug.device for port, plug in plugged.items()})
        fresh = {
            (port, device): MovedVnic(port=port, device=device, bridge=masters.get(device, ""))
            for port, device in sorted(devices.items())
            if device in masters or port not in plugged
        }
        known = {(vnic.port, vnic.device): vnic for vnic in run.journal.vnics}
        self._note(run, vnics=tuple((fresh | known).values()))
        chosen = [a for a in run.attachments if a.port in devices or a.port in plugged]
        done = self._integration.plug(run.host, chosen, take_from_bridges=True)
        run.plugged = done.devices
        return done.problems

    def _devices(self, run: _Run, held: Mapping[PortName, str]) -> Mapping[PortName, str]:
        return self._integration.found(run.host, run.attachments, held).by_port

    def _settle(self, run: _Run) -> None:
        run.announce(run.plugged)
        moved = frozenset(PortName(vnic.port) for vnic in run.journal.vnics if vnic.bridge)

        def settled() -> bool:
            installed = self._grounds.switch().installed(moved)
            self._outages.end(installed)
            # A VM that has ended meanwhile waits for nothing.
            return moved <= installed or moved & set(self._devices(run, run.plugged)) <= installed

        self._grounds.patience.until(settled, "not every vNIC that was moved was connected by the controller")


def _converted(journal: Journal) -> Condition:
    pairs = ", ".join(f"{r.before.name} became {r.after.name}" for r in journal.replacements)
    names = ", ".join(r.before.name for r in journal.replacements)
    message = f"{pairs}; the host's own network configuration still speaks of {names}: change it before the next boot"
    return Condition(kind=findings.CONVERTED, true=True, reason="Converted", message=message)


def _after_undoing(journal: Journal) -> Journal:
    """A failure counts for good; a death leaves some more tries."""
    if journal.reason:
        return Journal(phase="undone", subject=journal.subject, reason=journal.reason)
    return Journal(subject=journal.subject, attempts=journal.attempts)


def _foreign(observed: ObservedChassis) -> frozenset[str]:
    return frozenset(bridge.name for bridge in observed.bridges.values() if not bridge.ours)


def _fingerprint(state: State, host: Host) -> str:
    described = replace(host, facts=dict(sorted(host.facts.items())))
    return hashlib.blake2s(repr((described, state.site.controller)).encode(), digest_size=8).hexdigest()
