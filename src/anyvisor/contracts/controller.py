# SPDX-License-Identifier: Apache-2.0
"""What an SDN controller must be able to do for us."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from anyvisor.model.logical import LogicalObject
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.planner.moves import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write to the controller, as data: printed by ``--dry-run`` and carried out by `apply`.

    `payload` is the driver's own; nobody else looks into it.
    """

    key: ObjectKey
    do: str
    what: str
    payload: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An object that cannot be written because something foreign is in the way."""

    key: ObjectKey
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPlan:
    """The difference between what is wanted and what the controller holds."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChassisState:
    """A chassis as the controller knows it. `mappings` are its physical networks."""

    name: HostName
    hostname: str
    tunnel_ips: tuple[str, ...] = ()
    mappings: tuple[str, ...] = ()
    lag: int = 0
    """How many configuration steps it is behind (nb_cfg); 0 when it keeps up."""
    ours: bool = False


class ControllerDriver(Protocol):
    """The adapter to one SDN controller. All methods block for a bounded time."""

    def plan(self, wanted: Iterable[LogicalObject], unwanted: Iterable[ObjectKey]) -> ControllerPlan:
        """Compare with what is there now. Changes nothing. Cost grows with `wanted` and `unwanted` alone."""

    def apply(self, plan: ControllerPlan) -> None:
        """Carry the plan out in one transaction; carrying it out twice is not an error.

        Raises:
            ConflictError: the rows changed since `plan`; plan again.
            UnreachableError: the controller does not answer.
        """

    def owned(self) -> frozenset[ObjectKey]:
        """The keys of all objects of ours that the controller holds, for pruning."""

    def up(self, ports: Collection[PortName]) -> Mapping[PortName, bool]:
        """Whether each port's flows are installed where it is bound; a port that is not there is False."""

    def follow(self, ports: Collection[PortName]) -> None:
        """Follow where these ports are bound, and no longer where others are.

        Raises:
            UnreachableError: the controller does not answer.
        """

    def bindings(self, ports: Collection[PortName]) -> Mapping[PortName, Binding]:
        """Where ports that are followed are bound; one that is not there is left out."""

    def chassis(self) -> Mapping[HostName, ChassisState]:
        """Every chassis that has registered."""
