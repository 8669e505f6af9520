# SPDX-License-Identifier: Apache-2.0
"""The telemetry database as the agent writes to it: connected to when there is something to write."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from anyvisor.errors import ConflictError
from anyvisor.model.names import HostName, PortName
from anyvisor.model.state import StationReading, VnicReading
from anyvisor.ovsdb.telemetry import TelemetryStore

if TYPE_CHECKING:
    from anyvisor.contracts.host import ReadingSink


class TelemetrySink:
    """Writes the readings of one host, and replicates these alone. `chassis`: as what it counts stations."""

    def __init__(self, remote: str, host: HostName, *, chassis: HostName | None = None) -> None:
        self._remote = remote
        self._host = host
        self._chassis = chassis or host
        self._store: TelemetryStore | None = None

    def write(
        self,
        vnics: Iterable[VnicReading],
        stations: Iterable[StationReading],
        *,
        spared: Collection[PortName] = (),
    ) -> None:
        """Replace the readings of this host: those that are no longer named go, but for the `spared`.

        Raises:
            UnreachableError: the telemetry database does not answer.
        """
        wanted_vnics, wanted_stations = tuple(vnics), tuple(stations)
        store = self._connected()
        present = store.read()
        stale = {port for port in present.vnics if port not in {v.port for v in wanted_vnics}}
        stale |= {port for _, port in present.stations if port not in {s.port for s in wanted_stations}}
        stale -= set(spared)
        if stale:
            store.forget(stale)
        if not wanted_vnics and not wanted_stations:
            return
        try:
            store.write(wanted_vnics, wanted_stations)
        except ConflictError:
            # A vNIC that came from another host has a row there, which this replica does not see: one with all does.
            with TelemetryStore(self._remote) as everything:
                everything.write(wanted_vnics, wanted_stations)

    def _connected(self) -> TelemetryStore:
        if self._store is None:
            store = TelemetryStore(self._remote, host=self._host, chassis=self._chassis)
            store.start()
            self._store = store
        return self._store

    def close(self) -> None:
        """End the connection."""
        if self._store is not None:
            self._store.close()
            self._store = None


if TYPE_CHECKING:
    _conforms: type[ReadingSink] = TelemetrySink
