# SPDX-License-Identifier: Apache-2.0
"""What is written into vSphere for a switch or a group of ours. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyvisor.drivers.vsphere import hosts, names
from anyvisor.drivers.vsphere.api import Dvs, vim
from anyvisor.errors import TerminalError
from anyvisor.model.estate import Group, InnerSwitch
from anyvisor.planner.facts import vds
from anyvisor.planner.facts.version import parse

_MAC_LIMIT = 4096
_ACCESS_PORTS, _TRUNK_PORTS = 1, 8
_Portgroup: Any = vim.dvs.DistributedVirtualPortgroup
_Member: Any = vim.dvs.HostMember


def version_for(switch: InnerSwitch, versions: Iterable[str]) -> str:
    """The version to make a switch in: the one asked for, checked against what hosts and vCenter can. Where none is
    asked for, because the planner does not know those, the newest that the oldest can.

    Raises:
        TerminalError: a host, or the vCenter, is too old.
    """
    listed = tuple(versions)
    old = [version for version in listed if vds.newest_version(version) is None]
    if old:
        raise TerminalError(f"{switch.name}: ESXi {old[0]} takes part in no distributed switch of ours")
    able = vds.common_version(listed)
    wanted = switch.version or able
    if able is None or wanted is None or not vds.at_least(able, wanted):
        oldest = min(listed, key=lambda version: parse(version) or (0, 0, 0), default="")
        raise TerminalError(
            f"{switch.name}: ESXi {oldest} is too old for a distributed switch of version {wanted}"
        )
    return wanted


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
