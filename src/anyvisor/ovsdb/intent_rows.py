# SPDX-License-Identifier: Apache-2.0
"""The users' columns: what of an intent stands in which table, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from anyvisor.codec import canonical
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Fallback, Hypervisor, NetworkKind, Scheme
from anyvisor.model.names import (
    GroupName,
    HostName,
    Mac,
    NetworkName,
    ObjectKey,
    ObjectKind,
    PortName,
    RouterName,
)
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import Policy
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Controller, Manager, Site
from anyvisor.ovsdb import cells, columns
from anyvisor.ovsdb.cells import Cells
from anyvisor.ovsdb.replica import Row

IntentObject: TypeAlias = Any
"""A Host, Network, Router, SecurityGroup, Port or Manager."""

_Codec: TypeAlias = tuple[Callable[[Any], "Cells"], Callable[[Row], IntentObject]]

GLOBAL_KEY = ObjectKey("policy", "site")
"""Stands for what has no name of its own: the policy and the controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One table of named objects. `part` is the field of `Site` that holds them."""

    table: str
    kind: ObjectKind
    part: str
    write: Callable[[IntentObject], Cells]
    read: Callable[[Row], IntentObject]
    columns: frozenset[str]

    def key(self, name: str) -> ObjectKey:
        """The key of the object of that name."""
        return ObjectKey(self.kind, name)


def _host_cells(host: Host) -> Cells:
    return {
        "name": host.name,
        "hypervisor": host.hypervisor.value,
        "version": host.version,
        "cluster": host.cluster,
        "pinned": host.scheme.value if host.scheme is not None else None,
        "switches": cells.documents(host.switches),
        "nics": cells.documents(host.nics),
        "facts": cells.facts_cell(host.facts),
        "tunnel_ip": host.tunnel_ip,
        "appliance_ips": cells.sequence(host.appliance_ips),
        "ovsdb": host.ovsdb,
        "manager": host.manager,
    }


def _host(row: Row) -> Host:
    return Host(
        name=HostName(columns.one(row, "name")),
        hypervisor=Hypervisor(columns.one(row, "hypervisor")),
        version=columns.one(row, "version"),
        cluster=columns.one(row, "cluster"),
        scheme=scheme(row, "pinned"),
        switches=cells.values(row, "switches", NativeSwitch),
        nics=cells.values(row, "nics", Nic),
        facts=cells.facts(row, "facts"),
        tunnel_ip=columns.one(row, "tunnel_ip"),
        appliance_ips=cells.texts(row, "appliance_ips"),
        ovsdb=columns.one(row, "ovsdb"),
        manager=columns.one(row, "manager"),
    )


def scheme(row: Row, column: str) -> Scheme | None:
    """The scheme that an optional column names."""
    name = columns.one(row, column)
    return None if name is None else Scheme(name)


def _network_cells(network: Network) -> Cells:
    return {
        "name": network.name,
        "kind": network.kind.value,
        "physical": network.physical,
        "vlan": network.vlan,
        "mtu": network.mtu,
        "subnets": cells.documents(network.subnets),
        "fallback": None if network.fallback is Fallback.CLOSED else network.fallback.value,
    }


def _network(row: Row) -> Network:
    return Network(
        name=NetworkName(columns.one(row, "name")),
        kind=NetworkKind(columns.one(row, "kind")),
        physical=columns.one(row, "physical"),
        vlan=columns.one(row, "vlan"),
        mtu=columns.one(row, "mtu"),
        subnets=cells.values(row, "subnets", Subnet),
        fallback=Fallback(columns.one(row, "fallback") or Fallback.CLOSED),
    )


def _router_cells(router: Router) -> Cells:
    return {
        "name": router.name,
        "networks": cells.sequence(router.networks),
        "external": canonical.encode(router.external) if router.external is not None else None,
    }


def _router(row: Row) -> Router:
    external = columns.one(row, "external")
    return Router(
        name=RouterName(columns.one(row, "name")),
        networks=tuple(NetworkName(name) for name in cells.texts(row, "networks")),
        external=None if external is None else canonical.decode(ExternalGateway, external),
    )


def _group_cells(group: SecurityGroup) -> Cells:
    return {"name": group.name, "rules": cells.documents(group.rules)}


def _group(row: Row) -> SecurityGroup:
    return SecurityGroup(name=GroupName(columns.one(row, "name")), rules=cells.values(row, "rules", Rule))


def _port_cells(port: Port) -> Cells:
    return {
        "name": port.name,
        "network": port.network,
        "vm": port.vm,
        "host": port.host,
        "mac": port.mac,
        "ips": cells.sequence(port.ips),
        "security_groups": cells.sequence(port.security_groups),
        "floating_ip": port.floating_ip,
    }


def _port(row: Row) -> Port:
    mac = columns.one(row, "mac")
    host = columns.one(row, "host")
    return Port(
        name=PortName(columns.one(row, "name")),
        network=NetworkName(columns.one(row, "network")),
        vm=columns.one(row, "vm"),
        host=None if host is None else HostName(host),
        mac=None if mac is None else Mac(mac),
        ips=cells.texts(row, "ips"),
        security_groups=tuple(GroupName(name) for name in cells.texts(row, "security_groups")),
        floating_ip=columns.one(row, "floating_ip"),
    )


def _manager_cells(manager: Manager) -> Cells:
    return {
        "name": manager.name,
        "driver": manager.driver,
        "url": manager.url,
        "credentials": manager.credentials,
        "ca": manager.ca,
        "transport_zone": manager.transport_zone,
        "vcenter": manager.vcenter,
    }


def _manager(row: Row) -> Manager:
    return Manager(
        name=columns.one(row, "name"),
        driver=columns.one(row, "driver"),
        url=columns.one(row, "url"),
        credentials=columns.one(row, "credentials"),
        ca=columns.one(row, "ca"),
        transport_zone=columns.one(row, "transport_zone"),
        vcenter=columns.one(row, "vcenter"),
    )


def global_cells(site: Site) -> Cells:
    """The users' columns of the one row of `Global`. No driver name stands for no controller."""
    controller = site.controller
    return {
        "controller_driver": controller.driver if controller else "",
        "northbound": controller.northbound if controller else "",
        "southbound": controller.southbound if controller else "",
        "southbound_for_chassis": controller.southbound_for_chassis if controller else "",
        "policy": canonical.encode(site.policy),
    }


def controller(row: Row) -> Controller | None:
    """The controller that the row of `Global` names."""
    driver = columns.one(row, "controller_driver")
    if not driver:
        return None
    return Controller(
        driver=driver,
        northbound=columns.one(row, "northbound"),
        southbound=columns.one(row, "southbound"),
        southbound_for_chassis=columns.one(row, "southbound_for_chassis"),
    )


def policy(row: Row) -> Policy:
    """The policy that the row of `Global` holds."""
    text = columns.one(row, "policy")
    return canonical.decode(Policy, text) if text else Policy()


GLOBAL_COLUMNS = frozenset(global_cells(Site()))


def _kind(table: str, kind: ObjectKind, part: str, codec: _Codec, sample: IntentObject) -> Kind:
    write, read = codec
    return Kind(table=table, kind=kind, part=part, write=write, read=read, columns=frozenset(write(sample)))


_NO_HOST = Host(name=HostName(""), hypervisor=Hypervisor.KVM)
_NO_NETWORK = Network(name=NetworkName(""), kind=NetworkKind.OVERLAY)
_NO_PORT = Port(name=PortName(""), network=NetworkName(""))
_NO_GROUP = SecurityGroup(name=GroupName(""))

KINDS: tuple[Kind, ...] = (
    _kind("Manager", "manager", "managers", (_manager_cells, _manager), Manager(name="", driver="")),
    _kind("Host", "host", "hosts", (_host_cells, _host), _NO_HOST),
    _kind("Network", "network", "networks", (_network_cells, _network), _NO_NETWORK),
    _kind("Router", "router", "routers", (_router_cells, _router), Router(name=RouterName(""))),
    _kind("Security_Group", "group", "security_groups", (_group_cells, _group), _NO_GROUP),
    _kind("Port", "port", "ports", (_port_cells, _port), _NO_PORT),
)
KIND_OF_TABLE: Mapping[str, Kind] = {kind.table: kind for kind in KINDS}
TABLE_OF_KIND: Mapping[ObjectKind, str] = {**{kind.kind: kind.table for kind in KINDS}, "policy": "Global"}
