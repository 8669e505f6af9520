# SPDX-License-Identifier: Apache-2.0
"""What native switches count on the vNICs of a manager's hosts, added up and written to the telemetry database.

The sums live in the database alone. A native switch starts at zero when a card is plugged anew, and whoever attends the
manager may be restarted: a sum never goes down, so that no escape vanishes from the view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from anyvisor.contracts.estate import EstateDriver
from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import CardId
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import PortName
from anyvisor.model.state import StationReading, Telemetry, VnicReading
from anyvisor.model.vnic import Counters


class Readings(Protocol):
    """The telemetry database."""

    def read(self) -> Telemetry:
        """All readings there are."""

    def write(self, vnics: Iterable[VnicReading], stations: Iterable[StationReading]) -> None:
        """Replace the readings of those vNICs and stations."""


class Tally:
    """One manager's vNICs that no agent counts. One thread; `clock` gives seconds since the epoch."""

    def __init__(
        self, driver: EstateDriver, readings: Callable[[], Readings], *, clock: Callable[[], float]
    ) -> None:
        self._driver = driver
        self._readings = readings
        self._clock = clock
        self._last: dict[CardId, Counters] = {}

    def take(self, attachments: Iterable[Attachment], cards: Mapping[PortName, CardId]) -> None:
        """Read, add up, write.

        Raises:
            UnreachableError: the manager or the telemetry database does not answer.
        """
        listed = [a for a in attachments if _is_counted_here(a) and a.port in cards]
        if not listed:
            return
        raw = self._driver.counters(cards[a.port] for a in listed)
        readings = self._readings()
        before = readings.read().vnics
        now = int(self._clock())
        fresh: list[VnicReading] = []
        for a in listed:
            counted = raw.get(cards[a.port])
            if counted is not None:
                total = self._total(before.get(a.port), a, cards[a.port], counted)
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
        readings.write(fresh, ())

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
