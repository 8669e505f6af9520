# SPDX-License-Identifier: Apache-2.0
"""Counters since a vNIC has its present kind of attachment: devices come and go, agents restart, sums go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from anyvisor.contracts.host import Memory
from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import StationReading, VnicReading
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.planner.stations import StationCount

_CONTROLLED = frozenset({AttachmentKind.VIF, AttachmentKind.VLAN_ACCESS, AttachmentKind.REPRESENTOR})
_FILE = "counters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What the sources show now, per port; a source that does not know a port leaves it out."""

    hypervisor: Mapping[PortName, Counters] = field(default_factory=dict)
    controlled: Mapping[PortName, Counters] = field(default_factory=dict)
    native: Mapping[PortName, Counters] = field(default_factory=dict)
    stations: Mapping[Mac, StationCount] = field(default_factory=dict)
    paths: Mapping[PortName, PathCount] = field(default_factory=dict)
    functions: Mapping[PortName, str] = field(default_factory=dict)
    """Of ports that are functions of a card: the device. Its counters are older than the VM that has it now."""


class Counting:
    """Adds up what is new since the last look. One thread. `clock` gives seconds since the epoch.

    `chassis` is what this host, or this appliance of it, is called as one that counts stations; None: as the host.
    """

    def __init__(
        self, host: HostName, memory: Memory, clock: Callable[[], float], *, chassis: HostName | None = None
    ) -> None:
        self._host = host
        self._chassis = chassis or host
        self._memory = memory
        self._clock = clock
        self._sums: dict[str, _Sums] = {
            name: _Sums.from_document(entry) for name, entry in memory.load(_FILE).items()
        }

    def take(
        self, attachments: Iterable[Attachment], raw: Raw
    ) -> tuple[tuple[VnicReading, ...], tuple[StationReading, ...]]:
        """The readings of this host's vNICs and of the stations it counts. A vNIC that was never seen has none."""
        listed = tuple(attachments)
        now = int(self._clock())
        kept: dict[str, _Sums] = {}
        vnics = [self._vnic(a, raw, now, kept) for a in listed if a.host == self._host]
        by_mac = {a.mac: a for a in listed if a.kind.is_station and a.host != self._host}
        stations = [
            self._station(by_mac[mac], count, now, kept)
            for mac, count in raw.stations.items()
            if mac in by_mac
        ]
        self._sums = kept
        self._memory.save(_FILE, {name: sums.document() for name, sums in kept.items()}, durable=False)
        return tuple(vnic for vnic in vnics if vnic is not None), tuple(stations)

    def _vnic(self, a: Attachment, raw: Raw, now: int, kept: dict[str, _Sums]) -> VnicReading | None:
        name = f"vnic/{a.port}"
        seen = {"hypervisor": raw.hypervisor.get(a.port), "native": raw.native.get(a.port)}
        seen["controlled"] = raw.controlled.get(a.port) if a.kind in _CONTROLLED else None
        path = raw.paths.get(a.port)
        if path is not None:
            seen |= {"entered": Counters(tx_bytes=path.entered), "slow": Counters(tx_bytes=path.slow)}
        before = self._sums.get(name)
        if before is None and seen["hypervisor"] is None:
            return None
        device = raw.functions.get(a.port, "")
        if before is not None and device and before.device not in {"", device}:
            before = replace(before, last={})
        # Once it shares its tag, what it is held against is counted anew (see `CardReading`).
        sums = _advanced(before, f"{a.kind.value}/shared" if a.shared else a.kind.value, seen)
        sums = replace(sums, device=device)
        kept[name] = sums
        return VnicReading(
            port=a.port,
            host=self._host,
            kind=a.kind,
            hypervisor=sums.total.get("hypervisor", Counters()),
            controlled=sums.total.get("controlled", Counters()),
            native=sums.total.get("native", Counters()),
            path=_path(sums.total),
            updated=now,
        )

    def _station(
        self, a: Attachment, count: StationCount, now: int, kept: dict[str, _Sums]
    ) -> StationReading:
        name = f"station/{a.port}"
        # The place is part of the epoch: a VM that moved is counted anew, as its own host does.
        seen = {"unicast": count.unicast, "flooded": count.flooded}
        sums = _advanced(self._sums.get(name), f"{a.host}/{a.mac}", seen)
        kept[name] = sums
        return StationReading(
            chassis=self._chassis,
            port=a.port,
            unicast=sums.total["unicast"],
            flooded=sums.total["flooded"],
            updated=now,
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """One counted thing: the epoch that the sums belong to, the last raw values, the sums; the function it is."""

    epoch: str
    last: Mapping[str, Counters]
    total: Mapping[str, Counters]
    device: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "device": self.device,
            "last": {source: asdict(counters) for source, counters in self.last.items()},
            "total": {source: asdict(counters) for source, counters in self.total.items()},
        }

    @classmethod
    def from_document(cls, entry: Mapping[str, Any]) -> _Sums:
        return cls(
            str(entry["epoch"]),
            {source: Counters(**counters) for source, counters in entry["last"].items()},
            {source: Counters(**counters) for source, counters in entry["total"].items()},
            str(entry.get("device", "")),
        )


def _path(total: Mapping[str, Counters]) -> PathCount | None:
    if "entered" not in total:
        return None
    entered = total["entered"].tx_bytes
    # The two are read from flows that go and come meanwhile.
    return PathCount(entered=entered, slow=min(entered, total["slow"].tx_bytes))


def _advanced(before: _Sums | None, epoch: str, seen: Mapping[str, Counters | None]) -> _Sums:
    now = {source: counters for source, counters in seen.items() if counters is not None}
    if before is None or before.epoch != epoch:
        return _Sums(epoch, now, dict.fromkeys(now, Counters()))
    total = dict(before.total)
    for source, counters in now.items():
        # A source that appears within an epoch starts at zero: a device's counters may be older than its plug, and
        # what is claimed to be controlled must never be more than what was.
        earlier = before.last.get(source, counters)
        total[source] = total.get(source, Counters()).plus(counters.since(earlier))
    return _Sums(epoch, {**before.last, **now}, total)
