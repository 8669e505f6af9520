# SPDX-License-Identifier: Apache-2.0
"""Putting devices into bridges and taking them out, inside a transaction."""

from __future__ import annotations

from collections.abc import Mapping

from anyvisor.drivers.openvswitch.rows import (
    ADOPTED,
    KEY,
    OWNER,
    Spot,
    bridge_named,
    far_end,
    far_key,
    marks_for,
    plug_at,
    port_of,
    spots,
)
from anyvisor.errors import ForeignObjectError, RetryableError
from anyvisor.model.attachment import Plug, Unplug
from anyvisor.ovsdb.connection import Row, Transaction
from anyvisor.planner.plugs import pair_names

_NO_FRAMES_VLAN = 4095
"""Where flows alone say what passes, a port is on this VLAN, which no frame is (IEEE 802.1Q)."""


def plug(txn: Transaction, step: Plug, owner: str) -> None:
    """Make `step` true. A device that another device of ours stands for is put out first.

    Raises:
        ForeignObjectError: somebody else plugged the device, and not for this vNIC.
        RetryableError: the bridge is not there (yet).
    """
    for spot in tuple(spots(txn.idl)):
        if port_of(spot.marks, owner) == step.port and spot.interface.name != step.device:
            _leave(spot)
    if step.trunk is not None:
        _plug_pair(txn, step, step.trunk, owner)
        return
    there = next((spot for spot in spots(txn.idl) if spot.interface.name == step.device), None)
    if there is not None and _may_stay(there, step, owner):
        _bind(there.port, there.interface, step, owner)
        return
    if there is not None:
        _leave(there)
    bridge = bridge_named(txn.idl, step.bridge)
    if bridge is None:
        raise RetryableError(f"there is no bridge {step.bridge}")
    interface = txn.insert(txn.idl.tables["Interface"])
    interface.name = step.device
    port = txn.insert(txn.idl.tables["Port"])
    port.name = step.device
    port.interfaces = [interface]
    bridge.addvalue("ports", port.uuid)
    interface.external_ids = marks_for(step, owner)
    port.tag = [step.vlan] if step.vlan is not None else []


def unplug(txn: Transaction, step: Unplug, owner: str) -> None:
    """Make `step` true. A device that is no longer there, or no longer ours, is left as it is."""
    for spot in tuple(spots(txn.idl)):
        if spot.interface.name == step.device and port_of(spot.marks, owner) == step.port:
            far = far_end(txn.idl, spot)
            _leave(spot)
            if far is not None and far.marks.get(OWNER) == owner:
                _leave(far)


def _plug_pair(txn: Transaction, step: Plug, trunk: str, owner: str) -> None:
    """Both ends anew, unless they stand as they should: half a pair, or one with another VLAN, is never kept."""
    near_name, far_name = step.device, pair_names(step.port)[1]
    there = {spot.interface.name: spot for spot in spots(txn.idl)}
    near, far = there.get(near_name), there.get(far_name)
    if near is not None and far is not None and plug_at(near, step.port, far) == step:
        return
    for spot in (near, far):
        if spot is not None:
            if spot.marks.get(OWNER) != owner:
                raise ForeignObjectError(f"{spot.interface.name} in {spot.bridge.name} is somebody else's")
            _leave(spot)
    port = _add_end(txn, trunk, far_name, near_name, {OWNER: owner, KEY: far_key(step.port)})
    port.tag = [step.vlan] if step.vlan is not None else []
    port.vlan_mode = ["trunk" if step.steered else "access"] if step.vlan is not None else []
    port.trunks = [_NO_FRAMES_VLAN] if step.steered else []
    _add_end(txn, step.bridge, near_name, far_name, marks_for(step, owner))


def _add_end(txn: Transaction, bridge_name: str, name: str, peer: str, marks: Mapping[str, str]) -> Row:
    bridge = bridge_named(txn.idl, bridge_name)
    if bridge is None:
        raise RetryableError(f"there is no bridge {bridge_name}")
    interface = txn.insert(txn.idl.tables["Interface"])
    interface.name = name
    interface.type = "patch"
    interface.options = {"peer": peer}
    interface.external_ids = dict(marks)
    port = txn.insert(txn.idl.tables["Port"])
    port.name = name
    port.interfaces = [interface]
    bridge.addvalue("ports", port.uuid)
    return port


def _may_stay(spot: Spot, step: Plug, owner: str) -> bool:
    marks = spot.marks
    ours = port_of(marks, owner) is not None
    # The guest's MAC tells whose device it is: what libvirt plugged for this very vNIC is bound, not plugged anew.
    same_vnic = step.mac is not None and marks.get("attached-mac", "").lower() == step.mac
    # A binding that was cut short between two writes of somebody else's carries our port's identity already.
    same_port = step.iface_id is not None and marks.get("iface-id") == step.iface_id
    other_owner = marks.get(OWNER) not in {None, owner}
    if not ours and (other_owner or not (same_vnic or same_port)):
        raise ForeignObjectError(
            f"{step.device} is in {spot.bridge.name} for somebody else"
            f" (iface-id {marks.get('iface-id', 'none')}, MAC {marks.get('attached-mac', 'unknown')})",
            hint=f"ovs-vsctl del-port {step.device} hands it over",
        )
    if spot.bridge.name == step.bridge:
        return True
    if not ours or ADOPTED in marks:
        raise ForeignObjectError(
            f"{step.device} was plugged into {spot.bridge.name} by its hypervisor, not into {step.bridge}",
            hint=f"let the VM's definition name {step.bridge}",
        )
    return False


def _bind(port: Row, interface: Row, step: Plug, owner: str) -> None:
    marks = dict(interface.external_ids)
    if marks.get(OWNER) != owner:
        interface.setkey("external_ids", ADOPTED, marks.get("iface-id", ""))
    for key, value in marks_for(step, owner).items():
        if marks.get(key) != value:
            interface.setkey("external_ids", key, value)
    tag = [step.vlan] if step.vlan is not None else []
    if list(port.tag) != tag:
        port.tag = tag


def _leave(spot: Spot) -> None:
    marks = spot.marks
    if ADOPTED not in marks:
        spot.bridge.delvalue("ports", spot.port.uuid)
        return
    for key in (OWNER, KEY, ADOPTED):
        spot.interface.delkey("external_ids", key)
    before = marks[ADOPTED]
    if before:
        spot.interface.setkey("external_ids", "iface-id", before)
    else:
        spot.interface.delkey("external_ids", "iface-id")
