# SPDX-License-Identifier: Apache-2.0
"""What keeps the intent and what was decided: the Anyvisor database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import Scheme
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.sighting import Sighting
from anyvisor.model.site import Site
from anyvisor.model.state import Duty, Placement, Plugged, PortState, State, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What anyvisord decided, to be written in one transaction. None as a value deletes."""

    schemes: Mapping[HostName, Scheme | None] = field(default_factory=dict)
    ports: Mapping[PortName, PortState | None] = field(default_factory=dict)
    attachments: Mapping[PortName, Attachment | None] = field(default_factory=dict)
    tags: Mapping[tuple[str, int], Tag | None] = field(default_factory=dict)
    placements: Mapping[PortName, Placement | None] = field(default_factory=dict)
    moves: Mapping[tuple[PortName, int], Move | None] = field(default_factory=dict)
    """Migrations by port and the time they began. A time that is stored stays, whatever this says."""
    cards: Mapping[PortName, str | None] = field(default_factory=dict)
    """Of attachments that are there the vNIC that is plugged where it belongs."""
    found: Mapping[HostName, Host | None] = field(default_factory=dict)
    """Hosts that bear their manager's name; one that the site file states is never touched."""
    duties: Mapping[HostName, Mapping[int, Duty]] = field(default_factory=dict)
    """Per host all that is to be said of its appliances; what is not named goes."""
    conditions: Mapping[ObjectKey, tuple[Condition, ...]] = field(default_factory=dict)
    applied: int | None = None
    underlay_mtu: int | None = None
    """None leaves what is stored."""

    @property
    def empty(self) -> bool:
        """True if there is nothing to write."""
        return self == Decision()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What the agent of one host says, to be written in one transaction. `Plugged.card` is not the agent's to say.

    Of several appliances of a host the first speaks for the host; the others (`partial`) only say what they plugged.
    `inner_vlans` is for the agent beside an inner switch to say, `sighted` for one that sees the host's VMs; None
    leaves what was said.
    """

    host: HostName
    carried: Scheme | None
    conditions: tuple[Condition, ...] = ()
    plugged: Mapping[PortName, Plugged] = field(default_factory=dict)
    partial: bool = False
    inner_vlans: frozenset[int] | None = None
    sighted: tuple[Sighting, ...] | None = None


class Store(Protocol):
    """A replica of the database in memory, and optimistic writes to it. Safe to call from any thread."""

    def snapshot(self) -> State:
        """The newest consistent picture; frozen, cheap to take."""

    def changed(self, timeout_seconds: float) -> frozenset[ObjectKey]:
        """Wait for changes and return the keys that changed since the last call; empty after the time-out.

        One consumer. The first call returns every key there is.
        """

    def write_site(self, site: Site) -> tuple[ObjectKey, ...]:
        """Make the intent equal to `site` in one transaction; returns the keys that differed.

        Hosts that one of its managers reported stay, though `site` does not name them.

        Raises:
            ConflictError: somebody else wrote the intent meanwhile.
            UnreachableError: the database does not answer.
        """

    def decide(self, decision: Decision) -> None:
        """Write what was decided; only columns that anyvisord owns. Refused (ConflictError) if this process asked for
        the lock and does not hold it, or if a tag is already taken."""

    def report(self, report: HostReport) -> None:
        """Write what an agent says; only columns that agents own."""

    def forget(self, keys: Iterable[ObjectKey]) -> None:
        """Remove the bookkeeping of objects that the intent no longer has, once they are undone everywhere."""
