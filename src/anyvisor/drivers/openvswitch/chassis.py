# SPDX-License-Identifier: Apache-2.0
"""The chassis side of Open vSwitch: its settings and bridges, read and written inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from anyvisor.drivers.openvswitch.rows import KEY, OWNER, bridge_named, root, spots
from anyvisor.errors import RetryableError
from anyvisor.model.tls import TlsFiles
from anyvisor.ovsdb.connection import Replica, Row, Transaction
from anyvisor.planner.chassis import ObservedBridge, ObservedChassis, ObservedTls
from anyvisor.planner.chassis_steps import (
    AddUplink,
    ChassisStep,
    DropBridge,
    DropUplink,
    MakeBridge,
    SecureBridge,
    SetKeys,
    SetOffload,
    SetTls,
)

_OFFLOAD = "hw-offload"


def observe(replica: Replica, owner: str) -> ObservedChassis:
    """Settings and bridges in the planner's words."""
    if not replica.tables["Open_vSwitch"].rows:
        raise RetryableError("the Open_vSwitch database has not been initialised yet")
    return ObservedChassis(
        settings=dict(root(replica).external_ids),
        offload=root(replica).other_config.get(_OFFLOAD) == "true",
        bridges={row.name: _bridge(row, owner) for row in replica.tables["Bridge"].rows.values()},
        tls=next((_tls(row, owner) for row in root(replica).ssl), None),
    )


def _tls(row: Row, owner: str) -> ObservedTls:
    files = TlsFiles(private_key=row.private_key, certificate=row.certificate, ca_certificate=row.ca_cert)
    return ObservedTls(files=files, ours=bool(owner) and row.external_ids.get(OWNER) == owner)


def _bridge(row: Row, owner: str) -> ObservedBridge:
    return ObservedBridge(
        name=row.name,
        ours=bool(owner) and row.external_ids.get(OWNER) == owner,
        ports=frozenset(port.name for port in row.ports if port.name != row.name),
        datapath=row.datapath_type,
        fail_mode=str(row.fail_mode[0]) if row.fail_mode else "",
        controllers=tuple(sorted(controller.target for controller in row.controller)),
    )


def apply_steps(txn: Transaction, steps: Iterable[ChassisStep], owner: str) -> None:
    """Write the steps in order. One that holds already writes nothing.

    Raises:
        RetryableError: a bridge that a step needs is not there.
    """
    for step in steps:
        _apply_step(txn, step, owner)


def _apply_step(txn: Transaction, step: ChassisStep, owner: str) -> None:
    match step:
        case SetKeys(values=values):
            _set_keys(txn, values)
        case SetTls(files=files):
            _set_tls(txn, files, owner)
        case SetOffload():
            root(txn.idl).setkey("other_config", _OFFLOAD, "true")
        case MakeBridge():
            _make_bridge(txn, step, owner)
        case SecureBridge(name=name):
            _existing(txn, name).fail_mode = ["secure"]
        case AddUplink(bridge=bridge, device=device):
            _add_uplink(txn, bridge, device, owner)
        case DropUplink(bridge=bridge, device=device):
            _drop_uplink(txn, bridge, device)
        case DropBridge(name=name):
            _drop_bridge(txn, name, owner)


def _set_keys(txn: Transaction, values: Mapping[str, str | None]) -> None:
    row = root(txn.idl)
    present = dict(row.external_ids)
    for key, value in values.items():
        if value is None:
            if key in present:
                row.delkey("external_ids", key)
        elif present.get(key) != value:
            row.setkey("external_ids", key, value)


def _set_tls(txn: Transaction, files: TlsFiles, owner: str) -> None:
    there = root(txn.idl).ssl
    row = there[0] if there else txn.insert(txn.idl.tables["SSL"])
    if there and row.external_ids.get(OWNER) != owner:
        return  # somebody else was faster; the next look says so
    row.private_key = files.private_key
    row.certificate = files.certificate
    row.ca_cert = files.ca_certificate
    row.bootstrap_ca_cert = False
    row.external_ids = {OWNER: owner, KEY: "tls"}
    if not there:
        root(txn.idl).ssl = [row]


def _make_bridge(txn: Transaction, step: MakeBridge, owner: str) -> None:
    if bridge_named(txn.idl, step.name) is not None:
        return
    marks = {OWNER: owner, KEY: f"bridge/{step.name}"}
    interface = txn.insert(txn.idl.tables["Interface"])
    interface.name = step.name
    interface.type = "internal"
    if step.mtu is not None:
        interface.mtu_request = [step.mtu]
    port = txn.insert(txn.idl.tables["Port"])
    port.name = step.name
    port.interfaces = [interface]
    bridge = txn.insert(txn.idl.tables["Bridge"])
    bridge.name = step.name
    bridge.datapath_type = step.datapath
    bridge.fail_mode = [step.fail_mode]
    # Without in-band flows of its own OVS forwards as it is told and nothing else.
    settings = {"disable-in-band": "true"}
    if step.mac is not None:
        settings["hwaddr"] = step.mac
    bridge.other_config = settings
    bridge.external_ids = marks
    bridge.ports = [port]
    root(txn.idl).addvalue("bridges", bridge.uuid)


def _add_uplink(txn: Transaction, bridge: str, device: str, owner: str) -> None:
    if any(spot.interface.name == device and spot.bridge.name == bridge for spot in spots(txn.idl)):
        return
    interface = txn.insert(txn.idl.tables["Interface"])
    interface.name = device
    port = txn.insert(txn.idl.tables["Port"])
    port.name = device
    port.interfaces = [interface]
    port.external_ids = {OWNER: owner, KEY: f"uplink/{device}"}
    # A bridge made in this very transaction is found by name like any other.
    _existing(txn, bridge).addvalue("ports", port.uuid)


def _drop_uplink(txn: Transaction, bridge: str, device: str) -> None:
    for spot in tuple(spots(txn.idl)):
        if spot.interface.name == device and spot.bridge.name == bridge:
            spot.bridge.delvalue("ports", spot.port.uuid)


def _drop_bridge(txn: Transaction, name: str, owner: str) -> None:
    row = bridge_named(txn.idl, name)
    if row is not None and row.external_ids.get(OWNER) == owner:
        root(txn.idl).delvalue("bridges", row.uuid)


def _existing(txn: Transaction, name: str) -> Row:
    row = bridge_named(txn.idl, name)
    if row is None:
        raise RetryableError(f"there is no bridge {name}")
    return row
