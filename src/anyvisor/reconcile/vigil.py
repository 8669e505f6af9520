# SPDX-License-Identifier: Apache-2.0
"""Watches appliances and cards, several times a second, whatever else anyvisord is busy with; says which serve.

What follows from that is reconcile's: the ports of those hosts are looked at, and bound or plugged elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from anyvisor.contracts.store import Decision, Store
from anyvisor.errors import AnyvisorError
from anyvisor.model.estate import Health
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName, ObjectKey
from anyvisor.model.policy import FailoverPolicy
from anyvisor.model.state import Beat, State
from anyvisor.planner import seats
from anyvisor.planner.facts import traits
from anyvisor.planner.vigil import (
    Finding,
    Seat,
    Sight,
    Watch,
    duties_of,
    judged,
    judged_card,
    within_budget,
)

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """`healths` is what managers say of appliances; one of which nothing is known now is left out. `beats` are the last
    signs of life, or raise UnreachableError."""

    healths: Callable[[], Mapping[Seat, Health]]
    beats: Callable[[], Iterable[Beat]]


class Vigil:
    """One thread. `monotonic` gives seconds that never jump, `clock` seconds since the epoch; `tell` hears which hosts
    are to be looked at."""

    def __init__(
        self,
        store: Store,
        witnesses: Witnesses,
        *,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        tell: Callable[[ObjectKey], None],
    ) -> None:
        self._store = store
        self._witnesses = witnesses
        self._monotonic = monotonic
        self._clock = clock
        self._tell = tell
        self._watches: dict[Seat, Watch] = {}
        self._counts: dict[Seat, int] = {}
        self._heard: dict[Seat, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vigil", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is under way, and wait for that."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.look()
            except AnyvisorError as error:
                log.warning("appliances and cards are not watched now: %s", error)
                self._stopping.wait(1.0)
            except Exception:
                log.exception("watching the appliances and cards failed")
                self._stopping.wait(1.0)

    def look(self) -> Mapping[Seat, Finding]:
        """Ask the witnesses once, store what is news, tell who must look.

        Raises:
            UnreachableError: signs of life cannot be read, or nothing can be stored. Nobody is judged then; once they
                can be read again everybody has been silent for no time.
        """
        state = self._store.snapshot()
        made = state.site.policy.appliance
        policy = made.failover if made is not None else FailoverPolicy()
        watched = watched_seats(state) if made is not None else ()
        cards = watched_cards(state)
        self._forget_duties(state, {seat.host for seat in (*watched, *cards)})
        if not watched and not cards:
            self._watches.clear()
            return {}
        now = self._monotonic()
        try:
            self._hear(now)
        except AnyvisorError:
            self._watches = {
                seat: Watch(listening=now, out=watch.out) for seat, watch in self._watches.items()
            }
            raise
        healths = self._witnesses.healths()
        before = {seat: self._watch(state, seat, now) for seat in watched}
        findings = within_budget(
            before,
            {
                seat: judged(
                    watch,
                    Sight(health=healths.get(seat), heard=self._heard.get(seat)),
                    policy,
                    now,
                )
                for seat, watch in before.items()
            },
            policy,
        )
        findings |= {
            seat: judged_card(self._watch(state, seat, now), self._heard.get(seat), policy, now)
            for seat in cards
        }
        self._say(state, findings)
        self._watches = {seat: finding.watch for seat, finding in findings.items()}
        return findings

    def _forget_duties(self, state: State, watched: Collection[HostName]) -> None:
        """Nobody judges the appliances of other hosts any more: what was found about them holds no longer."""
        stale = [name for name, known in state.hosts.items() if known.duties and name not in watched]
        if stale:
            self._store.decide(Decision(duties={name: {} for name in stale}))
            for host in stale:
                self._tell(ObjectKey("host", host))

    def _hear(self, now: float) -> None:
        for beat in self._witnesses.beats():
            seat = Seat(beat.host, beat.number)
            known = self._counts.get(seat)
            if known != beat.count:
                self._counts[seat] = beat.count
                if known is not None:  # the first that we see may be of any age
                    self._heard[seat] = now

    def _watch(self, state: State, seat: Seat, now: float) -> Watch:
        """What is remembered; by a daemon that has just begun, what was stored."""
        known = self._watches.get(seat)
        if known is not None:
            return known
        return Watch(listening=now, out=seat.number in state.hosts[seat.host].out)

    def _say(self, state: State, findings: Mapping[Seat, Finding]) -> None:
        known = {host: state.hosts[host].duties for host in {seat.host for seat in findings}}
        news = duties_of(findings, known, int(self._clock()))
        if not news:
            return
        self._store.decide(Decision(duties=news))
        for host, duties in news.items():
            what = "card" if state.hosts[host].scheme is Scheme.NIC else "appliance"
            for number, duty in duties.items():
                log.warning("%s %d of %s: %s: %s", what, number, host, duty.reason, duty.message)
            self._tell(ObjectKey("host", host))


def watched_seats(state: State) -> tuple[Seat, ...]:
    """The appliances that should serve somebody: of hosts that are under the scheme now. One without agent gives no
    signs of life: of two witnesses one is missing, so nobody judges it.
    """
    hosts: list[HostName] = sorted(
        name
        for name, known in state.hosts.items()
        if known.scheme is Scheme.APPLIANCE
        and known.carried is Scheme.APPLIANCE
        and name in state.site.hosts
        and not traits.agentless(state.site.hosts[name])
    )
    return tuple(Seat(host, number) for host in hosts for number in seats.numbers(state.site.policy))


def watched_cards(state: State) -> tuple[Seat, ...]:
    """The cards that switch for their hosts: those that have done so once."""
    return tuple(
        Seat(name, seats.FIRST)
        for name, known in sorted(state.hosts.items())
        if known.scheme is Scheme.NIC and known.carried is Scheme.NIC and name in state.site.hosts
    )
