# SPDX-License-Identifier: Apache-2.0
"""A logical port as rows: the switch port, its memberships, its floating IP."""

from __future__ import annotations

from collections.abc import Iterator

from anyvisor.drivers.ovn.group import FILTERED, FILTERED_EGRESS, group_ref
from anyvisor.drivers.ovn.network import dhcp_ref, ha_group_ref, switch_ref
from anyvisor.drivers.ovn.router import translation_row
from anyvisor.drivers.ovn.row import SWITCH_PORT, Child, Ref, RowSpec, Value
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.logical import LogicalPort, Translation
from anyvisor.model.names import ObjectKey
from anyvisor.planner.seats import trunk_port


def port_ref(key: ObjectKey) -> Ref:
    """The switch port of a logical port."""
    return Ref(SWITCH_PORT, key)


def rows(port: LogicalPort) -> Iterator[RowSpec]:
    """The switch port and, where it has one, the NAT entry of its floating IP."""
    network = ObjectKey("network", port.network)
    # Address and port security are the same pair: what the port may receive for is what it may send from.
    bound = " ".join((port.mac, *port.addresses))
    columns: dict[str, Value] = {
        "name": port.name,
        "addresses": (bound,),
        "port_security": (bound,),
        "type": "",
        "options": {},
        "ha_chassis_group": (),
        "parent_name": (),
        "tag_request": (),
        "dhcpv4_options": _dhcp(port, network, 4),
        "dhcpv6_options": _dhcp(port, network, 6),
    }
    if port.kind.is_station:
        columns["type"] = "external"
        columns["ha_chassis_group"] = (ha_group_ref(network),)
    elif port.chassis:
        if port.kind is AttachmentKind.CHILD and port.tag is not None:
            # northd puts its own answer into `tag`: only `tag_request` is ours to write.
            columns |= {"parent_name": (trunk_port(port.chassis[0]),), "tag_request": (port.tag,)}
        columns["options"] = {"requested-chassis": ",".join(port.chassis)}
    groups: tuple[Ref, ...] = ()
    if port.groups:
        groups = (group_ref(FILTERED), *(group_ref(ObjectKey("group", group)) for group in port.groups))
        if port.filtered_egress:
            groups = (*groups, group_ref(FILTERED_EGRESS))
    yield RowSpec(
        ref=port_ref(port.key),
        columns=columns,
        child_of=Child(parent=switch_ref(network), column="ports"),
        groups=groups,
        unique=port.name,
    )
    yield from _floating(port)


def _dhcp(port: LogicalPort, network: ObjectKey, version: int) -> tuple[Ref, ...]:
    if version not in port.dhcp:
        return ()
    cidr = next(cidr for cidr in port.subnets if (":" in cidr) == (version == 6))
    return (dhcp_ref(network, cidr),)


def _floating(port: LogicalPort) -> Iterator[RowSpec]:
    if port.floating_ip is None or port.router is None or port.gateway_network is None:
        return
    inside = next((a for a in port.addresses if (":" in a) == (":" in port.floating_ip)), None)
    if inside is not None:
        translation = Translation(kind="dnat_and_snat", external=port.floating_ip, logical=inside)
        yield translation_row(
            ObjectKey("router", port.router), translation, owner=port.key, gateway=port.gateway_network
        )
