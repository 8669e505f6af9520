# SPDX-License-Identifier: Apache-2.0
"""Distributed switches and port groups, from what vSphere reports of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.api import Dvs
from anyvisor.drivers.vsphere.hosts import key_of, plain
from anyvisor.drivers.vsphere.records import GroupRecord, SwitchRecord

PATHS = ("config",)
_ALL_FROM, _ALL_TO = 1, 4094


def switch_record(key: str, values: Mapping[str, Any], owner: str) -> SwitchRecord | None:
    """One distributed switch; None while it is being made."""
    config = values.get("config")
    if config is None:
        return None
    members = {}
    for member in config.host or ():
        host = key_of(member.config.host)
        if host is not None:
            specs = getattr(member.config.backing, "pnicSpec", None) or ()
            members[host] = tuple(spec.pnicDevice for spec in specs)
    return SwitchRecord(
        key=key,
        uuid=config.uuid,
        name=plain(config.name),
        version=getattr(config.productInfo, "version", "") or "",
        mtu=getattr(config, "maxMtu", 0) or 0,
        members=members,
        mark=names.marked_key(owner, config.description),
        offload=(getattr(config, "networkOffloadSpecId", "") or "None") != "None",
    )


def group_record(key: str, values: Mapping[str, Any], owner: str) -> GroupRecord | None:
    """One distributed port group; None while it is being made."""
    config = values.get("config")
    if config is None:
        return None
    setting = config.defaultPortConfig
    vlan, trunk = vlan_of(getattr(setting, "vlan", None))
    learning, promiscuous, forged = security_of(setting)
    name = plain(config.name)
    nsx = getattr(config, "backingType", None) == "nsx"
    return GroupRecord(
        key=key,
        name=name,
        switch=key_of(config.distributedVirtualSwitch) or "",
        mark=names.segment_key(owner, name) if nsx else names.marked_key(owner, config.description),
        nsx=nsx,
        uplink=bool(getattr(config, "uplink", False)),
        vlan=vlan,
        trunk=trunk,
        mac_learning=learning,
        promiscuous=promiscuous,
        forged_transmits=forged,
    )


def vlan_of(spec: Any) -> tuple[int | None, bool]:
    """(VLAN, whether it is a trunk of all VLANs)."""
    if isinstance(spec, Dvs.VlanIdSpec):
        return spec.vlanId, False
    if isinstance(spec, Dvs.TrunkVlanSpec):
        ranges = [(item.start, item.end) for item in spec.vlanId or ()]
        return None, any(start <= _ALL_FROM and end >= _ALL_TO for start, end in ranges)
    return None, False


def security_of(setting: Any) -> tuple[bool, bool, bool]:
    """(learns MAC addresses, promiscuous, forged transmits). The newer of two policies decides where it is there."""
    older = getattr(setting, "securityPolicy", None)
    newer = getattr(setting, "macManagementPolicy", None)
    learning = getattr(newer, "macLearningPolicy", None)
    return (
        bool(getattr(learning, "enabled", False)),
        _allowed(getattr(newer, "allowPromiscuous", None), getattr(older, "allowPromiscuous", None)),
        _allowed(getattr(newer, "forgedTransmits", None), getattr(older, "forgedTransmits", None)),
    )


def _allowed(newer: bool | None, older: Any) -> bool:  # noqa: FBT001 - a property as vSphere has it
    return bool(newer) if newer is not None else bool(getattr(older, "value", False))
