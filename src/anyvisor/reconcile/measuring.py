# SPDX-License-Identifier: Apache-2.0
"""Reads every source of counters of a host and hands the sums to the telemetry database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anyvisor.contracts.host import ReadingSink, SlowPath, StationCounter
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.contracts.switch import SwitchDriver
from anyvisor.errors import RetryableError
from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import State
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.planner.seats import FIRST
from anyvisor.planner.stations import StationCount, stations_on
from anyvisor.reconcile.counting import Counting, Raw

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where counters come from in this round. `mappings` leads from physical networks to provider bridges."""

    programmed: SwitchDriver | None = None
    native: SwitchDriver | None = None
    mappings: Mapping[str, str]


class Measuring:
    """One reading per interval. One thread. `number`: which appliance of its host this is; None: it is none."""

    def __init__(
        self,
        host: HostName,
        counting: Counting,
        sink: ReadingSink,
        *,
        hypervisor: HypervisorDriver | None = None,
        stations: StationCounter | None = None,
        slow_path: SlowPath | None = None,
        number: int | None = None,
    ) -> None:
        self._host = host
        self._counting = counting
        self._sink = sink
        self._hypervisor = hypervisor
        self._stations = stations
        self._slow_path = slow_path
        self._number = number or FIRST
        self._trunked = number is not None
        self._unread = ""

    def take(self, state: State, sources: Sources) -> None:
        """Read, add up, write.

        Raises:
            UnreachableError: a source or the telemetry database does not answer; the sums are safe.
        """
        elsewhere = {a.port for a in state.attachments.values() if self._is_of_another(a)}
        attachments = tuple(a for a in state.attachments.values() if a.port not in elsewhere)
        mine = [a for a in attachments if a.host == self._host]
        controlled = sources.programmed.counters() if sources.programmed is not None else {}
        native = sources.native.counters() if sources.native is not None else {}
        functions = self._functions(sources.programmed)
        raw = Raw(
            hypervisor=self._yardstick(mine, controlled),
            controlled=controlled,
            native=native,
            stations=self._count_stations(state, sources.mappings),
            paths=self._paths(functions),
            functions=functions,
        )
        vnics, stations = self._counting.take(attachments, raw)
        self._sink.write(vnics, stations, spared=elsewhere)

    def _is_of_another(self, a: Attachment) -> bool:
        """What another appliance of this host serves is counted there; a fallen one where its native switch is."""
        if a.host != self._host:
            return False
        if a.kind is AttachmentKind.VLAN_ACCESS:
            return a.appliance != self._number
        return self._trunked and a.kind is AttachmentKind.EXTERNAL

    def _yardstick(
        self, mine: list[Attachment], controlled: Mapping[PortName, Counters]
    ) -> Mapping[PortName, Counters]:
        if self._hypervisor is None:
            return controlled
        by_mac: Mapping[Mac, Counters] = self._hypervisor.counters(self._host)
        return {a.port: by_mac[a.mac] for a in mine if a.mac in by_mac}

    def _paths(self, functions: Mapping[PortName, str]) -> Mapping[PortName, PathCount]:
        if self._slow_path is None or not functions:
            return {}
        try:
            by_device = self._slow_path.paths()
        except RetryableError as error:
            # The one count that needs ovs-vswitchd itself: the others are not to be lost with it.
            if str(error) != self._unread:
                log.warning("the slow path is not counted: %s", error)
            self._unread = str(error)
            return {}
        self._unread = ""
        return {port: by_device.get(device, PathCount()) for port, device in functions.items()}

    def _functions(self, programmed: SwitchDriver | None) -> Mapping[PortName, str]:
        if self._slow_path is None or programmed is None:
            return {}
        return {port: plug.device for port, plug in programmed.observe().items()}

    def _count_stations(self, state: State, mappings: Mapping[str, str]) -> Mapping[Mac, StationCount]:
        if self._stations is None or not mappings:
            return {}
        external = [a for a in state.attachments.values() if a.kind.is_station]
        return self._stations.count(stations_on(self._host, external, state.site.networks, mappings))


def every(seconds: float, clock: Callable[[], float]) -> Callable[[], bool]:
    """A question that is answered with yes at first and then once per interval."""
    due = [clock()]

    def asked() -> bool:
        now = clock()
        if now < due[0]:
            return False
        due[0] = now + seconds
        return True

    return asked
