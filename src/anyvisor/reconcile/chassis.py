# SPDX-License-Identifier: Apache-2.0
"""One host, brought to what was decided for it: its chassis, its plugs, its counters, its report.

Used by the agent for its own host, and by anyvisord for hosts whose Open vSwitch it reaches from afar (then with
neither separation nor conversion: the vNICs are those that Open vSwitch knows).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.contracts.store import HostReport, Store
from anyvisor.contracts.switch import SwitchDriver
from anyvisor.errors import AnyvisorError, UnreachableError
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.names import HostName, PortName
from anyvisor.model.sighting import Sighting
from anyvisor.model.state import HostState, Plugged, State
from anyvisor.planner.facts import traits
from anyvisor.planner.seats import FIRST
from anyvisor.reconcile import findings
from anyvisor.reconcile.carding import Carding
from anyvisor.reconcile.carrying import Carrying
from anyvisor.reconcile.conversion import Conversion
from anyvisor.reconcile.driver_domain import DriverDomain
from anyvisor.reconcile.integration import Integrated, Integration
from anyvisor.reconcile.lookout import sighted
from anyvisor.reconcile.measuring import Measuring, Sources
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.parting import Parting
from anyvisor.reconcile.separation import Separation
from anyvisor.reconcile.trunking import Trunking

log = logging.getLogger(__name__)

_CHASSIS = frozenset({Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.APPLIANCE, Scheme.NIC})
"""Schemes under which this host's Open vSwitch is programmed."""
_NO_CARD = 'the agent does not look for cards: set hypervisor = "smartnic" in its settings'


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one look at a host came to. `carried` is None where nothing is in force yet.

    `plugged` has the device of each port that is plugged, None where that is not known now.
    """

    carried: Scheme | None = None
    conditions: tuple[Condition, ...] = ()
    plugged: Mapping[PortName, str] | None = None
    mappings: Mapping[str, str] = field(default_factory=dict)
    """Physical networks of this chassis and their bridges."""
    error: AnyvisorError | None = None
    """What kept the host from being as wanted; it is in the report already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What this host can do beyond having its Open vSwitch programmed; None for what it cannot."""

    separation: Separation | None = None
    conversion: Conversion | None = None
    trunking: Trunking | None = None
    carrying: Carrying | None = None
    parting: Parting | None = None
    carding: Carding | None = None
    """Set on a card, and on a host that drives its card itself: it does nothing but that."""
    driver_domain: DriverDomain | None = None
    """Set in a network driver domain: it does nothing but that."""
    lookout: HypervisorDriver | None = None
    """Who is asked which VMs of other hosts' ports are here."""


class ChassisReconciler:
    """Level-triggered: every call looks at everything of the one host. One thread.

    `time_to_measure` answers, at the end of a look, whether counters are due. `number` is which appliance of the host
    this is: all lay the way for every vNIC, each says and counts what it serves.
    """

    def __init__(
        self,
        host: HostName,
        store: Store,
        integration: Integration,
        *,
        outages: Outages,
        ways: Ways | None = None,
        measuring: Measuring | None = None,
        time_to_measure: Callable[[], bool] = lambda: True,
        number: int = FIRST,
    ) -> None:
        self._host = host
        self._store = store
        self._integration = integration
        self._outages = outages
        ways = ways or Ways()
        self._separation = ways.separation
        self._conversion = ways.conversion
        self._trunking = ways.trunking
        self._carrying = ways.carrying
        self._carding = ways.carding
        self._parting = ways.parting
        self._measuring = measuring
        self._time_to_measure = time_to_measure
        self._number = number
        self._driver_domain = ways.driver_domain
        self._lookout = ways.lookout

    def reconcile(self) -> Result:
        """Look, change what differs, report what changed. What goes wrong is in the result, not raised.

        A host that the site does not have (or that no site has yet) is left exactly as it is.
        """
        state = self._store.snapshot()
        host = state.site.hosts.get(self._host)
        if host is None or not state.owner:
            return Result()
        if self._trunking is not None and traits.agentless(host):
            # No agent may run here. Who drives the manager speaks for the host; this VM is to be replaced.
            return Result()
        known = state.hosts.get(self._host, HostState())
        if self._is_another_ones(host, known):
            return self._stand_down(state, known)
        if known.scheme is Scheme.SEPARATION and traits.in_pool(host):
            # The pool's networks are laid through its master, and who drives that speaks for the host.
            return Result()
        mine = tuple(a for a in state.attachments.values() if a.host == self._host)
        staged = tuple(a for a in state.attachments.values() if a.staged == self._host)
        self._outages.keep(a.port for a in mine)
        if self._parting is not None and self._stands_beside(host, known):
            return self._part(self._parting, state, host, known, mine)
        try:
            result = self._carry_out(state, host, known, (*mine, *staged))
            result = replace(result, conditions=(*result.conditions, *self._carried(state, mine, result)))
        except AnyvisorError as error:
            said = (findings.agent_ready(), findings.failed(findings.CHASSIS, error))
            result = Result(carried=known.carried, conditions=said, error=error)
        try:
            self._report(state, [a for a in mine if self._serves(a)], result)
            if self._measuring is not None and self._time_to_measure():
                self._measuring.take(state, self._sources(result))
        except AnyvisorError as error:
            log.warning("%s", error)
            return replace(result, error=result.error or error)
        return result

    def _stands_beside(self, host: Host, known: HostState) -> bool:
        """The host's appliance has an agent of its own, and is at work: this one serves the switch between."""
        return (
            self._trunking is None
            and traits.inner_by_agent(host)
            and (known.scheme, known.carried) == (Scheme.APPLIANCE, Scheme.APPLIANCE)
        )

    def _part(
        self,
        parting: Parting,
        state: State,
        host: Host,
        known: HostState,
        mine: Iterable[Attachment],
    ) -> Result:
        """What is said of the host is the appliance's to say, but for one condition and the VLANs."""
        error: AnyvisorError | None = None
        vlans = known.inner_vlans
        try:
            with suppress(UnreachableError):
                self._integration.give_back(state.owner)  # the appliance is the chassis
            done = parting.carry_out(state, host, mine)
            said, vlans = findings.inner_switch(done.problems), done.vlans
        except AnyvisorError as caught:
            said, error = findings.failed(findings.INNER, caught), caught
        theirs = tuple(c for c in known.conditions if c.kind != findings.INNER)
        try:
            seen = self._sighted(state, host, known)
            if said not in known.conditions or (vlans, seen) != (known.inner_vlans, known.sighted):
                self._store.report(
                    HostReport(
                        host=self._host,
                        carried=known.carried,
                        conditions=(*theirs, said),
                        inner_vlans=vlans,
                        sighted=seen,
                    )
                )
        except AnyvisorError as caught:
            error = error or caught
        return Result(carried=known.carried, conditions=(said,), error=error)

    def _sighted(self, state: State, host: Host, known: HostState) -> tuple[Sighting, ...]:
        """What is to be said of others' VMs; what was said, while the hypervisor does not answer. Where a manager
        tells, nothing.
        """
        if self._lookout is None or not traits.told_by_agents(host):
            return known.sighted
        try:
            return sighted(
                self._lookout, self._host, (a for a in state.attachments.values() if a.host == self._host)
            )
        except AnyvisorError:
            return known.sighted

    def _is_another_ones(self, host: Host, known: HostState) -> bool:
        """Another switch than that beside this agent serves the host's vNICs: its card's, its appliance's, its own."""
        return (
            self._is_of_the_other(host, known)
            or self._is_of_the_other_domain(host, known)
            or (self._trunking is not None and known.scheme not in {Scheme.APPLIANCE, None})
        )

    def _is_of_the_other(self, host: Host, known: HostState) -> bool:
        """A host with a DPU may have two agents, on the card and on itself: its scheme says which speaks for it."""
        nic = traits.smart_nic(host)
        if nic is None or nic.dpu is None or known.scheme is None:
            return False
        return (known.scheme is Scheme.NIC) is (self._carding is None)

    def _is_of_the_other_domain(self, host: Host, known: HostState) -> bool:
        """Where a driver domain switches, an agent in dom0 has nothing to do, and the other way round."""
        served = known.scheme is Scheme.APPLIANCE and traits.switched_by_domain(host)
        return served is (self._driver_domain is None)

    def _stand_down(self, state: State, known: HostState) -> Result:
        """Says nothing, and lets go: an agent on a card at once, since functions serve nobody under another scheme;
        others as soon as the one whose turn it is has begun, so that no vNIC is cut off before it can be served.
        """
        if self._carrying is not None:
            self._carrying.rest()
        if self._carding is None and (known.scheme is None or known.carried is not known.scheme):
            return Result()
        try:
            self._integration.give_back(state.owner)
        except UnreachableError as error:
            # A host without Open vSwitch has nothing to give back; one that had is looked at again.
            log.debug("%s", error)
        except AnyvisorError as error:
            return Result(error=error)
        return Result()

    def _serves(self, attachment: Attachment) -> bool:
        """A fallen one is nobody's: the first speaks for it, as it does for what has no appliance."""
        trunked = attachment.kind is AttachmentKind.VLAN_ACCESS
        return (attachment.appliance if trunked else FIRST) == self._number

    def _carry_out(self, state: State, host: Host, known: HostState, mine: tuple[Attachment, ...]) -> Result:
        if known.scheme is not Scheme.SUBSTITUTION and self._conversion is not None:
            self._conversion.forget_failure()
        match known.scheme:
            case Scheme.BASELINE:
                return self._programmed(state, host, mine, Scheme.BASELINE)
            case Scheme.SUBSTITUTION:
                return self._substituted(state, host, known, mine)
            case Scheme.APPLIANCE if self._trunking is not None:
                done = self._trunking.carry_out(state, host, mine)
                return _integrated(done, Scheme.APPLIANCE)
            case Scheme.APPLIANCE if self._driver_domain is not None:
                return _integrated(self._driver_domain.carry_out(state, host, mine), Scheme.APPLIANCE)
            case Scheme.SEPARATION if self._separation is not None:
                return self._separated(self._separation, state, host, mine)
            case Scheme.NIC if self._carding is not None:
                done, card = self._carding.carry_out(state, host, mine)
                return _integrated(done, Scheme.NIC, card)
            case Scheme.NIC:
                said = (findings.agent_ready(), findings.card_ready((_NO_CARD,)))
                return Result(carried=known.carried, conditions=said)
            case _:
                return Result(carried=known.carried, conditions=(findings.agent_ready(),))

    def _programmed(
        self, state: State, host: Host, mine: Iterable[Attachment], scheme: Scheme, *also: Condition
    ) -> Result:
        substituted = scheme is Scheme.SUBSTITUTION
        done = self._integration.carry_out(state, host, mine, take_from_bridges=substituted)
        return _integrated(done, scheme, *also)

    def _substituted(
        self, state: State, host: Host, known: HostState, mine: tuple[Attachment, ...]
    ) -> Result:
        if self._conversion is None or traits.in_pool(host):
            # XAPI's backend is switched by its operator, with a reboot.
            return self._programmed(state, host, mine, Scheme.SUBSTITUTION)

        def announce(plugged: Mapping[PortName, str]) -> None:
            said = (findings.agent_ready(), findings.chassis_ready(()), findings.settling())
            self._report(state, mine, Result(carried=Scheme.SUBSTITUTION, conditions=said, plugged=plugged))

        try:
            converted = self._conversion.carry_out(state, host, mine, announce)
        except AnyvisorError as error:
            return self._not_converted(state, host, known, mine, error)
        said = (converted,) if converted is not None else ()
        result = self._programmed(state, host, mine, Scheme.SUBSTITUTION, *said)
        if self._separation is not None:
            self._separation.dismantle()  # what our own Linux bridges held has left them
        return result

    def _not_converted(
        self, state: State, host: Host, known: HostState, mine: Iterable[Attachment], error: AnyvisorError
    ) -> Result:
        """The host is as it was; its native switch goes on serving what it served."""
        condition = findings.failed(findings.CONVERTED, error)
        stays = Result(carried=known.carried, conditions=(findings.agent_ready(),))
        if known.carried is Scheme.SEPARATION and self._separation is not None:
            stays = self._separated(self._separation, state, host, mine)
        return replace(stays, conditions=(*stays.conditions, condition), error=error)

    def _separated(
        self, separation: Separation, state: State, host: Host, mine: Iterable[Attachment]
    ) -> Result:
        # A host that was substituted before: its vNICs leave the integration bridge first.
        with suppress(UnreachableError):
            self._integration.unplug_all()
        plugged, problems = separation.carry_out(host, mine, state.site.networks)
        self._outages.end(plugged)
        conditions = (findings.agent_ready(), *findings.vnics_plugged(problems))
        return Result(carried=Scheme.SEPARATION, conditions=conditions, plugged=plugged)

    def _carried(self, state: State, mine: tuple[Attachment, ...], result: Result) -> tuple[Condition, ...]:
        """Whether what the networks send gets through; only a chassis has tunnels."""
        if self._carrying is None:
            return ()
        if result.carried in _CHASSIS:
            return self._carrying.conditions(state, mine)
        self._carrying.rest()
        return ()

    def _report(self, state: State, mine: Iterable[Attachment], result: Result) -> None:
        plugged: dict[PortName, Plugged] = {}
        for port in (a.port for a in mine):
            before = state.plugged.get(port, Plugged())
            plugged[port] = Plugged(
                device=result.plugged.get(port) if result.plugged is not None else before.device,
                outage_ms=self._outages.measured.get(port, before.outage_ms),
                card=before.card,
            )
        known = state.hosts.get(self._host, HostState())
        if self._trunking is not None:
            beside = tuple(c for c in known.conditions if c.kind == findings.INNER)
            result = replace(result, conditions=(*result.conditions, *beside))
        partial = self._number != FIRST
        seen = self._sighted(state, state.site.hosts[self._host], known)
        unchanged = (
            partial
            or (known.carried, known.conditions, known.sighted) == (result.carried, result.conditions, seen)
        ) and all(state.plugged.get(port, Plugged()) == said for port, said in plugged.items())
        if not unchanged:
            self._store.report(
                HostReport(
                    host=self._host,
                    carried=result.carried,
                    conditions=result.conditions,
                    plugged=plugged,
                    partial=partial,
                    sighted=None if self._lookout is None else seen,
                )
            )

    def _sources(self, result: Result) -> Sources:
        programmed: SwitchDriver | None = None
        native: SwitchDriver | None = None
        if result.carried in _CHASSIS:
            with suppress(UnreachableError):
                programmed = self._integration.switch()
        elif result.carried is Scheme.SEPARATION and self._separation is not None:
            native = self._separation.switch
        return Sources(programmed=programmed, native=native, mappings=result.mappings)


def _integrated(done: Integrated, scheme: Scheme, *also: Condition) -> Result:
    conditions = (
        findings.agent_ready(),
        findings.chassis_ready(done.chassis_problems),
        *findings.vnics_plugged(done.vnic_problems),
        *also,
    )
    return Result(carried=scheme, conditions=conditions, plugged=done.plugged, mappings=done.mappings)
