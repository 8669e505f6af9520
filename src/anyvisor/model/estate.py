# SPDX-License-Identifier: Apache-2.0
"""What a manager of many hosts (a vCenter, a pool) reports, and what can be changed on its native switches.

The words are those of no particular vendor: a *group* is a port group, a *card* one vNIC of a VM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, Mac, SwitchName


class CardId(NamedTuple):
    """Identifies a vNIC for good, also when its VM moves or is renamed: (instance UUID of the VM, key of the card)."""

    vm: str
    card: str


class MissingRight(NamedTuple):
    """A right that our account lacks, in the manager's own words, and what it is needed for."""

    name: str
    purpose: str

    def __str__(self) -> str:
        return f"{self.name} ({self.purpose})"


class CardProblem(StrEnum):
    """Why a card cannot be wired by anyvisor, or only with a warning."""

    PASSTHROUGH = "passthrough"
    """SR-IOV or DirectPath: its frames never meet the virtual switch."""
    NSX = "nsx"
    """It is on an NSX port group or an opaque network that is not ours."""
    FAULT_TOLERANCE = "fault-tolerance"
    """A warning: two copies of the VM run."""

    def blocks(self, group: Group | None) -> bool:
        """It cannot be plugged into that group; otherwise the problem is a warning. Within NSX a card may move."""
        entity = group is not None and group.entity
        return self is CardProblem.PASSTHROUGH or (self is CardProblem.NSX and not entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """Where a card is plugged. `port` is the number of the distributed port, None on a standard switch."""

    switch: SwitchName
    kind: SwitchKind
    group: str
    port: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a manager is told of one vNIC beyond its group, where its switch is told such things (XAPI)."""

    iface: str | None = None
    """What the SDN controller knows it by; None where it binds no vNICs."""
    addresses: tuple[str, ...] | None = None
    """The only addresses that it may use, sorted; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One vNIC as the manager shows it. `host` is where its VM runs; `moving_to` where a migration under way leads."""

    id: CardId
    mac: Mac
    vm: str
    """The VM's name, for people."""
    host: HostName
    moving_to: HostName | None = None
    running: bool = True
    connected: bool = True
    backing: Backing | None = None
    problem: CardProblem | None = None
    taken: bool = False
    """We have plugged it where it is; where it was before is remembered."""
    homeless: bool = False
    """It was to be given back, and where it was is gone: it stays where it is, disconnected."""
    terms: Terms | None = None
    """None where the manager has no such thing, or while it is not sure how the vNIC is plugged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A port group of ours on a native switch.

    `vlan` is its access VLAN; None with `trunk` for one that carries all VLANs tagged, and without for the integration
    bridge, where the SDN controller binds each vNIC. `mac_learning` only where the
    switch has it; else a trunk is promiscuous. On a standard switch a group is of one host.
    """

    switch: SwitchName
    name: str
    key: str
    """What it is for: ``port/NAME``, ``network/NAME``, ``inner/NETWORK``, ``integration``, ``trunk``, ``parking``."""
    vlan: int | None = None
    trunk: bool = False
    mac_learning: bool = False
    promiscuous: bool = False
    forged_transmits: bool = False
    host: HostName | None = None
    """Set on a standard switch alone."""
    entity: bool = False
    """A segment of ours in the vendor's own controller (NSX), as the manager shows it. It is made and removed there:
    only cards are plugged into it here."""
    partial: bool = False
    """It is not on every host yet that it belongs on. Never so of one that is wanted."""

    @property
    def identity(self) -> tuple[SwitchName, str]:
        """The switch and the name; on a standard switch, where each host has its own, ``HOST/NAME``."""
        return (self.switch, self.name if self.host is None else f"{self.host}/{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSwitch:
    """A switch of ours without uplinks: one distributed over `hosts`, or a standard one of that name on each."""

    name: SwitchName
    kind: SwitchKind
    hosts: tuple[HostName, ...]
    version: str = ""
    mtu: int = 9000


class Health(StrEnum):
    """How an appliance's VM stands, as the manager sees it."""

    RUNNING = "running"
    STARTING = "starting"
    OFF = "off"
    LOST = "lost"
    """It is on a host that the manager does not reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """An appliance VM of ours. `key` is ``HOST/NUMBER``; `trunk` the card in the trunk group."""

    key: str
    vm: str
    host: HostName
    health: Health
    trunk: CardId | None = None
    trunk_connected: bool = True
    instance: str = ""
    """Its VM as in `CardId.vm`: the cards of an appliance are among those of the estate, too."""
    pinned: bool = True
    """Its host keeps it and brings it back, as far as the manager can say so: see `Pin`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """One consistent picture of what a manager reports. `ours` are the objects that carry our owner's mark."""

    hosts: Mapping[HostName, Host] = field(default_factory=dict)
    cards: Mapping[CardId, Card] = field(default_factory=dict)
    groups: Mapping[tuple[SwitchName, str], Group] = field(default_factory=dict)
    """Groups of ours, by `Group.identity`."""
    switches: Mapping[SwitchName, InnerSwitch] = field(default_factory=dict)
    """Inner switches of ours."""
    appliances: Mapping[str, Appliance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSwitch:
    """Make an inner switch, or let more hosts take part in it."""

    switch: InnerSwitch


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSwitch:
    """Remove an inner switch of ours that nothing is plugged into."""

    name: SwitchName


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeGroup:
    """Make a port group, or change it to this."""

    group: Group


@dataclass(frozen=True, slots=True, kw_only=True)
class DropGroup:
    """Remove a port group of ours that nothing is plugged into."""

    switch: SwitchName
    name: str
    host: HostName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Plug a card into a group of ours. Where it was plugged before is remembered with the VM, for `Giveback`."""

    card: CardId
    switch: SwitchName
    group: str
    terms: Terms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Giveback:
    """Plug a card back to where it was before anyvisor took it; one whose place is gone is disconnected."""

    card: CardId


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Make an appliance from the template and start it on its host, pinned there. `user_data` is cloud-init's."""

    key: str
    vm: str
    host: HostName
    template: str
    user_data: str = field(repr=False)
    switch: SwitchName
    trunk_group: str
    networks: Mapping[str, str] = field(default_factory=dict)
    """The operator's groups of its other cards: ``management``, ``tunnel``."""
    macs: Mapping[str, Mac] = field(default_factory=dict)
    """Of those cards and of the ``trunk``; one that is not named gets an address from the manager."""
    metadata: str = field(default="", repr=False)
    """cloud-init's; empty: the manager's driver names the instance, and says nothing of its network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Switch an appliance on."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Let an appliance stay on the host that it is on, and come back with it: nobody moves it, it is started first."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Switch an appliance off and delete it."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Disconnect an appliance's trunk, or (`off` False) connect it again."""

    key: str
    off: bool = True


EstateStep: TypeAlias = (
    MakeSwitch
    | DropSwitch
    | MakeGroup
    | DropGroup
    | Plugin
    | Giveback
    | Deploy
    | Pin
    | Start
    | Remove
    | Fence
)


def describe(step: EstateStep) -> str:
    """One line for a plan or a log."""
    match step:
        case MakeSwitch(switch=switch):
            return f"inner switch {switch.name} ({switch.kind}) on {', '.join(switch.hosts)}"
        case DropSwitch(name=name):
            return f"remove inner switch {name}"
        case MakeGroup(group=group):
            tag = "all VLANs" if group.trunk else f"VLAN {group.vlan}" if group.vlan else "its own flows"
            return f"port group {group.name} on {group.switch}: {tag}"
        case DropGroup(name=name, switch=switch):
            return f"remove port group {name} from {switch}"
        case Plugin(card=card, group=group):
            return f"plug card {card.card} of VM {card.vm} into {group}"
        case Giveback(card=card):
            return f"plug card {card.card} of VM {card.vm} back to where it was"
        case Deploy(vm=vm, host=host, template=template):
            return f"appliance {vm} on {host} from template {template}"
        case Pin(key=key):
            return f"pin appliance {key} to its host"
        case Start(key=key):
            return f"start appliance {key}"
        case Remove(key=key):
            return f"remove appliance {key}"
        case Fence(key=key, off=off):
            return f"{'disconnect' if off else 'connect'} the trunk of appliance {key}"
