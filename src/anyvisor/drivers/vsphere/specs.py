# SPDX-License-Identifier: Apache-2.0
"""What is written into vSphere for a switch or a group of ours. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyvisor.drivers.vsphere import hosts, names
from anyvisor.drivers.vsphere.api import Dvs, vim
from anyvisor.errors import TerminalError
from anyvisor.model.estate import Group, InnerSwitch
from anyvisor.planner.facts.version import parse

_VERSIONS = (
    ("9.0.0", (9, 0, 0)),
    ("8.0.3", (8, 0, 3)),
    ("8.0.0", (8, 0, 0)),
    ("7.0.3", (7, 0, 3)),
    ("7.0.2", (7, 0, 2)),
    ("7.0.0", (7, 0, 0)),
    ("6.6.0", (6, 7, 0)),
    ("6.5.0", (6, 5, 0)),
    ("6.0.0", (6, 0, 0)),
)
"""Versions of distributed switches, each with the oldest ESXi that takes part in one."""
_LEARNS_FROM = (6, 6, 0)
_MAC_LIMIT = 4096
_ACCESS_PORTS, _TRUNK_PORTS = 1, 8
_Portgroup: Any = vim.dvs.DistributedVirtualPortgroup
_Member: Any = vim.dvs.HostMember


def newest_version(host_version: str) -> str | None:
    """The newest distributed switch that a host takes part in; None for one that is too old for any of ours."""
    version = parse(host_version)
    if version is None:
        return None
    return next((switch for switch, oldest in _VERSIONS if version >= oldest), None)


def version_for(switch: InnerSwitch, host_versions: Iterable[str]) -> str:
    """The version to make a switch in: the one asked for, else the newest that its oldest host can.

    Raises:
        TerminalError: a host is too old.
    """
    newest = {version: newest_version(version) for version in host_versions}
    old = [version for version, most in newest.items() if most is None]
    if old:
        raise TerminalError(f"{switch.name}: ESXi {old[0]} takes part in no distributed switch of ours")
    able = min((parse(most or "") or (0, 0, 0) for most in newest.values()), default=(0, 0, 0))
    wanted = switch.version or ".".join(map(str, able))
    if (parse(wanted) or (0, 0, 0)) > able:
        oldest = min(newest, key=lambda version: parse(version) or (0, 0, 0))
        raise TerminalError(
            f"{switch.name}: ESXi {oldest} is too old for a distributed switch of version {wanted}"
        )
    return wanted


def learns(version: str) -> bool:
    """Whether a distributed switch of that version can learn MAC addresses."""
    return (parse(version) or (0, 0, 0)) >= _LEARNS_FROM


def switch_spec(owner: str, switch: InnerSwitch, version: str) -> Any:
    """A new distributed switch, without hosts and without a wire."""
    config = Dvs.ConfigSpec(
        name=switch.name,
        description=names.mark(owner, names.SWITCH_KEY),
        numStandalonePorts=0,
        maxMtu=switch.mtu,
        uplinkPortPolicy=vim.DistributedVirtualSwitch.NameArrayUplinkPortPolicy(uplinkPortName=["unused"]),
    )
    product = vim.dvs.ProductSpec(version=version)
    return vim.DistributedVirtualSwitch.CreateSpec(configSpec=config, productInfo=product)


def member_spec(operation: str, host: Any) -> Any:
    """A host joins (without a NIC) or leaves."""
    backing = _Member.PnicBacking(pnicSpec=[]) if operation == "add" else None
    return _Member.ConfigSpec(operation=operation, host=host, backing=backing)


def group_spec(owner: str, group: Group, *, can_learn: bool) -> Any:
    """A new distributed group."""
    policy = Dvs.VMwarePortgroupPolicy(
        blockOverrideAllowed=True,
        shapingOverrideAllowed=False,
        vendorConfigOverrideAllowed=False,
        livePortMovingAllowed=False,
        portConfigResetAtDisconnect=True,
        vlanOverrideAllowed=False,
        uplinkTeamingOverrideAllowed=False,
        securityPolicyOverrideAllowed=False,
    )
    return _Portgroup.ConfigSpec(
        name=group.name,
        description=names.mark(owner, group.key),
        type="earlyBinding",
        numPorts=_TRUNK_PORTS if group.trunk else _ACCESS_PORTS,
        autoExpand=True,
        policy=policy,
        defaultPortConfig=_setting(Dvs.VmwarePortConfigPolicy(), group, can_learn=can_learn),
    )


def changed_group_spec(owner: str, group: Group, config: Any, *, can_learn: bool) -> Any:
    """All of an existing group, with what is ours to say of it as `group` has it."""
    note = (config.description or "").partition("\n")[2]
    mark = names.mark(owner, group.key)
    return _Portgroup.ConfigSpec(
        configVersion=config.configVersion,
        name=config.name,
        description=f"{mark}\n{note}" if note else mark,
        type=config.type,
        numPorts=config.numPorts,
        autoExpand=config.autoExpand,
        portNameFormat=config.portNameFormat,
        policy=config.policy,
        scope=config.scope,
        defaultPortConfig=_setting(config.defaultPortConfig, group, can_learn=can_learn),
    )


def _setting(setting: Any, group: Group, *, can_learn: bool) -> Any:
    setting.vlan = _vlan(group)
    if can_learn:
        # The older policy says the same in older words; both at once could contradict each other.
        setting.securityPolicy = None
        setting.macManagementPolicy = _mac_management(group)
    else:
        setting.securityPolicy = Dvs.SecurityPolicy(
            inherited=False,
            allowPromiscuous=_yes(group.promiscuous),
            macChanges=_yes(False),
            forgedTransmits=_yes(group.forged_transmits),
        )
    return setting


def _vlan(group: Group) -> Any:
    if group.trunk:
        return Dvs.TrunkVlanSpec(inherited=False, vlanId=[vim.NumericRange(start=1, end=4094)])
    return Dvs.VlanIdSpec(inherited=False, vlanId=group.vlan)


def _mac_management(group: Group) -> Any:
    learning = Dvs.MacLearningPolicy(
        inherited=False,
        enabled=group.mac_learning,
        allowUnicastFlooding=True,
        limit=_MAC_LIMIT,
        limitPolicy="drop",
    )
    return Dvs.MacManagementPolicy(
        inherited=False,
        allowPromiscuous=group.promiscuous,
        macChanges=False,
        forgedTransmits=group.forged_transmits,
        macLearningPolicy=learning,
    )


def _yes(value: bool) -> Any:  # noqa: FBT001 - vSphere's own words
    return vim.BoolPolicy(inherited=False, value=value)


def standard_switch_spec(mtu: int) -> Any:
    """A new standard switch without a wire, that lets nothing through but its VMs' own frames."""
    security = vim.host.NetworkPolicy.SecurityPolicy(
        allowPromiscuous=False, macChanges=False, forgedTransmits=False
    )
    return vim.host.VirtualSwitch.Specification(
        numPorts=128, mtu=mtu, policy=vim.host.NetworkPolicy(security=security)
    )


def standard_group_spec(group: Group, native: str, switch: str) -> Any:
    """A group on a standard switch; the one there is replaced by it."""
    security = vim.host.NetworkPolicy.SecurityPolicy(
        allowPromiscuous=group.promiscuous, macChanges=False, forgedTransmits=group.forged_transmits
    )
    return vim.host.PortGroup.Specification(
        name=native,
        vlanId=hosts.TRUNK_VLAN if group.trunk else group.vlan,
        vswitchName=switch,
        policy=vim.host.NetworkPolicy(security=security),
    )


def at_least(version: str, wanted: str) -> bool:
    """Whether a version is that one or a newer."""
    return (parse(version) or (0, 0, 0)) >= (parse(wanted) or (0, 0, 0))
