# SPDX-License-Identifier: Apache-2.0
"""The controller driver for OVN: plans against the northbound replica, writes one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from anyvisor.contracts.controller import Change, ChassisState, ControllerPlan, Refusal
from anyvisor.drivers.ovn import group, network, port, router, trunk
from anyvisor.drivers.ovn.bindings import NONE, Bindings
from anyvisor.drivers.ovn.chassis import Chassis
from anyvisor.drivers.ovn.difference import Insert, Update, difference
from anyvisor.drivers.ovn.index import NorthboundIndex, ref_of
from anyvisor.drivers.ovn.row import PORT_GROUP, Ref, RowSpec
from anyvisor.drivers.ovn.tables import NORTHBOUND, SOUTHBOUND
from anyvisor.drivers.ovn.transaction import RowWriter
from anyvisor.model.logical import (
    LogicalGroup,
    LogicalNetwork,
    LogicalObject,
    LogicalPort,
    LogicalRouter,
    LogicalTrunk,
)
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.ovsdb import columns
from anyvisor.ovsdb.connection import Connection, RowEvent
from anyvisor.planner.moves import Binding

_ORDER: Mapping[str, int] = {"policy": 0, "network": 1, "group": 2, "router": 3, "host": 4, "port": 5}
_POLL_SECONDS = 0.02


def compiled(wanted: LogicalObject) -> Iterator[RowSpec]:
    """The rows of one logical object."""
    match wanted:
        case LogicalNetwork():
            return network.rows(wanted)
        case LogicalRouter():
            return router.rows(wanted)
        case LogicalGroup():
            return group.rows(wanted)
        case LogicalPort():
            return port.rows(wanted)
        case LogicalTrunk():
            return trunk.rows(wanted)


class OvnController:
    """One OVN: a northbound and a southbound connection, and the index over the rows that are ours."""

    def __init__(
        self, northbound: str, southbound: str, owner: str, *, timeout_seconds: float = 30.0
    ) -> None:
        self._owner = owner
        self._timeout_seconds = timeout_seconds
        self._index = NorthboundIndex(owner)
        self._watchers: list[Callable[[ObjectKey], None]] = []
        self._northbound = Connection(
            northbound, schema_name="OVN_Northbound", tables=NORTHBOUND, timeout_seconds=timeout_seconds
        )
        self._southbound = Connection(
            southbound,
            schema_name="OVN_Southbound",
            tables=SOUTHBOUND,
            conditions=NONE,
            timeout_seconds=timeout_seconds,
        )
        self._northbound.subscribe(self._seen)
        self._chassis = Chassis(self._southbound, owner)
        self._bindings = Bindings(self._southbound, self._tell)

    def start(self) -> None:
        """Connect to both databases and read them. Raises UnreachableError, naming the remote."""
        self._northbound.start()
        self._southbound.start()

    def close(self) -> None:
        """Give both connections up."""
        self._northbound.close()
        self._southbound.close()

    def watch(self, notify: Callable[[ObjectKey], None]) -> None:
        """Call `notify` from another thread with the key of every object of ours that somebody changed or took away,
        of every port that came up or went down, and of
        every binding of a port that is followed."""
        self._watchers.append(notify)

    def plan(self, wanted: Iterable[LogicalObject], unwanted: Iterable[ObjectKey]) -> ControllerPlan:
        """Compare with the replica. Changes nothing; touches only the rows of the objects named."""
        ordered = sorted(wanted, key=lambda item: (_ORDER[item.key.kind], item.key.name))
        gone = sorted(unwanted, key=lambda key: (-_ORDER.get(key.kind, 9), key.name))
        return self._northbound.read(lambda _: self._compare(ordered, gone))

    def apply(self, plan: ControllerPlan) -> None:
        """One transaction. Raises ConflictError, UnreachableError or TerminalError; then nothing was written."""
        if not plan.changes:
            return

        def build(txn: Any) -> None:
            writer = RowWriter(txn, txn.idl.tables, self._index, self._owner)
            writer.write(change.payload for change in plan.changes)  # type: ignore[misc]

        self._northbound.write(build, comment=f"anyvisor: {len(plan.changes)} changes")

    def owned(self) -> frozenset[ObjectKey]:
        """Every object of ours in the northbound database, apart from the guards that stand for all sites."""
        return self._northbound.read(lambda _: frozenset(k for k in self._index.keys if k.kind != "policy"))

    def up(self, ports: Collection[PortName]) -> Mapping[PortName, bool]:
        """Whether the flows of each port are installed (ovn-nb(5), Logical_Switch_Port: up)."""
        return self._northbound.read(lambda _: {name: self._is_up(name) for name in ports})

    def follow(self, ports: Collection[PortName]) -> None:
        """See `ControllerDriver`. Raises UnreachableError."""
        self._bindings.follow(ports)

    def bindings(self, ports: Collection[PortName]) -> Mapping[PortName, Binding]:
        """See `ControllerDriver` (ovn-sb(5), Port_Binding: chassis, additional_chassis, up)."""
        return self._bindings.of(ports)

    def chassis(self) -> Mapping[HostName, ChassisState]:
        """Every chassis that has registered."""
        return self._chassis.all()

    def tidy_chassis(self, hosts: Collection[HostName]) -> tuple[HostName, ...]:
        """Adopt the chassis of `hosts`; reap those of ours whose host is gone. Returns the reaped."""
        self._chassis.adopt(hosts)
        return self._chassis.reap(hosts)

    def barrier(self, chassis: Collection[HostName], timeout_seconds: float) -> frozenset[HostName]:
        """Wait until these chassis have installed all that was written so far, at most the time-out.

        Returns those that have not: never an unbounded wait, since one stale chassis holds ``hv_cfg`` back for ever.
        """

        def bump(txn: Any) -> int:
            row = next(iter(txn.idl.tables["NB_Global"].rows.values()))
            row.verify("nb_cfg")
            row.nb_cfg += 1
            return int(row.nb_cfg)

        target = self._northbound.write(bump, comment="anyvisor: barrier")
        deadline = time.monotonic() + timeout_seconds
        while True:
            lagging = self._southbound.read(lambda idl: _behind(idl, chassis, target))
            if not lagging or time.monotonic() >= deadline:
                return lagging
            time.sleep(_POLL_SECONDS)

    def _compare(self, wanted: list[LogicalObject], unwanted: list[ObjectKey]) -> ControllerPlan:
        changes: list[Change] = []
        refusals: list[Refusal] = []
        coming: set[Ref] = set()
        for item in wanted:
            if (isinstance(item, LogicalPort) and item.groups) or isinstance(item, LogicalGroup):
                self._guard(changes, coming)
                break
        for item in wanted:
            found = list(difference(item.key, compiled(item), self._index))
            refused = [entry for entry in found if isinstance(entry, Refusal)]
            mine = [entry for entry in found if isinstance(entry, Change)]
            if not refused:
                refused = self._dangling(item.key, mine, coming)
            if refused:
                refusals.extend(refused)
                continue
            changes.extend(mine)
            coming.update(change.payload.spec.ref for change in mine if isinstance(change.payload, Insert))
        for key in unwanted:
            changes.extend(entry for entry in difference(key, (), self._index) if isinstance(entry, Change))
        return ControllerPlan(changes=tuple(changes), refusals=tuple(refusals))

    def _guard(self, changes: list[Change], coming: set[Ref]) -> None:
        for spec in group.guards():
            if self._index.row(spec.ref) is None:
                changes.append(
                    Change(key=spec.ref.key, do="create", what=str(spec.ref), payload=Insert(spec=spec))
                )
                coming.add(spec.ref)

    def _dangling(self, key: ObjectKey, changes: list[Change], coming: set[Ref]) -> list[Refusal]:
        """An object whose network, router or group is missing must wait: writing half of it would leave it open."""
        own = {change.payload.spec.ref for change in changes if isinstance(change.payload, Insert)}
        for change in changes:
            for ref in _needs(change):
                if ref not in own and ref not in coming and self._index.row(ref) is None:
                    return [
                        Refusal(
                            key=key,
                            reason="WaitsFor",
                            message=f"{ref.key} is not in the northbound database yet",
                        )
                    ]
        return []

    def _is_up(self, name: PortName) -> bool:
        row = self._index.row(port.port_ref(ObjectKey("port", name)))
        return row is not None and columns.one(row, "up") is True

    def _seen(self, event: RowEvent) -> None:
        if event.table not in NORTHBOUND or event.table == "NB_Global":
            return
        if event.kind == "delete":
            self._index.remove(event.row.uuid)
        else:
            self._index.add(event.table, event.row)
        if not self._watchers or (event.kind == "create"):
            return
        ref = ref_of(event.table, event.row, self._owner)
        if ref is None:
            return
        for key in self._touched(ref, event):
            self._tell(key)

    def _touched(self, ref: Ref, event: RowEvent) -> Iterator[ObjectKey]:
        """The objects to look at when a row of ours was changed or taken away."""
        yield from (member.key for member in map(self._index.ref, _lost_members(event)) if member is not None)
        if ref.key.kind != "policy":
            if _matters(event):
                yield ref.key
        elif event.kind == "delete":
            # The guards are seen to with any group; without a group there is nothing that they could guard.
            yield from sorted(key for key in self._index.keys if key.kind == "group")[:1]

    def _tell(self, key: ObjectKey) -> None:
        for notify in self._watchers:
            notify(key)


_MEMBERS = frozenset({"ports", "acls", "nat", "static_routes", "ha_chassis", "gateway_chassis"})
"""Columns that hold other rows: they change with every port and say nothing about the object that holds them."""


def _lost_members(event: RowEvent) -> frozenset[Any]:
    """The ports that a port group has no longer: each must be looked at, for what is in no group is not filtered.

    A group that has grown costs nothing. What it lost in the same instant is found when all is looked at.
    """
    if event.table != PORT_GROUP or event.old is None or "ports" not in columns.changed(event.old):
        return frozenset()
    if columns.size(event.row, "ports") > columns.size(event.old, "ports"):
        return frozenset()
    return frozenset(columns.several(event.old, "ports")).difference(columns.several(event.row, "ports"))


def _matters(event: RowEvent) -> bool:
    if event.kind == "delete" or event.old is None:
        return True
    return any(column not in _MEMBERS for column in columns.changed(event.old))


def _needs(change: Change) -> Iterator[Ref]:
    payload = change.payload
    if isinstance(payload, Insert):
        if payload.spec.child_of is not None:
            yield payload.spec.child_of.parent
        yield from payload.spec.groups
        columns = payload.spec.columns
    elif isinstance(payload, Update):
        yield from payload.join
        columns = payload.columns
    else:
        return
    for value in columns.values():
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Ref))


def _behind(idl: Any, chassis: Collection[HostName], target: int) -> frozenset[HostName]:
    reached = {row.name: row.nb_cfg for row in idl.tables["Chassis_Private"].rows.values()}
    return frozenset(name for name in chassis if reached.get(name, -1) < target)
