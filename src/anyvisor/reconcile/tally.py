# SPDX-License-Identifier: Apache-2.0
"""What native switches count on the vNICs of a manager's hosts, added up and written to the telemetry database.

The sums live in the database alone. A native switch starts at zero when a card is plugged anew, and whoever attends the
manager may be restarted: a sum never goes down, so that no escape vanishes from the view.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from anyvisor.contracts.estate import EstateDriver
from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import CardId
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import PortName
from anyvisor.model.state import CardReading, StationReading, Telemetry, VnicReading
from anyvisor.model.vnic import Counters


class Readings(Protocol):
    """The telemetry database."""

    def read(self) -> Telemetry:
        """All readings there are."""

    def write(
        self,
        vnics: Iterable[VnicReading],
        stations: Iterable[StationReading],
        cards: Iterable[CardReading] = (),
    ) -> None:
        """Replace the readings of those vNICs, stations and cards."""

    def forget_cards(self, ports: Collection[PortName]) -> None:
        """Delete the readings of those ports' cards."""


class Tally:
    """One manager's vNICs that no agent counts, and behind appliances those that share a tag: what neighbours say to
    each other there, nobody else can count. One thread; `clock` gives seconds since the epoch.
    """

    def __init__(
        self, driver: EstateDriver, readings: Callable[[], Readings], *, clock: Callable[[], float]
    ) -> None:
        self._driver = driver
        self._readings = readings
        self._clock = clock
        self._last: dict[CardId, Counters] = {}
        self._may_be_stale = True

    def take(
        self,
        attachments: Iterable[Attachment],
        cards: Mapping[PortName, CardId],
        shared: Mapping[PortName, CardId] | None = None,
    ) -> None:
        """Read, add up, write. `shared` are the cards that were seen where they share a tag.

        Raises:
            UnreachableError: the manager or the telemetry database does not answer.
        """
        every = tuple(attachments)
        listed = [a for a in every if _is_counted_here(a) and a.port in cards]
        sharing = [a for a in every if a.shared]
        if not listed and not sharing and not self._may_be_stale:
            return
        there = shared or {}
        wanted = {cards[a.port] for a in listed} | {there[a.port] for a in sharing if a.port in there}
        raw = self._driver.counters(wanted) if wanted else {}
        readings = self._readings()
        known = readings.read()
        before = known.vnics
        now = int(self._clock())
        stale = known.cards.keys() - {a.port for a in sharing}
        if stale:
            readings.forget_cards(stale)
        self._may_be_stale = bool(sharing)
        fresh: list[VnicReading] = []
        for a in listed:
            shown = raw.get(cards[a.port])
            if shown is not None:
                total = self._total(before.get(a.port), a, cards[a.port], shown)
                fresh.append(
                    VnicReading(
                        port=a.port,
                        host=a.host,
                        kind=a.kind,
                        hypervisor=total,
                        # The inner switch has one way out: to the appliance, which the controller programs.
                        controlled=total if a.kind is AttachmentKind.CHILD else Counters(),
                        native=total,
                        updated=now,
                    )
                )
        self._last = dict(raw)
        counted = [
            _on_shared_tag(known.cards.get(a.port), a, raw[there[a.port]], now)
            for a in sharing
            if a.port in there and there[a.port] in raw
        ]
        if fresh or counted:
            readings.write(fresh, (), counted)

    def _total(
        self, before: VnicReading | None, attachment: Attachment, card: CardId, raw: Counters
    ) -> Counters:
        if before is None or (before.kind, before.host) != (attachment.kind, attachment.host):
            return raw
        last = self._last.get(card)
        if last is not None:
            return before.hypervisor.plus(raw.since(last))
        return raw if raw.bytes >= before.hypervisor.bytes else before.hypervisor


def _is_counted_here(attachment: Attachment) -> bool:
    """Where an agent lays the way to an appliance, it counts there."""
    return attachment.kind.is_station or attachment.kind is AttachmentKind.CHILD


def _on_shared_tag(before: CardReading | None, a: Attachment, shown: Counters, now: int) -> CardReading:
    """Since it has been plugged on that host. A card that moved shows what it showed, or begins at zero."""
    new = shown if before is None else shown.since(before.shown)
    same = before is not None and before.host == a.host
    counted = before.counted.plus(new) if before is not None and same else new
    return CardReading(port=a.port, host=a.host, counted=counted, shown=shown, updated=now)
