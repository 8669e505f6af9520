# SPDX-License-Identifier: Apache-2.0
"""Keeping an appliance on its host and bringing it back with it: rules of a cluster, autostart of a lone host."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from anyvisor.drivers.vsphere import names
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.hosts import key_of
from anyvisor.drivers.vsphere.records import HostRecord, VmRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import TerminalError

log = logging.getLogger(__name__)

_CONFIG = "configurationEx"


def pin(work: Work, vms: Sequence[VmRecord]) -> None:
    """In a cluster: must run on this host, is not moved, is restarted first. On a lone host: starts with it."""
    clusters: defaultdict[str, list[VmRecord]] = defaultdict(list)
    for vm in vms:
        host = work.picture.hosts[vm.host]
        if work.picture.in_cluster(host):
            clusters[host.parent].append(vm)
        elif host.autostart is not None:
            work.run([_autostart_job(host, vm)])
    for cluster, listed in clusters.items():
        try:
            work.run([_cluster_job(work, cluster, listed, [])])
        except TerminalError as error:
            if work.session.read(partial(_drs_works, cluster=cluster)):
                raise
            # Without DRS nothing moves it but people and HA; both put up with a VM that is not pinned.
            log.warning("%s: appliances could not be pinned: %s", work.session.name, error)


def unpin(work: Work, vm: VmRecord) -> None:
    """Take back what `pin` did. What was said of the VM alone goes with it, by vCenter's own doing."""
    host = work.picture.hosts[vm.host]
    if work.picture.in_cluster(host):
        work.run([_cluster_job(work, host.parent, [], [vm])])


def _drs_works(opened: Open, cluster: str) -> bool:
    found = properties(opened, vim.ClusterComputeResource, [cluster], (_CONFIG,)).get(cluster, {})
    config = found.get(_CONFIG)
    return config is not None and bool(getattr(config.drsConfig, "enabled", False))


def _cluster_job(work: Work, cluster: str, come: Sequence[VmRecord], go: Sequence[VmRecord]) -> Job:
    picture, owner = work.picture, work.owner

    def start(opened: Open) -> Any:
        config = properties(opened, vim.ClusterComputeResource, [cluster], (_CONFIG,))[cluster][_CONFIG]
        spec = vim.cluster.ConfigSpecEx(groupSpec=[], rulesSpec=[], drsVmConfigSpec=[], dasVmConfigSpec=[])
        by_host: defaultdict[str, list[VmRecord]] = defaultdict(list)
        for vm in (*come, *go):
            by_host[vm.host].append(vm)
        for host in by_host:
            _say_of_host(opened, owner, picture.hosts[host], config, spec, come, go)
        for vm in come:
            _say_of_vm(opened, vm, config, spec)
        said = spec.groupSpec or spec.rulesSpec or spec.drsVmConfigSpec or spec.dasVmConfigSpec
        if not said:
            return None
        return opened.object(vim.ClusterComputeResource, cluster).ReconfigureComputeResource_Task(spec, True)

    return Job("pinning appliances to their hosts", start)


def _say_of_host(
    opened: Open,
    owner: str,
    host: HostRecord,
    config: Any,
    spec: Any,
    come: Iterable[VmRecord],
    go: Iterable[VmRecord],
) -> None:
    """The two groups of a host and the rule between them; they go with the last appliance."""
    name = f"{names.prefix(owner)}-{host.name}"
    groups = {group.name: group for group in config.group or ()}
    vm_group = groups.get(f"{name}-appliances")
    held = {str(key_of(vm)) for vm in (vm_group.vm if vm_group is not None else None) or ()}
    wanted = (held | {vm.key for vm in come if vm.host == host.key}) - {
        vm.key for vm in go if vm.host == host.key
    }
    rule = next((rule for rule in config.rule or () if rule.name == f"{name}-pin"), None)
    if not wanted:
        _remove_pin(name, groups, rule, spec)
        return
    if wanted != held:
        vms = [opened.object(vim.VirtualMachine, key) for key in sorted(wanted)]
        info = vim.cluster.VmGroup(name=f"{name}-appliances", vm=vms)
        operation = "edit" if vm_group is not None else "add"
        spec.groupSpec.append(vim.cluster.GroupSpec(operation=operation, info=info))
    if f"{name}-host" not in groups:
        info = vim.cluster.HostGroup(name=f"{name}-host", host=[opened.object(vim.HostSystem, host.key)])
        spec.groupSpec.append(vim.cluster.GroupSpec(operation="add", info=info))
    if rule is None:
        pin_rule = vim.cluster.VmHostRuleInfo(
            name=f"{name}-pin",
            enabled=True,
            mandatory=True,
            vmGroupName=f"{name}-appliances",
            affineHostGroupName=f"{name}-host",
        )
        spec.rulesSpec.append(vim.cluster.RuleSpec(operation="add", info=pin_rule))


def _remove_pin(name: str, groups: dict[str, Any], rule: Any, spec: Any) -> None:
    if rule is not None:
        spec.rulesSpec.append(vim.cluster.RuleSpec(operation="remove", removeKey=rule.key))
    for part in ("appliances", "host"):
        if f"{name}-{part}" in groups:
            spec.groupSpec.append(vim.cluster.GroupSpec(operation="remove", removeKey=f"{name}-{part}"))


def _say_of_vm(opened: Open, vm: VmRecord, config: Any, spec: Any) -> None:
    machine = opened.object(vim.VirtualMachine, vm.key)
    drs = {str(key_of(each.key)): each for each in config.drsVmConfig or ()}
    if vm.key not in drs or drs[vm.key].enabled is not False:
        info = vim.cluster.DrsVmConfigInfo(key=machine, enabled=False)
        operation = "edit" if vm.key in drs else "add"
        spec.drsVmConfigSpec.append(vim.cluster.DrsVmConfigSpec(operation=operation, info=info))
    das = {str(key_of(each.key)): each for each in config.dasVmConfig or ()}
    priority = getattr(getattr(das.get(vm.key), "dasSettings", None), "restartPriority", None)
    if str(priority) != "highest":
        settings = vim.cluster.DasVmSettings(restartPriority="highest")
        info = vim.cluster.DasVmConfigInfo(key=machine, dasSettings=settings)
        operation = "edit" if vm.key in das else "add"
        spec.dasVmConfigSpec.append(vim.cluster.DasVmConfigSpec(operation=operation, info=info))


def _autostart_job(host: HostRecord, vm: VmRecord) -> Job:
    manager = vim.host.AutoStartManager

    def start(opened: Open) -> None:
        found = properties(opened, manager, [host.autostart or ""], ("config",)).get(host.autostart or "", {})
        config = found.get("config")
        if config is not None and vm.key in _started(config) and getattr(config.defaults, "enabled", False):
            return
        info = manager.AutoPowerInfo(
            key=opened.object(vim.VirtualMachine, vm.key),
            startOrder=1,
            startDelay=0,
            waitForHeartbeat="no",
            startAction="powerOn",
            stopDelay=-1,
            stopAction="systemDefault",
        )
        spec = manager.Config(defaults=manager.SystemDefaults(enabled=True), powerInfo=[info])
        opened.object(manager, host.autostart or "").ReconfigureAutostart(spec)

    return Job(f"letting {vm.name} start with {host.name}", start)


def _started(config: Any) -> set[str]:
    return {str(key_of(info.key)) for info in config.powerInfo or () if info.startAction == "powerOn"}
