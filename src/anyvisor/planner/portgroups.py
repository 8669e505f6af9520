# SPDX-License-Identifier: Apache-2.0
"""The port group that each vNIC belongs into, by how it is attached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Estate, Group
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, SwitchKind
from anyvisor.model.names import HostName, PortName
from anyvisor.planner.entity import entity_groups
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import (
    InnerPlace,
    group_name,
    inner_place,
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
) -> Iterator[tuple[PortName, Group]]:
    """In the order of the ports. One that has nowhere to go yet is left out, and `problems` says why."""
    segments = entity_groups(estate)
    for attachment in sorted(attachments, key=lambda each: each.port):
        port, host = attachment.port, hosts.get(attachment.host)
        if host is None:
            continue
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
