# SPDX-License-Identifier: Apache-2.0
"""How networks reach vNICs over Linux bridges: which bridge, over which card, with which VLAN.

Three ways, by what the kernel can do: one bridge that filters VLANs; a VLAN device and a bridge per network; or a
bridge per network over a card that the fabric puts on that network's VLAN alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.host import Host, Nic
from anyvisor.model.kinds import AttachmentKind, SwitchKind
from anyvisor.model.names import NetworkName, PortName
from anyvisor.model.network import Network
from anyvisor.planner.chassis import bridge_name

PREFIX = "av-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBridge:
    """A bridge that carries one network, or several where it filters VLANs.

    `uplink` is the card; with `vlan` the bridge holds a VLAN device on it instead of the card itself. `trunk` are the
    VLANs that a filtering bridge lets through to the card. `native` is a bridge of the operator's: used, never made,
    never removed.
    """

    name: str
    uplink: str
    vlan: int | None = None
    filtering: bool = False
    trunk: tuple[int, ...] = ()
    native: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The bridges that a host needs, where each vNIC goes, and which ports cannot be served and why."""

    bridges: tuple[SegmentBridge, ...] = ()
    plugs: Mapping[PortName, Plug]
    problems: Mapping[PortName, str]


def layout(
    host: Host,
    attachments: Iterable[Attachment],
    networks: Mapping[NetworkName, Network],
    devices: Mapping[PortName, str],
    *,
    vlan_filtering: bool,
    vlan_devices: bool,
) -> Layout:
    """What the attachments of kind ``external`` need. A bridge is wanted as long as some attachment uses it, whether
    or not its vNIC is there yet."""
    bridges: dict[str, SegmentBridge] = {}
    plugs: dict[PortName, Plug] = {}
    problems: dict[PortName, str] = {}
    for attachment in sorted(attachments, key=lambda a: a.port):
        if attachment.kind is not AttachmentKind.EXTERNAL:
            continue
        physical = _physical(networks.get(attachment.network))
        bridge = _bridge_for(
            host, attachment, physical, vlan_filtering=vlan_filtering, vlan_devices=vlan_devices
        )
        if bridge is None:
            problems[attachment.port] = _why_not(host, attachment, physical)
            continue
        bridges[bridge.name] = _merged(bridges.get(bridge.name), bridge)
        if attachment.port in devices:
            plugs[attachment.port] = Plug(
                port=attachment.port,
                device=devices[attachment.port],
                bridge=bridge.name,
                vlan=attachment.vlan if bridge.filtering else None,
            )
    return Layout(bridges=tuple(bridges[name] for name in sorted(bridges)), plugs=plugs, problems=problems)


def _physical(network: Network | None) -> str | None:
    return network.physical if network is not None else None


def _bridge_for(
    host: Host, attachment: Attachment, physical: str | None, *, vlan_filtering: bool, vlan_devices: bool
) -> SegmentBridge | None:
    own = bridge_name(attachment.network, PREFIX)
    for nic in _cards(host, physical):
        if nic.vlan is not None and nic.vlan == attachment.vlan:
            return SegmentBridge(
                name=_native(host, nic) or own, uplink=nic.name, native=_native(host, nic) is not None
            )
    for nic in _cards(host, physical):
        if nic.vlan is not None:
            continue
        if attachment.vlan is None:
            return SegmentBridge(
                name=_native(host, nic) or own, uplink=nic.name, native=_native(host, nic) is not None
            )
        # An operator's bridge is not made to filter: that could cut off what else is in it.
        if vlan_filtering and _native(host, nic) is None:
            name = bridge_name(nic.name, PREFIX)
            return SegmentBridge(name=name, uplink=nic.name, filtering=True, trunk=(attachment.vlan,))
        if vlan_devices:
            return SegmentBridge(name=own, uplink=nic.name, vlan=attachment.vlan)
    return None


def _cards(host: Host, physical: str | None) -> Iterator[Nic]:
    listed = {nic.name for nic in host.nics}
    for nic in host.nics:
        if physical is None or nic.physical in {None, physical}:
            yield nic
    for switch in host.switches:
        if switch.kind is SwitchKind.LINUX_BRIDGE:
            yield from (Nic(name=uplink) for uplink in switch.uplinks if uplink not in listed)


def _native(host: Host, nic: Nic) -> str | None:
    bridges = (switch for switch in host.switches if switch.kind is SwitchKind.LINUX_BRIDGE)
    return next((switch.name for switch in bridges if nic.name in switch.uplinks), None)


def _merged(before: SegmentBridge | None, bridge: SegmentBridge) -> SegmentBridge:
    if before is None or not bridge.filtering:
        return bridge
    return SegmentBridge(
        name=bridge.name,
        uplink=bridge.uplink,
        filtering=True,
        trunk=tuple(sorted({*before.trunk, *bridge.trunk})),
    )


def _why_not(host: Host, attachment: Attachment, physical: str | None) -> str:
    where = f" that leads to {physical}" if physical is not None else ""
    if not any(_cards(host, physical)):
        return f"{host.name} has no network card{where}"
    return (
        f"{host.name} has no card{where} with the access VLAN {attachment.vlan},"
        " and its kernel neither filters VLANs in bridges nor has VLAN devices"
    )
