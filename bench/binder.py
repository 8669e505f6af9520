# SPDX-License-Identifier: Apache-2.0
"""Plays ovn-controller on many hosts at once, in a process of its own: it binds ports whose vNIC is there.

Reads lines from standard input: ``hosts A B …`` registers chassis, ``keep P Q …`` names ports whose vNIC is missing,
``plug P`` brings one. Ends when the input does. Prints ``ready`` after each line.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
from typing import Any

from anyvisor.errors import RetryableError
from anyvisor.ovsdb.connection import Connection, RowEvent

_TABLES = {
    "Port_Binding": ("logical_port", "type", "requested_chassis", "chassis", "up"),
    "Chassis": ("name", "hostname", "encaps", "other_config"),
    "Chassis_Private": ("name", "chassis"),
    "Encap": ("type", "ip", "chassis_name"),
}
_BATCH = 1000


class Binder:
    """Binds every port that asks for one of its hosts, unless its vNIC is missing."""

    def __init__(self, southbound: str) -> None:
        self._connection = Connection(
            southbound, schema_name="OVN_Southbound", tables=_TABLES, timeout_seconds=120
        )
        self._hosts: set[str] = set()
        self._missing: set[str] = set()
        self._bound: set[Any] = set()
        self._due: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._uuids: dict[str, Any] = {}

    def start(self) -> None:
        """Begin."""
        self._connection.subscribe(self._seen)
        self._connection.start()
        threading.Thread(target=self._bind, daemon=True).start()

    def command(self, word: str, names: list[str]) -> None:
        """Carry out one line of input."""
        if word == "hosts":
            self._hosts |= set(names)
            self._connection.write(lambda txn: self._register(txn, names))
        elif word == "keep":
            self._missing |= set(names)
        elif word == "plug":
            self._missing -= set(names)
            for name in names:
                if name in self._uuids:
                    self._due.put(self._uuids[name])

    def _register(self, txn: Any, names: list[str]) -> None:
        tables = txn.idl.tables
        features = next((dict(row.other_config) for row in tables["Chassis"].rows.values()), {})
        for number, name in enumerate(names):
            encap = txn.insert(tables["Encap"])
            encap.type, encap.chassis_name = "geneve", name
            encap.ip = f"198.18.{number // 250}.{number % 250 + 1}"
            row = txn.insert(tables["Chassis"])
            row.name = row.hostname = name
            row.encaps = [encap.uuid]
            row.other_config = {**features, "port-up-notif": "true"}
            private = txn.insert(tables["Chassis_Private"])
            private.name, private.chassis = name, [row.uuid]

    def _seen(self, event: RowEvent) -> None:
        if event.table != "Port_Binding":
            return
        if event.kind == "delete":
            self._bound.discard(event.row.uuid)
            return
        if event.kind == "create":
            self._uuids[event.row.logical_port] = event.row.uuid
        if event.row.uuid not in self._bound:
            self._due.put(event.row.uuid)

    def _bind(self) -> None:
        while True:
            batch = {self._due.get()}
            while not self._due.empty() and len(batch) < _BATCH:
                batch.add(self._due.get())
            build = functools.partial(self._bind_some, uuids=batch)
            try:
                self._bound |= self._connection.write(build)
            except RetryableError:
                for uuid in batch:
                    self._due.put(uuid)

    def _bind_some(self, txn: Any, uuids: set[Any]) -> set[Any]:
        rows = txn.idl.tables["Port_Binding"].rows
        bound = set()
        for uuid in uuids:
            row = rows.get(uuid)
            if row is None or row.type or uuid in self._bound or row.logical_port in self._missing:
                continue
            wanted = [chassis for chassis in row.requested_chassis if chassis.name in self._hosts]
            if wanted:
                row.chassis = [wanted[0].uuid]
                row.up = [True]
                bound.add(uuid)
        return bound


def main() -> None:
    """Serve standard input."""
    binder = Binder(sys.argv[1])
    binder.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        word, *names = line.split()
        binder.command(word, names)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
