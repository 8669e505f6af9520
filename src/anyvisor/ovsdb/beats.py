# SPDX-License-Identifier: Apache-2.0
"""Signs of life of appliances, beside the counters: worth nothing a minute later, so they are never in Raft."""

from __future__ import annotations

from typing import Self

from anyvisor.model.names import HostName
from anyvisor.model.state import Beat
from anyvisor.ovsdb import cells, columns
from anyvisor.ovsdb.cells import Cells
from anyvisor.ovsdb.connection import Connection, Replica, Transaction
from anyvisor.ovsdb.telemetry import DATABASE

_TABLE = "Beat"


class BeatStore:
    """What one appliance writes, or (without `host`) what anyvisord reads of all of them."""

    def __init__(self, remote: str, *, host: HostName | None = None, timeout_seconds: float = 10.0) -> None:
        self._connection = Connection(
            remote,
            schema_name=DATABASE,
            tables={_TABLE: ()},
            conditions=None if host is None else {_TABLE: [["host", "==", host]]},
            timeout_seconds=timeout_seconds,
        )

    def __enter__(self) -> Self:
        self._connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self, beat: Beat) -> None:
        """Put it in the place of the appliance's last one.

        Raises:
            UnreachableError: the telemetry database does not answer.
        """
        wanted: Cells = {"host": beat.host, "number": beat.number, "count": beat.count, "well": beat.well}

        def build(transaction: Transaction) -> None:
            for row in transaction.idl.tables[_TABLE].rows.values():
                if (columns.one(row, "host"), columns.one(row, "number")) == (beat.host, beat.number):
                    cells.put(row, wanted)
                    return
            cells.fill(transaction.insert(transaction.idl.tables[_TABLE]), wanted)

        self._connection.write(build, comment="anyvisor: beat")

    def read(self) -> tuple[Beat, ...]:
        """The last one of each appliance."""

        def view(replica: Replica) -> tuple[Beat, ...]:
            return tuple(
                Beat(
                    host=HostName(columns.one(row, "host")),
                    number=columns.one(row, "number"),
                    count=columns.one(row, "count"),
                    well=columns.one(row, "well"),
                )
                for row in replica.tables[_TABLE].rows.values()
            )

        return self._connection.read(view)
