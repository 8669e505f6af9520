# SPDX-License-Identifier: Apache-2.0
"""The port group that each vNIC belongs into, by how it is attached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Estate, Group
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, SwitchKind
from anyvisor.model.names import HostName, NetworkName, PortName, SwitchName
from anyvisor.planner.chassis import INTEGRATION_BRIDGE
from anyvisor.planner.entity import entity_groups
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import (
    INTEGRATION,
    InnerPlace,
    group_name,
    inner_place,
    integration_name,
    network_group_name,
    port_key,
    shared_group_name,
    shared_key,
)


def port_groups(
    owner: str,
    hosts: Mapping[HostName, Host],
    attachments: Iterable[Attachment],
    estate: Estate,
    problems: dict[str, str],
    physicals: Mapping[NetworkName, str] | None = None,
) -> Iterator[tuple[PortName, Group]]:
    """In the order of the ports. One that has nowhere to go yet is left out, and `problems` says why. `physicals` are
    the physical networks that networks name.
    """
    segments = entity_groups(estate)
    for attachment in sorted(attachments, key=lambda each: each.port):
        port, host = attachment.port, hosts.get(attachment.host)
        if host is None or (attachment.kind.is_trunked and traits.inner_by_agent(host)):
            continue  # no manager makes the inner switch of the latter
        if attachment.kind.is_trunked and attachment.vlan is not None:
            place = inner_place(host, owner)
            if attachment.switch not in {None, place.switch}:
                problems[port] = f"{host.name} has another inner switch now; its tag there is not decided yet"
                continue
            name, key = group_name(owner, port), port_key(port)
            if attachment.shared:
                name = shared_group_name(place, attachment.network)
                key = shared_key(attachment.network)
            yield port, _access(name, place, key, attachment.vlan, host)
        elif traits.in_pool(host):
            found = _in_pool(
                owner,
                host,
                attachment,
                physical=(physicals or {}).get(attachment.network),
                shown=estate.hosts.get(host.name, host),
            )
            if isinstance(found, Group):
                yield port, found
            else:
                problems.update({port: found} if found else {})
        elif attachment.kind is AttachmentKind.ENTITY and traits.owned_by_nsx(host):
            segment = segments.get((host.name, attachment.network))
            if segment is None:
                problems[port] = (
                    f"no switch of {host.name} shows a segment of NSX for {attachment.network} yet"
                )
                continue
            yield port, segment
        elif attachment.kind.is_station and attachment.vlan is not None:
            native = _switch_that_stays(host, attachment.kind)
            if native is None:
                problems[port] = f"{host.name} has no native switch that it could be plugged into"
                continue
            place = InnerPlace(switch=native.name, kind=native.kind, scope="")
            network = attachment.network
            distributed = native.name if native.kind is SwitchKind.VDS else None
            name = network_group_name(owner, network, distributed)
            yield port, _access(name, place, f"network/{network}", attachment.vlan, host)


def _in_pool(
    owner: str, host: Host, attachment: Attachment, *, physical: str | None, shown: Host
) -> Group | str:
    """Where a vNIC of a pool's host belongs, or why that is nowhere; ``""``: it is nothing of the pool's. Its groups
    are networks of the whole pool. Of the host's backend counts what the pool says (`shown`), not what was said before.
    """
    if attachment.kind is AttachmentKind.VIF:
        if not traits.on_open_vswitch(shown):
            return (
                f"XAPI's network backend on {host.name} is the Linux bridge still: "
                "xe-switch-network-backend openvswitch there, and a reboot"
            )
        bridge = SwitchName(INTEGRATION_BRIDGE)
        return Group(switch=bridge, name=integration_name(owner), key=INTEGRATION)
    if not attachment.kind.is_station or attachment.vlan is None:
        return ""
    native = _switch_towards(host, physical)
    if native is None:
        return f"{host.name} has no native switch that it could be plugged into"
    network = attachment.network
    name = network_group_name(owner, network, native.name)
    return Group(switch=native.name, name=name, key=f"network/{network}", vlan=attachment.vlan)


def _switch_towards(host: Host, physical: str | None) -> NativeSwitch | None:
    """The switch whose card is cabled to that physical network; the one that stays where nobody says so."""
    cards = {nic.name for nic in host.nics if physical is not None and nic.physical == physical}
    towards = (switch for switch in host.switches if not cards.isdisjoint(switch.uplinks))
    return next(towards, None) or traits.native_switch(host)


def _switch_that_stays(host: Host, kind: AttachmentKind) -> NativeSwitch | None:
    """The vendor's solution is the distributed switch (a standard one has no controller); any will do otherwise."""
    if kind is AttachmentKind.ENTITY:
        return traits.native_switch(host, SwitchKind.VDS)
    return traits.native_switch(host)


def _access(name: str, place: InnerPlace, key: str, vlan: int, host: Host) -> Group:
    return Group(
        switch=place.switch,
        name=name,
        key=key,
        vlan=vlan,
        host=host.name if place.kind is SwitchKind.VSS else None,
    )
