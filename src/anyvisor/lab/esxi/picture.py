# SPDX-License-Identifier: Apache-2.0
"""From vCenter's state to what each host's switches and each VM's cards shall be. Pure.

A card that may send and receive is a `Socket` of a bridge; any other card lies unplugged on the host of its VM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from anyvisor.lab.esxi.flows import ANY_VLAN, Learning, Station
from anyvisor.lab.vcenter.model import (
    Host,
    Nic,
    Port,
    StandardPortGroup,
    StandardSwitch,
    State,
    Switch,
    Vm,
)

ALL_VLANS = 4095
"""A standard port group with this VLAN passes all of them, tagged."""
PARTS = ("hosts", "switches", "port_groups", "ports", "vms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a VM of vCenter is in the lab: the part that its namespace is.

    `trunk`: what an appliance calls the card that leads to a port with all VLANs; empty: it counts its cards.
    """

    part: str
    appliance: bool = False
    trunk: str = ""
    names: tuple[tuple[str, str], ...] = ()
    """MACs of cards and what the machine calls them, where it was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A VM's card and the host's end of it. `up`: the card is connected, so the guest sees a carrier."""

    device: str
    part: str
    card: str
    mac: str
    host: str
    up: bool = False
    mtu: int = 1500
    counter: str = ""
    """vCenter's key for what it counts: ``SWITCH/PORT`` of a distributed port, else ``VM/NIC``."""
    distributed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A port of a bridge with a card in it. `station` has no number yet; that is the bridge's to give."""

    device: str
    station: Station
    may_change: bool
    """Whether the guest may take another address; if it does so all the same, it is cut off."""
    plug: str
    """What it is plugged into; another text means that it was replugged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A native switch on one host. `uplinks` are cards of the host, the first of them in use."""

    name: str
    title: str
    uplinks: tuple[str, ...] = ()
    sockets: tuple[Socket, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that the lab has to make true. Bridges by host name; hosts that are off have their bridges, too."""

    bridges: Mapping[str, tuple[Bridge, ...]]
    cables: Mapping[str, Cable]


def merged(known: State, news: State) -> State:
    """The whole state after an answer that may tell only what changed."""
    if news.full:
        return news
    lists: dict[str, Any] = {}
    for part in PARTS:
        changed = {*getattr(news.changed, part), *(item.key for item in getattr(news, part))}
        kept = (item for item in getattr(known, part) if item.key not in changed)
        lists[part] = (*kept, *getattr(news, part))
    return replace(news, full=True, **lists)


def picture_of(state: State, machine_of: Callable[[Vm], Machine | None]) -> Picture:
    """What shall be. VMs that the lab has no machine for are left out."""
    world = _World(state)
    cables: dict[str, Cable] = {}
    sockets: list[_Place] = []
    for vm in sorted(state.vms, key=lambda one: one.key):
        machine = machine_of(vm)
        host = world.hosts.get(vm.host)
        if vm.template or machine is None or host is None:
            continue
        cards = _card_names(machine, [(nic.mac.lower(), world.is_trunk(host, nic)) for nic in vm.nics])
        for number, (nic, card) in enumerate(zip(vm.nics, cards, strict=True)):
            if nic.type == "sriov" and machine.part == vm.name and not machine.appliance:
                continue  # the function of a card that was passed through: the lab's DPU has its other end
            cable, place = world.cable(vm, host, nic, device=device_name(machine, nic.key, number))
            cables[cable.device] = replace(cable, part=machine.part, card=card)
            sockets += [place] if place is not None else []
    bridges = {
        host.name: tuple(_filled(bridge, key, sockets) for key, bridge in _bridges(host, state.switches))
        for host in state.hosts
    }
    return Picture(bridges=bridges, cables=cables)


def device_name(machine: Machine, nic: int, number: int) -> str:
    """The host's end of a card: of a VM's first one as on any host of the lab."""
    if number == 0 and not machine.appliance:
        return f"tap-{machine.part}"
    return f"nic-{_digest(f'{machine.part}/{nic}', 8)}"


def _card_names(machine: Machine, cards: Iterable[tuple[str, bool]]) -> Iterator[str]:
    """By MAC, as the machine was told; else counted, but for a trunk that has a name of its own."""
    told = dict(machine.names)
    named = machine.trunk in told.values()
    for number, (mac, trunk) in enumerate(cards):
        if mac in told:
            yield told[mac]
        elif machine.trunk and trunk and not named:
            named = True
            yield machine.trunk
        else:
            yield f"eth{number}"


def bridge_name(key: str) -> str:
    """A name that fits an interface, the same for the same switch whatever it is called."""
    return f"{key.partition('/')[0]}-{_digest(key, 8)}"


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


_Place = tuple[str, Socket]
"""The switch's key on its host, and the socket."""


class _World:
    """The state by keys."""

    def __init__(self, state: State) -> None:
        self.hosts = {host.key: host for host in state.hosts}
        self._ports = {port.key: port for port in state.ports}
        self._switches = {switch.uuid: switch for switch in state.switches}

    def is_trunk(self, host: Host, nic: Nic) -> bool:
        """Whether a card leads to a port that passes tagged frames, also while it is disconnected."""
        port, standard = self._port(nic), _standard(host, nic)
        return bool(port is not None and port.trunk) or (
            standard is not None and standard[1].vlan == ALL_VLANS
        )

    def cable(self, vm: Vm, host: Host, nic: Nic, *, device: str) -> tuple[Cable, _Place | None]:
        """A card, and what it is plugged into if frames may pass."""
        mac = nic.mac.lower()
        cable = Cable(device=device, part="", card="", mac=mac, host=host.name, counter=f"{vm.key}/{nic.key}")
        if not (vm.running and host.powered and nic.connected and nic.type != "sriov"):
            return cable, None
        port, standard = self._port(nic), _standard(host, nic)
        if port is not None:
            switch = self._switches.get(port.switch)
            if switch is None or not any(member.host == host.key for member in switch.members):
                return cable, None
            cable = replace(cable, up=True, mtu=switch.mtu, counter=port.key, distributed=True)
            socket = _distributed(mac, port, device)
            return cable, None if socket is None else (f"{host.name}/{_dvs_key(switch)}", socket)
        if standard is not None:
            own, group = standard
            place = (f"{host.name}/{_vss_key(own.name)}", _of_standard(mac, group, device))
            return replace(cable, up=True, mtu=own.mtu), place
        return cable, None

    def _port(self, nic: Nic) -> Port | None:
        backing = nic.backing
        if backing is None or backing.kind != "distributed":
            return None
        return self._ports.get(f"{backing.switch}/{backing.port}")


def _standard(host: Host, nic: Nic) -> tuple[StandardSwitch, StandardPortGroup] | None:
    """A port group is looked for by name: on a VM's new host it is that host's."""
    if nic.backing is None or nic.backing.kind != "standard":
        return None
    wanted = nic.backing.port_group
    found = ((own, group) for own in host.switches for group in own.port_groups if group.name == wanted)
    return next(found, None)


def _of_standard(mac: str, group: StandardPortGroup, device: str) -> Socket:
    station = Station(
        port=0,
        mac=mac,
        vlan=group.vlan if group.vlan != ALL_VLANS else 0,
        trunk=ANY_VLAN if group.vlan == ALL_VLANS else (),
        promiscuous=group.security.promiscuous,
        forged=group.security.forged_transmits,
    )
    return Socket(device=device, station=station, may_change=group.security.mac_changes, plug=group.name)


def _distributed(mac: str, port: Port, device: str) -> Socket | None:
    """Nothing passes a blocked port; nor, in the lab, one in a private VLAN."""
    if port.blocked or port.pvlan:
        return None
    learning = Learning(flooding=port.unicast_flooding, limit=port.mac_limit) if port.mac_learning else None
    station = Station(
        port=0,
        mac=mac,
        vlan=port.vlan,
        trunk=port.trunk,
        promiscuous=port.security.promiscuous,
        forged=port.security.forged_transmits,
        learning=learning,
    )
    return Socket(device=device, station=station, may_change=port.security.mac_changes, plug=port.key)


def _dvs_key(switch: Switch) -> str:
    return f"dvs/{switch.uuid}"


def _vss_key(name: str) -> str:
    return f"vss/{name}"


def _bridges(host: Host, switches: Iterable[Switch]) -> Iterator[tuple[str, Bridge]]:
    """The bridges of a host, still empty, each with the key that sockets name."""
    for own in host.switches:
        key = _vss_key(own.name)
        bridge = Bridge(name=bridge_name(key), title=own.name, uplinks=own.uplinks)
        yield f"{host.name}/{key}", bridge
    for switch in sorted(switches, key=lambda one: one.uuid):
        for member in switch.members:
            if member.host == host.key:
                key = _dvs_key(switch)
                bridge = Bridge(name=bridge_name(key), title=switch.name, uplinks=member.pnics)
                yield f"{host.name}/{key}", bridge


def _filled(bridge: Bridge, key: str, sockets: Iterable[_Place]) -> Bridge:
    return replace(bridge, sockets=tuple(socket for place, socket in sockets if place == key))
