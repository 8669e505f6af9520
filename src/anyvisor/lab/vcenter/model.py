# SPDX-License-Identifier: Apache-2.0
"""What the lab's vCenter tells of its world: everything that the data plane needs, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What a port lets through besides its own VM's address."""

    promiscuous: bool
    mac_changes: bool
    forged_transmits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pnic:
    """A physical NIC."""

    name: str
    mac: str
    mbps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardPortGroup:
    """A port group of a host's own switch."""

    name: str
    vlan: int  # 4095: all VLANs, tagged
    security: Security


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardSwitch:
    """A host's own switch."""

    name: str
    mtu: int
    uplinks: tuple[str, ...]
    port_groups: tuple[StandardPortGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """An ESXi host."""

    key: str
    name: str
    version: str
    cluster: str  # empty: standalone
    powered: bool
    connected: bool  # vCenter reaches it; its VMs run on all the same
    maintenance: bool
    pnics: tuple[Pnic, ...]
    switches: tuple[StandardSwitch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A host in a distributed switch; without NICs nothing leaves the host."""

    host: str
    pnics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pvlan:
    """An entry of a switch's private VLAN map."""

    primary: int
    secondary: int
    type: str  # promiscuous, isolated or community


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipfix:
    """Where a switch reports flows to; an empty collector: nowhere."""

    collector: str
    port: int
    domain: int
    sampling: int
    internal_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A distributed switch."""

    key: str
    uuid: str
    name: str
    version: str
    mtu: int
    uplinks: tuple[str, ...]
    members: tuple[Member, ...]
    network_offload: str
    pvlans: tuple[Pvlan, ...]
    ipfix: Ipfix
    can_learn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of a traffic filter; the first that matches decides."""

    sequence: int
    direction: str
    action: str
    match: tuple[str, ...]
    unknown: bool  # it has parts that `match` does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a port does with frames. Of vlan, trunk and pvlan at most one is set."""

    vlan: int
    trunk: tuple[tuple[int, int], ...]
    pvlan: int
    blocked: bool
    security: Security
    mac_learning: bool
    unicast_flooding: bool
    mac_limit: int
    ipfix: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroup(Policy):
    """A distributed port group, with the policy of ports that override nothing."""

    key: str
    switch: str
    name: str
    type: str
    uplink: bool
    nsx: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Port(Policy):
    """A distributed port that a NIC is connected to, with the policy in force."""

    key: str  # the switch's uuid, a slash, the port
    switch: str
    port: str
    port_group: str
    host: str
    vm: str
    nic: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """What a NIC is plugged into."""

    kind: str  # standard, distributed or opaque
    switch: str
    port_group: str
    port: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A VM's network adapter."""

    key: int
    mac: str
    type: str
    connected: bool
    started: bool  # connected whenever the VM is switched on
    backing: Backing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A virtual machine. Its frames flow while it is running."""

    key: str
    name: str
    uuid: str
    host: str
    moving_to: str  # empty: it stays
    power: str
    running: bool
    boot: str  # when it was switched on; empty: it is off
    template: bool
    tools: str
    nics: tuple[Nic, ...]
    guestinfo: Mapping[str, str]  # what the guest reads through its tools; user-data among it


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Keys of what changed since the generation asked about. What is in none of the lists of the state is gone."""

    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    port_groups: tuple[str, ...]
    ports: tuple[str, ...]
    vms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The world, or, if it is not full, the part of it that changed."""

    instance: str  # of this run of the program; another one means: start again from the full state
    generation: int
    full: bool
    about: Mapping[str, str]
    changed: Changed
    hosts: tuple[Host, ...]
    switches: tuple[Switch, ...]
    port_groups: tuple[PortGroup, ...]
    ports: tuple[Port, ...]
    vms: tuple[Vm, ...]


def read_state(answer: Mapping[str, Any]) -> State:
    """The state in an answer of the control API."""
    return structure(State, {**answer, **answer["lists"]})


def structure(kind: type[T], data: Mapping[str, Any]) -> T:
    """Make a dataclass of a JSON object, with everything in it."""
    return kind(**{name: _value(hint, data[name]) for name, hint in _hints(kind)})


_HINTS: dict[Any, tuple[tuple[str, Any], ...]] = {}  # reading them takes longer than a whole state


def _hints(kind: Any) -> tuple[tuple[str, Any], ...]:
    if kind not in _HINTS:
        hints = get_type_hints(kind)
        _HINTS[kind] = tuple((field.name, hints[field.name]) for field in fields(kind))
    return _HINTS[kind]


def _value(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return structure(hint, value)
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return _tuple(arguments, value)
    if NoneType in arguments:
        return None if value is None else _value(next(a for a in arguments if a is not NoneType), value)
    return value


def _tuple(arguments: tuple[Any, ...], value: Sequence[Any]) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        return tuple(_value(arguments[0], item) for item in value)
    return tuple(_value(hint, item) for hint, item in zip(arguments, value, strict=True))
