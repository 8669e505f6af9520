# SPDX-License-Identifier: Apache-2.0
"""What we keep of each object of vSphere, in plain words. Keys are managed object ids, as vSphere gives them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from anyvisor.model.host import Nic
from anyvisor.model.names import Mac


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardGroup:
    """A port group of a host's own switch. 4095 is a trunk."""

    name: str
    switch: str
    vlan: int
    promiscuous: bool
    forged_transmits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardSwitch:
    """A host's own switch."""

    name: str
    mtu: int
    uplinks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A host. `parent` is its compute resource; `answers` whether vCenter reaches it."""

    key: str
    name: str
    parent: str
    version: str
    connection: str
    maintenance: bool
    switches: Mapping[str, StandardSwitch] = field(default_factory=dict)
    groups: Mapping[str, StandardGroup] = field(default_factory=dict)
    nics: tuple[Nic, ...] = ()
    opaque: tuple[str, ...] = ()
    """Switches of NSX."""
    cpu_mhz: int = 0
    core_mhz: int = 0
    memory_mib: int = 0
    network_system: str | None = None
    autostart: str | None = None

    @property
    def answers(self) -> bool:
        """vCenter reaches it."""
        return self.connection == "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """A distributed switch. `members` are hosts, with the NICs that they give it."""

    key: str
    uuid: str
    name: str
    version: str
    mtu: int
    members: Mapping[str, tuple[str, ...]]
    mark: str | None
    """Our key in its description, None if it is not ours."""
    offload: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """A distributed port group. `vlan` is None for what is neither untagged nor one VLAN."""

    key: str
    name: str
    switch: str
    mark: str | None
    nsx: bool
    uplink: bool
    vlan: int | None
    trunk: bool
    mac_learning: bool
    promiscuous: bool
    forged_transmits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a card is plugged into: a port of a distributed group (`switch` is a uuid), or a network by its name."""

    switch: str | None = None
    group: str | None = None
    port: str | None = None
    network: str | None = None
    opaque: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """A network adapter. `connected` says of a VM that is off whether it will be."""

    key: str
    mac: Mac
    connected: bool
    passthrough: bool
    place: Place | None
    homeless: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRecord:
    """A VM or a template."""

    key: str
    uuid: str
    name: str
    host: str
    running: bool
    template: bool
    answers: bool
    cards: tuple[CardRecord, ...] = ()
    fault_tolerant: bool = False
    cpu_mhz: int = 0
    """Reserved, as is the memory."""
    memory_mib: int = 0
    appliance: str | None = None
    """The key of an appliance of ours."""
    booting: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task of a VM that may be a migration."""

    key: str
    migrates: bool
    running: bool
    chain: int
    """Of the events that belong to it; 0 if it has none."""
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What a host may do. `edition` is a word of docs/reference/site.md, `""` where it is none of them."""

    edition: str = ""
    distributed: bool | None = None
