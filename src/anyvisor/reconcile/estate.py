# SPDX-License-Identifier: Apache-2.0
"""The hosts of one manager, brought to what was decided for them: switches, groups, cards, appliances, tags.

Level-triggered: what is written is the difference between pictures in memory. A look compares what changes since the
last one may concern, and every minute everything (`Standing`). The appliances' own agents do their part beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from anyvisor.contracts.estate import EstateDriver
from anyvisor.contracts.store import Decision, HostReport, Store
from anyvisor.errors import AnyvisorError, UnreachableError
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.estate import CardId, Estate, EstateStep, Health, describe
from anyvisor.model.host import Host
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.state import HostState, Plugged, State, Tag
from anyvisor.planner.admission import Held
from anyvisor.planner.allocate import network_of, release
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.capacity import alarms
from anyvisor.planner.estate import released
from anyvisor.planner.facts import traits
from anyvisor.planner.found import news
from anyvisor.planner.inner import inner_place, tag_holder
from anyvisor.planner.moves import placed
from anyvisor.planner.proposal import EstatePlan
from anyvisor.planner.wanted import Wanted, Wishes, wanted_of
from anyvisor.planner.whereabouts import moved
from anyvisor.reconcile import findings
from anyvisor.reconcile.fullness import Fullness
from anyvisor.reconcile.looked import Looked
from anyvisor.reconcile.notices import CHECKED, COUNTED, MANAGER, say
from anyvisor.reconcile.rights import RightsCheck
from anyvisor.reconcile.standing import Standing, View
from anyvisor.reconcile.tally import Tally

log = logging.getLogger(__name__)

_WITHOUT_AGENT = frozenset({Scheme.SEPARATION, Scheme.VENDOR})
"""Schemes under which nothing of ours runs on the host: who drives its manager says what is in force there."""


AFRESH_SECONDS = 60.0
"""How often everything is looked at, whatever seems to have changed."""


class EstateReconciler:
    """One manager. One thread.

    `wishes` says how the appliances of these hosts are made; `clock` gives seconds since the epoch; `tell` hears which
    ports are to be looked at by the engine.
    """

    def __init__(
        self,
        manager: str,
        driver: EstateDriver,
        store: Store,
        *,
        wishes: Wishes,
        clock: Callable[[], float],
        tell: Callable[[ObjectKey], None] = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        self._manager = manager
        self._driver = driver
        self._store = store
        self._wishes = wishes
        self._clock = clock
        self._tell = tell
        self._tally = tally
        self._standing = Standing(
            lambda state, estate: wanted_of(state, estate, wishes),
            lambda state, estate: wanted_of(state, estate, _no_wishes),
        )
        self._fullness = Fullness()
        self._shown: tuple[Mapping[HostName, Host], Mapping[HostName, Host]] | None = None
        """The stored hosts and those of the estate, as they were compared last."""
        self._afresh_at = 0.0
        """When everything is to be looked at again, in seconds since the epoch."""
        self._cards: Mapping[PortName, CardId] = {}
        self._shared: Mapping[PortName, CardId] = {}
        self._held: Mapping[PortName, Held] = {}
        self._driven: tuple[Condition, ...] = ()
        self._uncounted: tuple[Condition, ...] = ()
        self._rights = RightsCheck(manager, driver, clock)

    def reconcile(self, *, afresh: bool = False) -> Looked:
        """Look, change what differs, say how it is. What goes wrong is in the result and in the manager's condition.

        `afresh` looks at everything, as the first look does, and one every minute.
        """
        now = self._clock()
        afresh |= not self._afresh_at - AFRESH_SECONDS <= now < self._afresh_at
        self._afresh_at = 0.0  # unless all goes well
        state = self._store.snapshot()
        try:
            estate = self._driver.estate()
            self._rights.ask()
            if self._find(state, estate, afresh=afresh):
                state = self._store.snapshot()
            view = self._standing.look(state, estate, afresh=afresh)
            self._place(state, view)
            plan = view.plan
            for step in plan.steps:
                log.info("%s: %s", self._manager, describe(step))
            refused = self._carry_out(plan.steps)
            after = self._standing.look(state, self._driver.estate()) if plan.steps else view
            self._report(state, view, after)
            self._cards = after.plan.cards
            self._hold(after.plan.held)
        except AnyvisorError as error:
            self._say(findings.failed(MANAGER, error))
            return Looked(error=error)
        if refused is not None:
            self._say(findings.failed(MANAGER, refused))
            return Looked(steps=plan.steps, error=refused)
        self._say(_manager_condition(plan), *_cautions(plan), *self._alarms(state, view, after))
        self._afresh_at = now + AFRESH_SECONDS
        return Looked(steps=plan.steps)

    def _carry_out(self, steps: tuple[EstateStep, ...]) -> AnyvisorError | None:
        """All together, or by halves if that is refused: one bad VM must not hold up the others, nor cost a call each.

        What is done already is not done again. The first refusal comes back: others may follow from it.
        """
        try:
            self._driver.apply(steps)
        except UnreachableError:
            raise
        except AnyvisorError as error:
            if len(steps) == 1:
                log.warning("%s: could not make %s: %s", self._manager, describe(steps[0]), error)
                return error
        else:
            return None
        half = len(steps) // 2
        refused = self._carry_out(steps[:half])
        later = self._carry_out(steps[half:])
        return refused or later

    def measure(self) -> None:
        """Read what the native switches count on the cards that the last look saw.

        Raises:
            AnyvisorError: the manager or the telemetry database does not answer, or refuses. It is said of the manager.
        """
        if self._tally is None or not self._cards:
            return
        try:
            self._tally.take(self._store.snapshot().attachments.values(), self._cards, self._shared)
        except AnyvisorError as error:
            self._uncounted = (findings.failed(COUNTED, error),)
            raise
        else:
            self._uncounted = ()
        finally:
            self._say(*self._driven)

    def _hold(self, held: Mapping[PortName, Held]) -> None:
        """What is held back, or no longer, has another condition now."""
        for port in sorted(held.keys() | self._held.keys()):
            if held.get(port) != self._held.get(port):
                self._tell(ObjectKey("port", port))
        self._held = dict(held)

    def _find(self, state: State, estate: Estate, *, afresh: bool) -> bool:
        """Store the hosts that the site file does not name; True if there was news."""
        seen, self._shown = self._shown, (state.site.hosts, estate.hosts)
        if afresh or seen is None or seen[0] is not state.site.hosts:
            seen = None
        changed = news(self._manager, state, estate.hosts, seen=None if seen is None else seen[1])
        if changed:
            self._store.decide(Decision(found=changed))
            for host in changed:
                self._tell(ObjectKey("host", host))
        return bool(changed)

    def _place(self, state: State, view: View) -> None:
        """Say where the VMs of ports run. A card that vanished leaves its port where it was seen last."""
        news = moved(view.state, view.estate)
        if news:
            moves = placed(state, news, int(self._clock() * 1000))
            self._store.decide(Decision(placements=news, moves=moves))
            for port in news:
                self._tell(ObjectKey("port", port))

    def _report(self, state: State, before: View, after: View) -> None:
        """Which cards are where they belong, which tags nobody holds now, what is in force where no agent runs."""
        plan = after.plan
        ports = {**before.wanted.attachments, **after.wanted.attachments}
        cards = {port: _text(plan.plugged[port]) if port in plan.plugged else None for port in ports}
        self._shared = self._sharing(state, plan)
        news = {port: card for port, card in cards.items() if state.plugged.get(port, Plugged()).card != card}
        tags = self._rested(before, after)
        if news or tags:
            self._store.decide(Decision(cards=news, tags=tags))
            # A tag that was released is taken again, if its port is wanted there after all.
            for port in news:
                self._tell(ObjectKey("port", port))
            for tag in tags.values():
                if tag is not None:
                    network = network_of(tag.holder)
                    self._tell(ObjectKey("network", network) if network else ObjectKey("port", tag.holder))
        for host in sorted(before.hosts | after.hosts):
            scheme = self._standing.schemes.get(host)
            if scheme is not None and scheme in _WITHOUT_AGENT:
                self._report_host(state, host, scheme, self._standing.wanted_on(state, host), plan)
            elif scheme is Scheme.APPLIANCE and traits.agentless(state.site.hosts[host]):
                # In force once it runs. That its flows are there OVN says, port by port.
                runs = any(
                    each.host == host and each.health is Health.RUNNING
                    for each in after.estate.appliances.values()
                )
                known = state.hosts.get(host, HostState()).carried
                wanted = self._standing.wanted_on(state, host)
                self._report_host(state, host, scheme if runs else known, wanted, plan)

    def _sharing(self, state: State, plan: EstatePlan) -> dict[PortName, CardId]:
        """The cards that are on the tag of their network."""
        if not self._shared and not state.site.policy.shares_tags:
            return {}
        return {
            port: card
            for port, card in plan.plugged.items()
            if (known := state.attachments.get(port)) is not None and known.shared
        }

    def _rested(self, before: View, after: View) -> dict[tuple[str, int], Tag | None]:
        state, now = self._store.snapshot(), int(self._clock())
        hosts = state.site.hosts
        keys = state.tags if before.full or after.full else before.tags | after.tags
        held = [tag for key in keys if (tag := state.tags.get(key)) is not None and not tag.released]
        # A tag of a network may be anybody's: then all are asked.
        of_networks = any(network_of(tag.holder) is not None for tag in held)
        attached: Iterable[Attachment | None] = (
            state.attachments.values()
            if of_networks
            else (state.attachments.get(PortName(tag.holder)) for tag in held)
        )
        in_use = {
            (inner_place(hosts[a.host], state.owner).scope, tag_holder(a.port, a.network, shared=a.shared))
            for a in attached
            if a is not None and a.kind.is_trunked and a.host in hosts
        }
        loose = [tag for tag in held if (tag.scope, tag.holder) not in in_use]
        wanted = self._standing.whole
        if not loose or wanted is None:
            return {}
        return {
            (tag.scope, tag.vlan): release(tag, now_seconds=now)
            for tag in released(loose, in_use, wanted, self._standing.holding(loose))
        }

    def _report_host(
        self, state: State, host: HostName, scheme: Scheme | None, wanted: Wanted, plan: EstatePlan
    ) -> None:
        mine = [port for port, a in wanted.attachments.items() if a.host == host]
        plugged = {
            port: Plugged(device=_text(plan.plugged[port]) if port in plan.plugged else None) for port in mine
        }
        problems = [f"{port}: {plan.problems[port]}" for port in mine if port in plan.problems]
        said = (
            Condition(kind=MANAGER, true=True, reason="Driven", message=f"by {self._manager}"),
            *findings.vnics_plugged(problems),
        )
        known = state.hosts.get(host, HostState())
        devices = {port: state.plugged.get(port, Plugged()).device for port in mine}
        unchanged = (
            known.carried is scheme
            and known.conditions == said
            and devices == {port: each.device for port, each in plugged.items()}
        )
        if not unchanged:
            self._store.report(HostReport(host=host, carried=scheme, conditions=said, plugged=plugged))

    def _alarms(self, state: State, before: View, after: View) -> tuple[Condition, ...]:
        """Inner switches whose tags come to an end; only said where it is time to act."""
        return alarms(self._fullness.look(state, self._standing, (before, after), int(self._clock())))

    def _say(self, *driven: Condition) -> None:
        self._driven = driven
        say(self._store, self._manager, *driven, *self._uncounted, *self._rights.said)


def _no_wishes(_: State, __: Iterable[HostName]) -> Mapping[str, ApplianceWish]:
    """Of single vNICs nobody asks how appliances are made."""
    return {}


def _text(card: CardId) -> str:
    return f"{card.vm}/{card.card}"


def _cautions(plan: EstatePlan) -> tuple[Condition, ...]:
    """Only said where there is something to look at."""
    if not plan.cautions:
        return ()
    listed = "; ".join(f"{port}: {what}" for port, what in sorted(plan.cautions.items()))
    return (Condition(kind=CHECKED, true=False, reason="FaultTolerance", message=listed),)


def _manager_condition(plan: EstatePlan) -> Condition:
    if plan.problems:
        listed = "; ".join(f"{about}: {what}" for about, what in sorted(plan.problems.items()))
        return Condition(kind=MANAGER, true=False, reason="Incomplete", message=listed)
    return Condition(kind=MANAGER, true=True, reason="Driven")
