# SPDX-License-Identifier: Apache-2.0
"""The telemetry database: the latest readings of every vNIC. Counters are no intent, so they are never in Raft."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Self

from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, PortName
from anyvisor.model.state import CardReading, StationReading, Telemetry, VnicReading
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.ovsdb import cells, columns
from anyvisor.ovsdb.cells import Cells
from anyvisor.ovsdb.connection import Connection, Replica, Row, Transaction

DATABASE = "Anyvisor_Telemetry"
_KEYS = {"Vnic": ("port",), "Station": ("chassis", "port"), "Card": ("port",)}
_COUNTERS = ("tx_bytes", "rx_bytes", "tx_packets", "rx_packets")


class TelemetryStore:
    """Writes of an agent and of anyvisord, reads of a view. `host` replicates the readings that this host takes alone,
    as `chassis`; cards are anyvisord's.
    """

    def __init__(
        self,
        remote: str,
        *,
        host: HostName | None = None,
        chassis: HostName | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._all = host is None
        self._connection = Connection(
            remote,
            schema_name=DATABASE,
            tables={"Vnic": (), "Station": ()}
            if host is not None
            else {"Vnic": (), "Station": (), "Card": ()},
            conditions=None
            if host is None
            else {"Vnic": [["host", "==", host]], "Station": [["chassis", "==", chassis or host]]},
            timeout_seconds=timeout_seconds,
        )

    def start(self) -> None:
        """Connect. Raises UnreachableError or TerminalError as `Connection.start` does."""
        self._connection.start()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        vnics: Iterable[VnicReading],
        stations: Iterable[StationReading],
        cards: Iterable[CardReading] = (),
    ) -> None:
        """Replace the readings of those vNICs, stations and cards in one transaction; others stay as they are."""
        wanted = {
            "Vnic": [_vnic_cells(each) for each in vnics],
            "Station": [_station_cells(each) for each in stations],
            "Card": [_card_cells(each) for each in cards],
        }

        def build(transaction: Transaction) -> None:
            for table, readings in wanted.items():
                if readings:
                    _write(transaction, table, readings)

        self._connection.write(build, comment="anyvisor: telemetry")

    def read(self) -> Telemetry:
        """All readings there are."""

        def view(replica: Replica) -> Telemetry:
            vnics = [_vnic(row) for row in replica.tables["Vnic"].rows.values()]
            stations = [_station(row) for row in replica.tables["Station"].rows.values()]
            cards = [_card(row) for row in replica.tables["Card"].rows.values()] if self._all else []
            return Telemetry(
                vnics={each.port: each for each in vnics},
                stations={(each.chassis, each.port): each for each in stations},
                cards={each.port: each for each in cards},
            )

        return self._connection.read(view)

    def forget(self, ports: Collection[PortName]) -> None:
        """Delete all readings of those ports that agents take."""
        self._forget(("Vnic", "Station"), ports)

    def forget_cards(self, ports: Collection[PortName]) -> None:
        """Delete the readings of those ports' cards."""
        self._forget(("Card",), ports)

    def _forget(self, tables: Iterable[str], ports: Collection[PortName]) -> None:
        gone = frozenset(ports)

        def build(transaction: Transaction) -> None:
            for table in tables:
                rows = transaction.idl.tables[table].rows.values()
                for row in [row for row in rows if columns.one(row, "port") in gone]:
                    row.delete()

        self._connection.write(build, comment="anyvisor: forget telemetry")


def _write(transaction: Transaction, table: str, wanted: Iterable[Cells]) -> None:
    key = _KEYS[table]
    rows = transaction.idl.tables[table].rows.values()
    there = {tuple(columns.one(row, column) for column in key): row for row in rows}
    for each in wanted:
        row = there.get(tuple(each[column] for column in key))
        if row is None:
            cells.fill(transaction.insert(transaction.idl.tables[table]), each)
        else:
            cells.put(row, each)


def _vnic_cells(reading: VnicReading) -> Cells:
    return {
        "port": reading.port,
        "host": reading.host,
        "kind": reading.kind.value,
        **_counter_cells("hypervisor", reading.hypervisor),
        **_counter_cells("controlled", reading.controlled),
        **_counter_cells("native", reading.native),
        "entered_bytes": None if reading.path is None else reading.path.entered,
        "slow_bytes": None if reading.path is None else reading.path.slow,
        "updated": reading.updated,
    }


def _vnic(row: Row) -> VnicReading:
    return VnicReading(
        port=PortName(columns.one(row, "port")),
        host=HostName(columns.one(row, "host")),
        kind=AttachmentKind(columns.one(row, "kind")),
        hypervisor=_counters(row, "hypervisor"),
        controlled=_counters(row, "controlled"),
        native=_counters(row, "native"),
        path=_path(row),
        updated=columns.one(row, "updated"),
    )


def _path(row: Row) -> PathCount | None:
    entered = columns.one(row, "entered_bytes")
    return None if entered is None else PathCount(entered=entered, slow=columns.one(row, "slow_bytes") or 0)


def _station_cells(reading: StationReading) -> Cells:
    return {
        "chassis": reading.chassis,
        "port": reading.port,
        **_counter_cells("unicast", reading.unicast),
        **_counter_cells("flooded", reading.flooded),
        "updated": reading.updated,
    }


def _station(row: Row) -> StationReading:
    return StationReading(
        chassis=HostName(columns.one(row, "chassis")),
        port=PortName(columns.one(row, "port")),
        unicast=_counters(row, "unicast"),
        flooded=_counters(row, "flooded"),
        updated=columns.one(row, "updated"),
    )


def _card_cells(reading: CardReading) -> Cells:
    return {
        "port": reading.port,
        "host": reading.host,
        **_counter_cells("counted", reading.counted),
        **_counter_cells("shown", reading.shown),
        "updated": reading.updated,
    }


def _card(row: Row) -> CardReading:
    return CardReading(
        port=PortName(columns.one(row, "port")),
        host=HostName(columns.one(row, "host")),
        counted=_counters(row, "counted"),
        shown=_counters(row, "shown"),
        updated=columns.one(row, "updated"),
    )


def _counter_cells(prefix: str, counters: Counters) -> Cells:
    return {f"{prefix}_{name}": getattr(counters, name) for name in _COUNTERS}


def _counters(row: Row, prefix: str) -> Counters:
    return Counters(**{name: columns.one(row, f"{prefix}_{name}") for name in _COUNTERS})
