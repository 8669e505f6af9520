# SPDX-License-Identifier: Apache-2.0
"""A controller in memory: keeps what it is given, obeys the real rules, can be told to fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import cast

from anyvisor.contracts.controller import Change, ChassisState, ControllerDriver, ControllerPlan, Refusal
from anyvisor.errors import AnyvisorError, ConflictError, TerminalError
from anyvisor.model.logical import LogicalNetwork, LogicalObject, LogicalPort, LogicalRouter
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.planner.moves import Binding


class FakeController:
    """What OVN would hold.

    The rules: an object that names a network, group or router which is not there is refused; a name that somebody
    else has is refused; a plan made before the last change is a conflict. `fail_next` are errors to raise from
    `apply`, one per call. `poison` are keys whose writing fails the whole transaction for good.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, LogicalObject] = {}
        self.foreign: set[ObjectKey] = set()
        self.fail_next: list[AnyvisorError] = []
        self.poison: set[ObjectKey] = set()
        self.is_up: set[PortName] = set()
        self.registered: dict[HostName, ChassisState] = {}
        self.followed: frozenset[PortName] = frozenset()
        self.bound: dict[PortName, Binding] = {}
        self.transactions = 0
        self._version = 0

    def plan(self, wanted: Iterable[LogicalObject], unwanted: Iterable[ObjectKey]) -> ControllerPlan:
        """As the contract says."""
        changes: list[Change] = []
        refusals: list[Refusal] = []
        coming: set[ObjectKey] = set()
        for item in sorted(wanted, key=lambda item: (_ORDER[item.key.kind], item.key.name)):
            if item.key in self.foreign:
                refusals.append(
                    Refusal(key=item.key, reason="ForeignRow", message=f"{item.key} is somebody else's")
                )
                continue
            missing = [key for key in _needs(item) if key not in self.objects and key not in coming]
            if missing:
                refusals.append(
                    Refusal(key=item.key, reason="WaitsFor", message=f"{missing[0]} is not there yet")
                )
                continue
            coming.add(item.key)
            held = self.objects.get(item.key)
            if held != item:
                do = "create" if held is None else "update"
                changes.append(Change(key=item.key, do=do, what=str(item.key), payload=(self._version, item)))
        changes.extend(
            Change(key=key, do="delete", what=str(key), payload=(self._version, None))
            for key in sorted(unwanted)
            if key in self.objects
        )
        return ControllerPlan(changes=tuple(changes), refusals=tuple(refusals))

    def apply(self, plan: ControllerPlan) -> None:
        """One transaction: all of it, or nothing."""
        if not plan.changes:
            return
        if self.fail_next:
            raise self.fail_next.pop(0)
        bad = [change.key for change in plan.changes if change.key in self.poison]
        if bad:
            raise TerminalError(f"constraint violation at {bad[0]}")
        for change in plan.changes:
            version, item = cast("tuple[int, LogicalObject | None]", change.payload)
            if version != self._version:
                raise ConflictError("the rows changed since the plan was made")
            if item is None:
                del self.objects[change.key]
            else:
                self.objects[change.key] = item
        self._version += 1
        self.transactions += 1

    def owned(self) -> frozenset[ObjectKey]:
        """Every key held."""
        return frozenset(self.objects)

    def up(self, ports: Collection[PortName]) -> Mapping[PortName, bool]:
        """Those that a test put into `is_up`."""
        return {name: name in self.is_up for name in ports}

    def follow(self, ports: Collection[PortName]) -> None:
        """Remembers them in `followed`."""
        self.followed = frozenset(ports)

    def bindings(self, ports: Collection[PortName]) -> Mapping[PortName, Binding]:
        """Those that a test put into `bound`, as far as they are followed."""
        return {port: self.bound[port] for port in ports if port in self.followed and port in self.bound}

    def chassis(self) -> Mapping[HostName, ChassisState]:
        """Those that a test put into `registered`."""
        return self.registered


def _needs(item: LogicalObject) -> Iterable[ObjectKey]:
    if isinstance(item, LogicalPort):
        yield ObjectKey("network", item.network)
        yield from (ObjectKey("group", group) for group in item.groups)
        if item.floating_ip is not None and item.router is not None:
            yield ObjectKey("router", item.router)
    elif isinstance(item, LogicalRouter):
        legs = item.legs if item.gateway is None else (*item.legs, item.gateway)
        yield from (ObjectKey("network", leg.network) for leg in legs)
    elif isinstance(item, LogicalNetwork):
        return


_ORDER: Mapping[str, int] = {"network": 0, "group": 1, "router": 2, "host": 3, "port": 4}
_conforms: type[ControllerDriver] = FakeController
