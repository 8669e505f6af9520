# SPDX-License-Identifier: Apache-2.0
"""A frozen picture of the Anyvisor database: the intent, what was decided, what agents report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, Mac, ObjectKey, PortName
from anyvisor.model.sighting import Sighting
from anyvisor.model.site import Site
from anyvisor.model.vnic import Counters, PathCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What was found about one appliance of a host, or about its card, where it is worth saying: one that simply
    serves has none."""

    out: bool
    """It does not serve: the vNICs of networks that may fall back have been given to others."""
    since: int
    """Seconds since the epoch."""
    reason: str
    """``Dead``, ``Returning``, ``Doubted``, ``OverBudget``, ``AlarmOnly``; of a card ``Silent``."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What was decided for a host and what is in force there."""

    scheme: Scheme | None = None
    """Chosen by anyvisord."""
    carried: Scheme | None = None
    """In force, as the host's agent reports; None until one has."""
    conditions: tuple[Condition, ...] = ()
    """Written by the agent: ``AgentReady``, ``ChassisReady``, ``Converted``."""
    duties: Mapping[int, Duty] = field(default_factory=dict)
    """By the number of the appliance; written by anyvisord."""
    inner_vlans: frozenset[int] | None = None
    """The VLANs that vNICs have now on an inner switch that an agent drives; None where none has spoken."""
    sighted: tuple[Sighting, ...] = ()
    """vNICs that the agent sees there, of ports that are not attached there; sorted."""

    @property
    def out(self) -> frozenset[int]:
        """The appliances that do not serve."""
        return frozenset(number for number, duty in self.duties.items() if duty.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """What was decided for a port."""

    mac: Mac
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the VM of a port runs, as a manager or agents report it; it weighs more than the intent.

    `moving_to` is set while a migration is under way that leads there.
    """

    host: HostName
    moving_to: HostName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged:
    """What the agent reports of an attachment; `card` comes from whoever watches the host's manager."""

    device: str | None = None
    """The device it plugged; None while the vNIC is not there."""
    outage_ms: int | None = None
    """How long the vNIC was cut off when it last changed switches; None if it never did."""
    card: str | None = None
    """The vNIC as its host's manager calls it, once it is plugged where it belongs; None without a manager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A VLAN on one native switch or physical network, held by somebody or resting.

    `scope` is ``physical/NAME`` (holder: a network) or ``switch/HOST/NAME`` (holder: a port, or ``network/NAME`` for
    all vNICs of a network). `released` is the time (seconds since the epoch) at which the detach was seen; 0 while it
    is held.
    """

    scope: str
    vlan: int
    holder: str
    released: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One consistent picture. `generation` counts intents written, `applied` the newest one carried out."""

    site: Site = field(default_factory=Site)
    owner: str = ""
    """Identifies this installation in everything we write elsewhere."""
    generation: int = 0
    applied: int = 0
    underlay_mtu: int | None = None
    """What networks without an MTU of their own are laid out for, in bytes; None before anyvisord has said."""
    hosts: Mapping[HostName, HostState] = field(default_factory=dict)
    ports: Mapping[PortName, PortState] = field(default_factory=dict)
    placements: Mapping[PortName, Placement] = field(default_factory=dict)
    attachments: Mapping[PortName, Attachment] = field(default_factory=dict)
    plugged: Mapping[PortName, Plugged] = field(default_factory=dict)
    tags: Mapping[tuple[str, int], Tag] = field(default_factory=dict)
    moves: Mapping[PortName, tuple[Move, ...]] = field(default_factory=dict)
    """The last migrations of each port's VM, oldest first."""
    conditions: Mapping[ObjectKey, tuple[Condition, ...]] = field(default_factory=dict)
    """Written by anyvisord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VnicReading:
    """What was counted on one vNIC since it was attached the way it is now (a row of the telemetry database).

    `hypervisor` is the yardstick; `controlled` what a switch that the controller programs counted on the vNIC's own
    port; `native` what the native switch's telemetry reported.
    """

    port: PortName
    host: HostName
    kind: AttachmentKind
    hypervisor: Counters
    controlled: Counters = field(default_factory=Counters)
    native: Counters = field(default_factory=Counters)
    path: PathCount | None = None
    """Of what the vNIC sent, where its switch gives flows to a network card; None elsewhere."""
    updated: int = 0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationReading:
    """What one chassis counted, on its provider bridge, of a vNIC that sits behind a native switch.

    `unicast` frames cross one chassis, so chassis add up; `flooded` ones (broadcast, multicast) reach all of them, so
    the largest counts.
    """

    chassis: HostName
    port: PortName
    unicast: Counters
    flooded: Counters = field(default_factory=Counters)
    updated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReading:
    """What a native switch counted on the vNIC of a port that shares a tag there, since it has been so on that host.

    It is the yardstick for such a port: what neighbours say to each other never meets an appliance.
    """

    port: PortName
    host: HostName
    counted: Counters
    shown: Counters
    """What the switch showed at that time, so that the next reading goes on from there."""
    updated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life of one appliance: `count` grows with each. `well` is False while its last look failed."""

    host: HostName
    number: int
    count: int
    well: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """All readings at one time."""

    vnics: Mapping[PortName, VnicReading] = field(default_factory=dict)
    stations: Mapping[tuple[HostName, PortName], StationReading] = field(default_factory=dict)
    cards: Mapping[PortName, CardReading] = field(default_factory=dict)
