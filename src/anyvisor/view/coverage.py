# SPDX-License-Identifier: Apache-2.0
"""How much of the traffic the controller governs and sees, from what was counted.

The yardstick is what the hypervisor counted on each vNIC. *Controlled* are the bytes that also crossed a switch which
the controller programs; *observed* those that it, or the native switch's own telemetry, reported. What is not
controlled escaped; what is not observed is blind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from anyvisor.model.attachment import Attachment
from anyvisor.model.capacity import Capacity
from anyvisor.model.condition import CARD_READY, LEGACY, Condition
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.plan import EscapingPair
from anyvisor.model.state import HostState, State, StationReading, Telemetry, VnicReading
from anyvisor.model.vnic import PathCount
from anyvisor.planner.capacity import alarms
from anyvisor.planner.fallbacks import duty_conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Bytes of some vNICs and how many of them were controlled and observed."""

    bytes: int = 0
    controlled_bytes: int = 0
    observed_bytes: int = 0
    silent: int = 0
    """Attached vNICs of which nothing was reported at all."""
    entered_bytes: int = 0
    slow_bytes: int = 0
    """Where a network card switches: what vNICs sent, as its flows counted it, and what the card left to others."""

    @property
    def controlled(self) -> float:
        """0..1. Without any traffic nothing has escaped; a vNIC of which nobody reports counts as escaped."""
        return _share(self.controlled_bytes, self.bytes, self.silent)

    @property
    def observed(self) -> float:
        """0..1, likewise."""
        return _share(self.observed_bytes, self.bytes, self.silent)

    @property
    def slow_path(self) -> float | None:
        """0..1; None where no network card switches, or nothing was sent yet."""
        return self.slow_bytes / self.entered_bytes if self.entered_bytes else None

    def plus(self, other: Share) -> Share:
        """Both together."""
        return Share(
            bytes=self.bytes + other.bytes,
            controlled_bytes=self.controlled_bytes + other.controlled_bytes,
            observed_bytes=self.observed_bytes + other.observed_bytes,
            silent=self.silent + other.silent,
            entered_bytes=self.entered_bytes + other.entered_bytes,
            slow_bytes=self.slow_bytes + other.slow_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCoverage:
    """One line of the overall view."""

    host: HostName
    hypervisor: Hypervisor
    scheme: Scheme | None
    vnics: int
    attached: int
    share: Share
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverallView:
    """The controller's overall view, given back (draft section 5)."""

    hosts: tuple[HostCoverage, ...]
    escapes: tuple[EscapingPair, ...]
    ports: Mapping[PortName, Share]
    capacities: tuple[Capacity, ...] = ()
    managers: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    """What is said of each manager; empty while nobody has attended it yet."""

    @property
    def total(self) -> Share:
        """All hosts together."""
        total = Share()
        for host in self.hosts:
            total = total.plus(host.share)
        return total


def overall_view(
    state: State,
    telemetry: Telemetry,
    escapes: Iterable[EscapingPair],
    capacities: Iterable[Capacity] = (),
) -> OverallView:
    """Put together what was decided, what agents report, what was counted and how full the inner switches are."""
    found = tuple(capacities)
    stations: defaultdict[PortName, list[StationReading]] = defaultdict(list)
    for reading in telemetry.stations.values():
        stations[reading.port].append(reading)
    shares = {
        port: port_share(
            _reading(telemetry, attachment), stations.get(port, ()), attached=_attached(state, port)
        )
        for port, attachment in state.attachments.items()
    }
    # The counters of a card that switches unseen stand still: what they say was true before. Its representors are gone,
    # so nobody can tell which VMs are off: all count.
    unseen = {name for name, known in state.hosts.items() if _is_unseen(known)}
    shares |= {port: Share(silent=1) for port, a in state.attachments.items() if a.host in unseen}
    by_host: defaultdict[HostName, list[PortName]] = defaultdict(list)
    for port, attachment in state.attachments.items():
        by_host[attachment.host].append(port)
    hosts = tuple(
        _host(state, name, by_host.get(name, []), shares, alarms(found, name))
        for name in sorted(state.site.hosts)
    )
    managers = {
        name: state.conditions.get(ObjectKey("manager", name), ()) for name in sorted(state.site.managers)
    }
    return OverallView(hosts=hosts, escapes=tuple(escapes), ports=shares, capacities=found, managers=managers)


def port_share(reading: VnicReading | None, stations: Iterable[StationReading], *, attached: bool) -> Share:
    """What became of one vNIC's bytes.

    Unicast frames of a station cross one chassis, so chassis add up. Flooded ones reach every chassis, so the largest
    counts. No share exceeds the whole: the counters are not read in the same instant.
    """
    if reading is None:
        return Share(silent=1 if attached else 0)
    whole = reading.hypervisor.bytes
    if reading.kind.is_station:
        seen = list(stations)
        through = sum(s.unicast.bytes for s in seen) + max((s.flooded.bytes for s in seen), default=0)
    else:
        through = reading.controlled.bytes
    controlled = min(whole, through)
    observed = min(whole, max(controlled, reading.native.bytes))
    path = reading.path or PathCount()
    return Share(
        bytes=whole,
        controlled_bytes=controlled,
        observed_bytes=observed,
        entered_bytes=path.entered,
        slow_bytes=path.slow,
    )


def _reading(telemetry: Telemetry, attachment: Attachment) -> VnicReading | None:
    """What was counted. On a shared tag the appliance's count is no yardstick: what it never saw would not be missing
    from it. There the card's is, and where nobody reads that, nobody reports of the vNIC.
    """
    reading = telemetry.vnics.get(attachment.port)
    if reading is None or not attachment.shared:
        return reading
    card = telemetry.cards.get(attachment.port)
    if card is None or card.host != attachment.host:
        return None
    return replace(reading, hypervisor=card.counted, native=card.counted)


def _is_unseen(known: HostState) -> bool:
    return any(each.kind == CARD_READY and each.reason == LEGACY for each in known.conditions)


def _attached(state: State, port: PortName) -> bool:
    plugged = state.plugged.get(port)
    return plugged is not None and plugged.device is not None


def _host(
    state: State,
    name: HostName,
    ports: Iterable[PortName],
    shares: Mapping[PortName, Share],
    also: tuple[Condition, ...],
) -> HostCoverage:
    here = list(ports)
    share = Share()
    for port in here:
        share = share.plus(shares[port])
    known = state.hosts.get(name)
    conditions = (
        *(known.conditions if known is not None else ()),
        *(duty_conditions(known) if known is not None else ()),
        *state.conditions.get(ObjectKey("host", name), ()),
        *also,
    )
    if share.silent and known is not None and _is_unseen(known):
        message = (
            f"the card of {name} is in legacy mode: its {share.silent} vNICs escape, and nothing counts them"
        )
        conditions = (*conditions, Condition(kind="Telemetry", true=False, reason="Escapes", message=message))
    elif share.silent:
        conditions = (
            *conditions,
            Condition(
                kind="Telemetry",
                true=False,
                reason="Silent",
                message=f"nothing was counted on {share.silent} attached vNICs; is the agent running?",
            ),
        )
    return HostCoverage(
        host=name,
        hypervisor=state.site.hosts[name].hypervisor,
        scheme=(known.carried or known.scheme) if known is not None else None,
        vnics=len(here),
        attached=sum(1 for port in here if _attached(state, port)),
        share=share,
        conditions=conditions,
    )


def _share(part: int, whole: int, silent: int) -> float:
    if whole == 0:
        return 0.0 if silent else 1.0
    return part / whole


def to_json(view: OverallView) -> dict[str, object]:
    """The document of ``view --json``."""
    return {
        "hosts": [
            {
                "host": host.host,
                "hypervisor": str(host.hypervisor),
                "scheme": str(host.scheme) if host.scheme is not None else None,
                "vnics": host.vnics,
                "attached": host.attached,
                "bytes": host.share.bytes,
                "controlled": round(host.share.controlled, 6),
                "observed": round(host.share.observed, 6),
                "escaped": round(1 - host.share.controlled, 6),
                "blind": round(1 - host.share.observed, 6),
                "slow_path": None if (slow := host.share.slow_path) is None else round(slow, 6),
                "conditions": [str(condition) for condition in host.conditions],
            }
            for host in view.hosts
        ],
        "managers": [
            {"manager": name, "conditions": [str(condition) for condition in said]}
            for name, said in view.managers.items()
        ],
        "escapes": [
            {
                "host": pair.host,
                "from": pair.source,
                "to": pair.target,
                "network": pair.network,
                "why": pair.why,
                "escaped_share": round(1 - view.ports[pair.source].controlled, 6)
                if pair.source in view.ports
                else None,
            }
            for pair in view.escapes
        ],
        "inner_switches": [each.to_json() for each in view.capacities],
    }
