# SPDX-License-Identifier: Apache-2.0
"""Where ports are bound, from the southbound database: only of ports that somebody follows, as a fleet has many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from anyvisor.errors import UnreachableError
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.ovsdb import columns
from anyvisor.ovsdb.connection import Connection, RowEvent
from anyvisor.planner.moves import Binding

TABLE = "Port_Binding"
NONE: Mapping[str, list[Any]] = {TABLE: []}
"""The condition under which no row of it is replicated."""


class Bindings:
    """Over a southbound connection that was opened with the condition `NONE`. `notify` hears of changes."""

    def __init__(self, southbound: Connection, notify: Callable[[ObjectKey], None]) -> None:
        self._southbound = southbound
        self._notify = notify
        southbound.subscribe(self._seen)

    def follow(self, ports: Collection[PortName]) -> None:
        """Replicate the rows of these ports and no others. Raises UnreachableError, at once if nobody answers now."""
        if not self._southbound.connected:
            raise UnreachableError("the southbound database does not answer")
        self._southbound.set_conditions({TABLE: [["logical_port", "==", port] for port in sorted(ports)]})

    def of(self, ports: Collection[PortName]) -> Mapping[PortName, Binding]:
        """Those of the ports that are followed and have a row."""
        if not ports:
            return {}
        return self._southbound.read(lambda idl: _read(idl, frozenset(ports)))

    def _seen(self, event: RowEvent) -> None:
        if event.table == TABLE:
            self._notify(ObjectKey("port", columns.one(event.row, "logical_port")))


def _read(idl: Any, ports: frozenset[PortName]) -> dict[PortName, Binding]:
    found: dict[PortName, Binding] = {}
    for row in idl.tables[TABLE].rows.values():
        port = PortName(columns.one(row, "logical_port"))
        if port not in ports:
            continue
        main = [HostName(each.name) for each in columns.referenced(row, "chassis")]
        also = columns.referenced(row, "additional_chassis") if "additional_chassis" in row._data else []  # noqa: SLF001 - OVN before 22.06 has no such column
        found[port] = Binding(
            chassis=main[0] if main else None,
            also=frozenset(HostName(each.name) for each in also),
            up=columns.one(row, "up") is True,
        )
    return found
