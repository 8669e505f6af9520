# SPDX-License-Identifier: Apache-2.0
"""Reading the Open_vSwitch database: which bridge holds which port, whose it is, what was counted on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from anyvisor.model.attachment import Plug
from anyvisor.model.names import Mac, PortName
from anyvisor.model.vnic import Counters
from anyvisor.ovsdb.connection import Replica, Row

SCHEMA = "Open_vSwitch"
TABLES: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "external_ids", "other_config", "cur_cfg", "next_cfg", "ovs_version", "ssl"),
    "SSL": ("private_key", "certificate", "ca_cert", "bootstrap_ca_cert", "external_ids"),
    "Bridge": (
        "name", "ports", "external_ids", "other_config", "fail_mode", "datapath_type", "controller",
    ),
    "Controller": ("target",),
    "Port": ("name", "interfaces", "tag", "vlan_mode", "trunks", "external_ids"),
    "Interface": (
        "name", "type", "options", "external_ids", "statistics", "ofport", "error", "mtu_request", "mac_in_use",
    ),
}  # fmt: skip
OWNER = "anyvisor:owner"
KEY = "anyvisor:key"
ADOPTED = "anyvisor:adopted"
"""On a port that somebody else plugged (libvirt): the ``iface-id`` that it had. It is given back, never removed."""
_PORT = "port/"
_FAR = "trunk/"
"""The key of the far end of a patch pair begins with it."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One interface with its port and bridge, as rows; to be used inside one read or write."""

    bridge: Row
    port: Row
    interface: Row

    @property
    def marks(self) -> Mapping[str, str]:
        """The interface's external_ids, where all our marks are."""
        return dict(self.interface.external_ids)


def spots(replica: Replica) -> Iterator[Spot]:
    """Every interface that stands in a bridge."""
    for bridge in replica.tables["Bridge"].rows.values():
        for port in bridge.ports:
            for interface in port.interfaces:
                yield Spot(bridge, port, interface)


def root(replica: Replica) -> Row:
    """The one row of the table Open_vSwitch."""
    return next(iter(replica.tables["Open_vSwitch"].rows.values()))


def bridge_named(replica: Replica, name: str) -> Row | None:
    """The row of a bridge, None if it is not there."""
    rows = replica.tables["Bridge"].rows.values()
    return next((row for row in rows if row.name == name), None)


def port_of(marks: Mapping[str, str], owner: str) -> PortName | None:
    """The port that an interface of ours is plugged for; None if it is not ours."""
    key = marks.get(KEY, "")
    if not owner or marks.get(OWNER) != owner or not key.startswith(_PORT):
        return None
    return PortName(key.removeprefix(_PORT))


def marks_for(plug: Plug, owner: str) -> dict[str, str]:
    """What we write on an interface."""
    marks = {OWNER: owner, KEY: f"{_PORT}{plug.port}"}
    if plug.iface_id is not None:
        marks["iface-id"] = plug.iface_id
    if plug.mac is not None:
        marks["attached-mac"] = plug.mac
    return marks


def far_key(port: PortName) -> str:
    """The mark of the far end of a port's patch pair."""
    return f"{_FAR}{port}"


def far_end(replica: Replica, near: Spot) -> Spot | None:
    """The other end of a patch pair, None for a device or half a pair."""
    peer = near.interface.options.get("peer") if near.interface.type == "patch" else None
    if peer is None:
        return None
    return next((spot for spot in spots(replica) if spot.interface.name == peer), None)


def plug_at(spot: Spot, port: PortName, far: Spot | None = None) -> Plug:
    """What stands there, in the model's words; `far` is the other end of a patch pair."""
    marks = spot.marks
    tag = spot.port.tag if far is None else far.port.tag
    mac = marks.get("attached-mac")
    return Plug(
        steered=far is not None and list(far.port.vlan_mode) == ["trunk"],
        trunk=far.bridge.name if far is not None else None,
        port=port,
        device=spot.interface.name,
        bridge=spot.bridge.name,
        iface_id=marks.get("iface-id"),
        vlan=int(tag[0]) if tag else None,
        mac=Mac(mac.lower()) if mac is not None else None,
    )


def ofport_of(spot: Spot) -> int:
    """The OpenFlow port number; 0 or less while there is none."""
    return int(spot.interface.ofport[0]) if spot.interface.ofport else 0


def counters_of(statistics: Mapping[str, int]) -> Counters:
    """An interface's statistics, seen from the VM: what came in here is what it sent."""
    return Counters(
        tx_bytes=statistics.get("rx_bytes", 0),
        rx_bytes=statistics.get("tx_bytes", 0),
        tx_packets=statistics.get("rx_packets", 0),
        rx_packets=statistics.get("tx_packets", 0),
    )
