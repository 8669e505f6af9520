# SPDX-License-Identifier: Apache-2.0
"""What the switches counted. A distributed switch has totals per port; a standard one has rates, to be summed up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from anyvisor.drivers.vsphere.api import Dvs, vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.session import Open
from anyvisor.model.estate import CardId
from anyvisor.model.vnic import Counters

SAMPLE_SECONDS = 20
_METRICS = {
    "bytesTx.average": "tx_bytes",
    "bytesRx.average": "rx_bytes",
    "packetsTx.summation": "tx_packets",
    "packetsRx.summation": "rx_packets",
}
_VMS_AT_ONCE = 64
_PORTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PortPlace:
    """A card on a distributed port."""

    card: CardId
    switch: str
    port: str


@dataclass(frozen=True, slots=True)
class VmPlace:
    """A card elsewhere, counted by its VM."""

    card: CardId
    vm: str


def of_ports(opened: Open, places: Iterable[PortPlace]) -> dict[CardId, Counters]:
    """Totals of distributed ports; `switch` is the key of the switch."""
    by_switch: defaultdict[str, dict[str, CardId]] = defaultdict(dict)
    for place in places:
        by_switch[place.switch][place.port] = place.card
    found: dict[CardId, Counters] = {}
    for key, cards in by_switch.items():
        ports = sorted(cards)
        for start in range(0, len(ports), _PORTS_AT_ONCE):
            for port in _ports(opened.object(Dvs, key), ports[start : start + _PORTS_AT_ONCE]):
                statistics = port.state.stats if port.state is not None else None
                if port.key in cards and statistics is not None:
                    found[cards[port.key]] = port_counters(statistics)
    return found


def _ports(switch: Any, keys: list[str]) -> Iterable[Any]:
    switch.RefreshDVPortState(keys)
    return switch.FetchDVPorts(vim.dvs.PortCriteria(portKey=keys)) or ()


def port_counters(statistics: Any) -> Counters:
    """Of a port. What comes *in* to the switch is what the VM sent."""

    def total(what: str) -> int:
        return sum(
            getattr(statistics, f"{what}{kind}") or 0 for kind in ("Unicast", "Multicast", "Broadcast")
        )

    return Counters(
        tx_bytes=total("bytesIn"),
        rx_bytes=total("bytesOut"),
        tx_packets=total("packetsIn"),
        rx_packets=total("packetsOut"),
    )


class RateTotals:
    """Sums of what is reported as rates over 20 seconds, from the first time a card is asked for."""

    def __init__(self) -> None:
        self._metrics: tuple[int, dict[int, str]] = (0, {})
        self._totals: dict[CardId, Counters] = {}
        self._until: dict[str, datetime] = {}

    def read(self, opened: Open, places: Iterable[VmPlace]) -> dict[CardId, Counters]:
        """Totals of these cards; those that are not asked for any more are forgotten."""
        by_vm: defaultdict[str, dict[str, CardId]] = defaultdict(dict)
        for place in places:
            by_vm[place.vm][place.card.card] = place.card
        vms = sorted(by_vm)
        for start in range(0, len(vms), _VMS_AT_ONCE):
            self._read_some(opened, {vm: by_vm[vm] for vm in vms[start : start + _VMS_AT_ONCE]})
        asked = {card for cards in by_vm.values() for card in cards.values()}
        self._totals = {card: self._totals.get(card, Counters()) for card in asked}
        self._until = {vm: until for vm, until in self._until.items() if vm in by_vm}
        return dict(self._totals)

    def _read_some(self, opened: Open, by_vm: Mapping[str, Mapping[str, CardId]]) -> None:
        metrics = self._metrics_of(opened)
        wanted = [vim.PerformanceManager.MetricId(counterId=number, instance="*") for number in metrics]
        queries = [self._query(opened, vm, wanted) for vm in by_vm]
        for answer in opened.content.perfManager.QueryPerf(queries) or ():
            vm = str(key_of(answer.entity))
            self.add(vm, answer, metrics, by_vm.get(vm, {}))

    def _query(self, opened: Open, vm: str, wanted: list[Any]) -> Any:
        since = self._until.get(vm)
        return vim.PerformanceManager.QuerySpec(
            entity=opened.object(vim.VirtualMachine, vm),
            metricId=wanted,
            intervalId=SAMPLE_SECONDS,
            startTime=since,
            maxSample=1 if since is None else None,
        )

    def add(self, vm: str, answer: Any, metrics: Mapping[int, str], cards: Mapping[str, CardId]) -> None:
        """Take an answer in. The first one of a VM says from when on it is counted, and counts nothing."""
        times = [sample.timestamp for sample in answer.sampleInfo or ()]
        if not times:
            return
        since = self._until.get(vm)
        self._until[vm] = max(times) if since is None else max(since, *times)
        if since is None:
            return
        # A sample that begins before `since` was counted already.
        begins = since + timedelta(seconds=SAMPLE_SECONDS - 1)
        fresh = [number for number, time in enumerate(times) if time >= begins]
        if not fresh:
            self._until[vm] = since
            return
        for series in answer.value or ():
            card, what = cards.get(series.id.instance), metrics.get(series.id.counterId)
            if card is not None and what is not None:
                values = series.value or ()
                added = sum(max(0, values[number]) for number in fresh if number < len(values))
                scale = SAMPLE_SECONDS * 1024 if what.endswith("bytes") else 1
                more = Counters(**{what: added * scale})
                self._totals[card] = self._totals.get(card, Counters()).plus(more)

    def _metrics_of(self, opened: Open) -> dict[int, str]:
        generation, metrics = self._metrics
        if generation != opened.generation:
            key = str(key_of(opened.content.perfManager))
            found = properties(opened, vim.PerformanceManager, [key], ("perfCounter",)).get(key, {})
            metrics = {
                info.key: _METRICS[name]
                for info in found.get("perfCounter") or ()
                if info.groupInfo.key == "net"
                and (name := f"{info.nameInfo.key}.{info.rollupType}") in _METRICS
            }
            self._metrics = (opened.generation, metrics)
        return metrics
