# SPDX-License-Identifier: Apache-2.0
"""A logical network as rows: switch, localnet port, DHCP options, the chassis group of external ports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from anyvisor.drivers.ovn.row import DHCP, HA_CHASSIS, HA_GROUP, SWITCH, SWITCH_PORT, Child, Ref, RowSpec
from anyvisor.model.logical import LogicalNetwork
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Subnet

LEASE_SECONDS = 43200
"""Half a day. A lease is renewed at half its time; a longer one makes a changed MTU or DNS reach the guest late."""


def switch_ref(key: ObjectKey) -> Ref:
    """The logical switch of a network."""
    return Ref(SWITCH, key)


def dhcp_ref(key: ObjectKey, cidr: str) -> Ref:
    """The DHCP options of one subnet of a network."""
    return Ref(DHCP, key, cidr)


def ha_group_ref(key: ObjectKey) -> Ref:
    """The chassis that answer for a network's external ports."""
    return Ref(HA_GROUP, key)


def localnet_name(network: str) -> str:
    """The port that joins a network to its VLAN. ``:`` cannot stand in a port name of the site."""
    return f"{network}:localnet"


def rows(network: LogicalNetwork) -> Iterator[RowSpec]:
    """Every row that the network itself needs."""
    here = switch_ref(network.key)
    yield RowSpec(ref=here, columns={"name": network.name}, unique=network.name)
    if network.segment is not None:
        yield RowSpec(
            ref=Ref(SWITCH_PORT, network.key, "localnet"),
            columns={
                "name": localnet_name(network.name),
                "type": "localnet",
                "addresses": ("unknown",),
                "options": {"network_name": network.segment.physical},
                "tag_request": () if network.segment.vlan is None else (network.segment.vlan,),
            },
            child_of=Child(parent=here, column="ports"),
            unique=localnet_name(network.name),
        )
    for subnet in network.subnets:
        if subnet.dhcp:
            yield _dhcp(network, subnet)
    if network.external_chassis:
        yield from _ha_group(network)


def _dhcp(network: LogicalNetwork, subnet: Subnet) -> RowSpec:
    server_mac = network.router_mac or _server_mac(network.name)
    if subnet.version == 4:
        server = subnet.gateway or str(subnet.prefix.network_address + 1)
        options = {
            "server_id": server,
            "server_mac": server_mac,
            "lease_time": str(LEASE_SECONDS),
            "mtu": str(network.mtu),
        }
        if subnet.gateway is not None and network.router_mac is not None:
            options["router"] = subnet.gateway
        if subnet.dns:
            options["dns_server"] = "{" + ", ".join(subnet.dns) + "}"
    else:
        options = {"server_id": server_mac}
        if subnet.dns:
            options["dns_server"] = "{" + ", ".join(subnet.dns) + "}"
    return RowSpec(ref=dhcp_ref(network.key, subnet.cidr), columns={"cidr": subnet.cidr, "options": options})


def _server_mac(network: str) -> str:
    digest = hashlib.blake2s(f"dhcp/{network}".encode(), digest_size=5).digest()
    return "0e:" + ":".join(f"{octet:02x}" for octet in digest)


def _ha_group(network: LogicalNetwork) -> Iterator[RowSpec]:
    group = ha_group_ref(network.key)
    name = f"{network.name}:external"
    yield RowSpec(ref=group, columns={"name": name}, unique=name)
    for rank, chassis in enumerate(network.external_chassis):
        yield RowSpec(
            ref=Ref(HA_CHASSIS, network.key, chassis),
            columns={"chassis_name": chassis, "priority": 100 - rank},
            child_of=Child(parent=group, column="ha_chassis"),
        )
