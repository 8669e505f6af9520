# SPDX-License-Identifier: Apache-2.0
"""Keeps a `State` up to date from row events, at a cost that grows with what changed and not with what there is."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from anyvisor.errors import TerminalError
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.parts import Part
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.ovsdb import cells, columns, intent_rows, state_rows
from anyvisor.ovsdb.replica import Replica, Row, RowEvent
from anyvisor.planner.moves import with_move

log = logging.getLogger(__name__)

RowKey = tuple[Any, ...]
_KEY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Global": (),
    "Attachment": ("port",),
    "Tag": ("scope", "vlan"),
    "Move": ("port", "begun"),
    **{kind.table: ("name",) for kind in intent_rows.KINDS},
}
_SITE_PARTS = tuple(kind.part for kind in intent_rows.KINDS)
_STATE_PARTS = {
    "host_states": "hosts",
    "port_states": "ports",
    "placements": "placements",
    "attachments": "attachments",
    "plugged": "plugged",
    "tags": "tags",
    "moves": "moves",
    "conditions": "conditions",
}


class Picture:
    """`follow` and `settle` run in the thread of the replica; `snapshot` and `changed` in any.

    `host` makes it the picture of that host's agent: it hears of what anyvisord decides, not of what it itself says.
    """

    def __init__(self, replica: Callable[[], Replica], host: HostName | None) -> None:
        self._replica = replica
        self._watched = _watched_columns(host)
        self._for_agent = host is not None
        self._uuids: dict[str, dict[RowKey, UUID]] = {table: {} for table in _KEY_COLUMNS}
        self._dirty: set[tuple[str, RowKey]] = set()
        self._heard: set[ObjectKey] = set()
        self._loading = True
        # From here on shared between threads.
        self._lock = threading.Condition()
        self._parts: defaultdict[str, Part[Any, Any]] = defaultdict(Part)
        self._stale: set[str] = set()
        self._faults: dict[tuple[str, RowKey], str] = {}
        self._changed: set[ObjectKey] = set()
        self._state = State()

    # --- for everybody ----------------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """The newest consistent state. Raises TerminalError while a row holds what nobody can read."""
        with self._lock:
            if self._faults:
                raise TerminalError(next(iter(self._faults.values())))
            if self._stale:
                self._state = self._assembled()
                self._stale.clear()
            return self._state

    def changed(self, timeout_seconds: float) -> frozenset[ObjectKey]:
        """Wait for changed keys and hand them over."""
        with self._lock:
            self._lock.wait_for(lambda: self._changed, timeout_seconds)
            changed = frozenset(self._changed)
            self._changed.clear()
            return changed

    def _assembled(self) -> State:
        """A new state that shares with the former one all that did not change."""
        before = self._state
        whole = self._parts["global"]
        site = before.site
        if self._stale & {*_SITE_PARTS, "global"}:
            parts = {
                part: self._parts[part].snapshot() if part in self._stale else getattr(site, part)
                for part in _SITE_PARTS
            }
            site = Site(
                controller=whole.get("controller"), policy=whole.get("policy", Site().policy), **parts
            )
        states = {
            field: self._parts[part].snapshot() if part in self._stale else getattr(before, field)
            for part, field in _STATE_PARTS.items()
        }
        return State(
            site=site,
            owner=whole.get("owner", ""),
            generation=whole.get("generation", 0),
            applied=whole.get("applied", 0),
            underlay_mtu=whole.get("underlay_mtu"),
            **states,
        )

    # --- for the replica's thread -----------------------------------------------------------------------------------

    def row(self, table: str, *key: object) -> Row | None:
        """The row with that key; None where there is none."""
        uuid = self._uuids[table].get(key)
        return None if uuid is None else self._replica().tables[table].rows.get(uuid)

    def part(self, name: str) -> Mapping[Any, Any]:
        """The live objects of one part of the site; not to be kept."""
        return self._parts[name]

    def follow(self, event: RowEvent) -> None:
        """Note what a row event touches."""
        key = _key_of(event.table, event.row)
        uuids = self._uuids[event.table]
        if event.old is not None:
            self._renamed(event, key)
        if event.kind != "delete":
            uuids[key] = event.row.uuid
        elif uuids.get(key) == event.row.uuid:  # else a new row with this key came before the old one went
            del uuids[key]
        self._dirty.add((event.table, key))
        if self._is_news(event):
            self._heard.add(_object_of(event.table, event.row))

    def _renamed(self, event: RowEvent, key: RowKey) -> None:
        former = _key_of(event.table, event.row, event.old)
        if former != key and self._uuids[event.table].get(former) == event.row.uuid:
            del self._uuids[event.table][former]
            self._dirty.add((event.table, former))

    def _is_news(self, event: RowEvent) -> bool:
        if event.kind == "update":
            return not self._watched[event.table].isdisjoint(columns.changed(event.old))
        bookkeeping = event.table in {"Attachment", "Tag", "Move"}
        return self._loading or not bookkeeping or (self._for_agent and event.table == "Attachment")

    def settle(self) -> None:
        """The replica is consistent: take the noted rows over."""
        with self._lock:
            for table, key in self._dirty:
                row = self.row(table, *key)
                self._faults.pop((table, key), None)
                try:
                    self._take(table, key, row)
                except Exception as error:
                    # Whatever it is: a snapshot without this row would have others undo what it asks for.
                    if not isinstance(error, TerminalError | ValueError):
                        log.exception("%s %s in the database cannot be read", table, key)
                    name = "/".join(map(str, key))
                    self._faults[table, key] = f"{table} {name} in the database: {error}"
                    self._take(table, key, None)  # a writer shall see a difference and write it anew
            self._dirty.clear()
            self._changed |= self._heard
            self._heard.clear()
            self._lock.notify_all()

    def loaded(self) -> None:
        """All that was there at the start has come in."""
        self._loading = False

    def _take(self, table: str, key: RowKey, row: Row | None) -> None:
        if table == "Global":
            self._take_global(row)
            return
        if table == "Tag":
            self._set("tags", key, row and state_rows.tag(row))
            return
        name = key[0]
        if table == "Move":
            held = self._parts["moves"].get(PortName(name), ())
            kept = with_move(held, key[1], row and state_rows.move(row))
            self._set("moves", PortName(name), kept or None)
            return
        if table == "Attachment":
            self._set("attachments", PortName(name), row and state_rows.attachment(row))
            self._set("plugged", PortName(name), row and state_rows.plugged(row))
            return
        kind = intent_rows.KIND_OF_TABLE[table]
        self._set(kind.part, name, row and kind.read(row))
        self._set("conditions", kind.key(name), row and (cells.conditions(row, "conditions") or None))
        if table == "Host":
            self._set("host_states", name, row and state_rows.host_state(row))
        elif table == "Port":
            self._set("port_states", name, row and state_rows.port_state(row))
            self._set("placements", name, row and state_rows.placement(row))

    def _take_global(self, row: Row | None) -> None:
        for column in ("owner", "generation", "applied", "underlay_mtu"):
            self._set("global", column, row and columns.one(row, column))
        self._set("global", "controller", row and intent_rows.controller(row))
        self._set("global", "policy", row and intent_rows.policy(row))
        said = row and (cells.conditions(row, "conditions") or None)
        self._set("conditions", intent_rows.GLOBAL_KEY, said)

    def _set(self, part: str, key: object, value: object) -> None:
        held = self._parts[part]
        if held.get(key) == value:
            return
        if value is None:
            held.remove(key)
        else:
            held.put(key, value)
        self._stale.add(part)


def _key_of(table: str, row: Row, old: Row | None = None) -> RowKey:
    """The key of a row; with `old`, the one it had before."""
    former = set(columns.changed(old))
    return tuple(columns.one(old if column in former else row, column) for column in _KEY_COLUMNS[table])


def _object_of(table: str, row: Row) -> ObjectKey:
    if table == "Global":
        return intent_rows.GLOBAL_KEY
    if table in {"Attachment", "Move"}:
        return ObjectKey("port", columns.one(row, "port"))
    if table == "Tag":
        of_network = columns.one(row, "scope").startswith("physical/")
        return ObjectKey("network" if of_network else "port", columns.one(row, "holder"))
    return intent_rows.KIND_OF_TABLE[table].key(columns.one(row, "name"))


def _watched_columns(host: HostName | None) -> Mapping[str, frozenset[str]]:
    """Per table the columns that others write."""
    users = {"Global": intent_rows.GLOBAL_COLUMNS | {"owner"}}
    users.update({kind.table: kind.columns for kind in intent_rows.KINDS})
    others = state_rows.REPORTED if host is None else state_rows.DECIDED
    return {
        table: (users.get(table, frozenset()) | others.get(table, frozenset())) - {"conditions", "applied"}
        for table in _KEY_COLUMNS
    }
