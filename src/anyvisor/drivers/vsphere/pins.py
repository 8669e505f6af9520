# SPDX-License-Identifier: Apache-2.0
"""Keeping an appliance on its host and bringing it back with it: rules of a cluster, autostart of a lone host."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from anyvisor.drivers.vsphere import store
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.hosts import key_of, started
from anyvisor.drivers.vsphere.picture import Picture
from anyvisor.drivers.vsphere.pinned import FIRST, PinNames, cluster_pins, pin_names
from anyvisor.drivers.vsphere.records import HostRecord, VmRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import TerminalError

log = logging.getLogger(__name__)


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
            work.picture.cannot_pin(cluster)


def unpin(work: Work, vm: VmRecord) -> None:
    """Take back what `pin` did. What was said of the VM alone goes with it, by vCenter's own doing."""
    host = work.picture.hosts[vm.host]
    if work.picture.in_cluster(host):
        work.run([_cluster_job(work, host.parent, [], [vm])])


def _drs_works(opened: Open, cluster: str) -> bool:
    found = properties(opened, vim.ClusterComputeResource, [cluster], (store.CONFIG,)).get(cluster, {})
    config = found.get(store.CONFIG)
    return config is not None and bool(getattr(config.drsConfig, "enabled", False))


def _cluster_job(work: Work, cluster: str, come: Sequence[VmRecord], go: Sequence[VmRecord]) -> Job:
    picture, owner = work.picture, work.owner

    def start(opened: Open) -> Any:
        config = properties(opened, vim.ClusterComputeResource, [cluster], (store.CONFIG,))[cluster][
            store.CONFIG
        ]
        spec = vim.cluster.ConfigSpecEx(groupSpec=[], rulesSpec=[], drsVmConfigSpec=[], dasVmConfigSpec=[])
        by_host: defaultdict[str, list[VmRecord]] = defaultdict(list)
        for vm in (*come, *go):
            by_host[vm.host].append(vm)
        for host in by_host:
            wanted = _wanted(picture, owner, picture.hosts[host], config, come, go)
            _say_of_host(opened, owner, picture.hosts[host], config, spec, wanted)
        for vm in come:
            _say_of_vm(opened, vm, config, spec)
        said = spec.groupSpec or spec.rulesSpec or spec.drsVmConfigSpec or spec.dasVmConfigSpec
        if not said:
            return None
        return opened.object(vim.ClusterComputeResource, cluster).ReconfigureComputeResource_Task(spec, True)

    return Job("pinning appliances to their hosts", start)


def _wanted(
    picture: Picture,
    owner: str,
    host: HostRecord,
    config: Any,
    come: Iterable[VmRecord],
    go: Iterable[VmRecord],
) -> frozenset[str]:
    """The VMs that are to be in the group of a host. One that somebody deleted is no longer in it."""
    held = cluster_pins(config).vms.get(pin_names(owner, host.name).vms, frozenset())
    wanted = held & picture.vms.keys() | {vm.key for vm in come if vm.host == host.key}
    return frozenset(wanted - {vm.key for vm in go})


def _say_of_host(
    opened: Open, owner: str, host: HostRecord, config: Any, spec: Any, wanted: frozenset[str]
) -> None:
    """The two groups of a host and the rule between them, as far as they differ; they go with the last appliance."""
    called = pin_names(owner, host.name)
    groups = {group.name: group for group in config.group or ()}
    rule = next((rule for rule in config.rule or () if rule.name == called.rule), None)
    if not wanted:
        _remove_pin(called, groups, rule, spec)
        return
    pins = cluster_pins(config)
    if pins.vms.get(called.vms) != wanted:
        vms = [opened.object(vim.VirtualMachine, key) for key in sorted(wanted)]
        _group(vim.cluster.VmGroup(name=called.vms, vm=vms), groups, spec)
    if pins.hosts.get(called.hosts) != frozenset({host.key}):
        hosts = [opened.object(vim.HostSystem, host.key)]
        _group(vim.cluster.HostGroup(name=called.hosts, host=hosts), groups, spec)
    if pins.rules.get(called.rule) != (called.vms, called.hosts):
        must = vim.cluster.VmHostRuleInfo(
            name=called.rule,
            enabled=True,
            mandatory=True,
            vmGroupName=called.vms,
            affineHostGroupName=called.hosts,
        )
        if rule is not None:
            must.key = rule.key
        operation = "add" if rule is None else "edit"
        spec.rulesSpec.append(vim.cluster.RuleSpec(operation=operation, info=must))


def _group(info: Any, groups: Mapping[str, Any], spec: Any) -> None:
    operation = "edit" if info.name in groups else "add"
    spec.groupSpec.append(vim.cluster.GroupSpec(operation=operation, info=info))


def _remove_pin(called: PinNames, groups: Mapping[str, Any], rule: Any, spec: Any) -> None:
    if rule is not None:
        spec.rulesSpec.append(vim.cluster.RuleSpec(operation="remove", removeKey=rule.key))
    for name in (called.vms, called.hosts):
        if name in groups:
            spec.groupSpec.append(vim.cluster.GroupSpec(operation="remove", removeKey=name))


def _say_of_vm(opened: Open, vm: VmRecord, config: Any, spec: Any) -> None:
    machine = opened.object(vim.VirtualMachine, vm.key)
    drs = {str(key_of(each.key)): each for each in config.drsVmConfig or ()}
    if vm.key not in drs or drs[vm.key].enabled is not False:
        info = vim.cluster.DrsVmConfigInfo(key=machine, enabled=False)
        operation = "edit" if vm.key in drs else "add"
        spec.drsVmConfigSpec.append(vim.cluster.DrsVmConfigSpec(operation=operation, info=info))
    das = {str(key_of(each.key)): each for each in config.dasVmConfig or ()}
    priority = getattr(getattr(das.get(vm.key), "dasSettings", None), "restartPriority", None)
    if str(priority) not in FIRST:
        settings = vim.cluster.DasVmSettings(restartPriority="highest")
        info = vim.cluster.DasVmConfigInfo(key=machine, dasSettings=settings)
        operation = "edit" if vm.key in das else "add"
        spec.dasVmConfigSpec.append(vim.cluster.DasVmConfigSpec(operation=operation, info=info))


def _autostart_job(host: HostRecord, vm: VmRecord) -> Job:
    manager = vim.host.AutoStartManager

    def start(opened: Open) -> None:
        found = properties(opened, manager, [host.autostart or ""], ("config",)).get(host.autostart or "", {})
        config = found.get("config")
        if vm.key in started(config):
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
