# SPDX-License-Identifier: Apache-2.0
"""Making, changing and removing port groups of ours, many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from anyvisor.drivers.vsphere import lookup, names, specs
from anyvisor.drivers.vsphere.api import Dvs, vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.records import GroupRecord, HostRecord, SwitchRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.switches import network_system
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import AnyvisorError, ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import DropGroup, Group, MakeGroup
from anyvisor.planner.facts import vds

_Portgroup: Any = vim.dvs.DistributedVirtualPortgroup
_GROUPS_AT_ONCE = 250
"""A task makes all of its groups or none, and takes the longer the more they are."""


def make_groups(work: Work, steps: Sequence[MakeGroup]) -> None:
    """Those before one that is refused are made."""
    groups, refusal = _admitted(work, [step.group for step in steps])
    new: defaultdict[str, list[Group]] = defaultdict(list)
    jobs: list[Job] = []
    for group in groups:
        if group.host is not None:
            jobs.extend(_standard_job(work, group, lookup.host_named(work.picture, group.host)))
            continue
        switch = _switch(work, group)
        there = lookup.group_on(work.picture, switch, group.name)
        if there is None:
            new[switch.key].append(group)
        elif work.picture.shown_group(there.key) != group:
            jobs.append(_change_job(work, switch, there, group))
    for key, listed in new.items():
        for start in range(0, len(listed), _GROUPS_AT_ONCE):
            _add(work, work.picture.switches[key], listed[start : start + _GROUPS_AT_ONCE])
    work.run(jobs)
    if refusal is not None:
        raise refusal


def _admitted(work: Work, groups: Iterable[Group]) -> tuple[list[Group], AnyvisorError | None]:
    admitted: list[Group] = []
    for group in groups:
        try:
            _check(work, group)
        except AnyvisorError as error:
            return admitted, error
        admitted.append(group)
    return admitted, None


def _check(work: Work, group: Group) -> None:
    if group.entity:
        raise TerminalError(f"{group.name}: NSX makes and changes its segments itself")
    if (group.vlan is None) is not group.trunk:
        raise TerminalError(f"{group.name}: a group is a trunk or has a VLAN")
    if group.host is not None:
        host = lookup.host_named(work.picture, group.host)
        if lookup.native_switch(work.picture, host, group.switch) is None:
            raise RetryableError(f"{host.name} has no switch {group.switch} for {group.name}")
        if group.name in host.groups and names.read_standard_group(work.owner, group.name) is None:
            raise ForeignObjectError(f"{host.name} has a group {group.name} that is not ours")
        if group.mac_learning:
            raise TerminalError(f"{group.name}: a standard switch cannot learn MAC addresses")
        return
    switch = _switch(work, group)
    if group.mac_learning and not vds.learns(switch.version):
        raise TerminalError(f"{group.name}: {switch.name} ({switch.version}) cannot learn MAC addresses")
    for there in lookup.groups_named(work.picture, group.name):
        if there.mark is None or there.switch != switch.key:
            raise ForeignObjectError(f"there is a group {group.name} already, on {_of(work, there)}")


def _of(work: Work, group: GroupRecord) -> str:
    switch = work.picture.switches.get(group.switch)
    return "another switch" if switch is None else switch.name


def _switch(work: Work, group: Group) -> SwitchRecord:
    switch = lookup.switch_named(work.picture, group.switch)
    if switch is None:
        raise RetryableError(f"there is no distributed switch {group.switch} for {group.name}")
    return switch


# --- distributed ------------------------------------------------------------------------------------------------------


def _add(work: Work, switch: SwitchRecord, groups: list[Group]) -> None:
    """All in one task. If that is refused for a name, one by one, so that those before it are made."""
    try:
        work.run([_add_job(work, switch, groups)])
    except ForeignObjectError:
        work.refresh()
        for group in groups:
            there = lookup.group_on(work.picture, switch, group.name)
            if there is None:
                work.run([_add_job(work, switch, [group])])
            elif there.mark is None:
                raise
            else:  # made by a call whose answer was lost
                work.run([_change_job(work, switch, there, group)])


def _add_job(work: Work, switch: SwitchRecord, groups: list[Group]) -> Job:
    can_learn = vds.learns(switch.version)
    listed = [specs.group_spec(work.owner, group, can_learn=can_learn) for group in groups]
    more = f" and {len(groups) - 1} more" if len(groups) > 1 else ""
    return Job(
        f"making the group {groups[0].name}{more} on {switch.name}",
        lambda opened: opened.object(Dvs, switch.key).AddDVPortgroup_Task(listed),
    )


def _change_job(work: Work, switch: SwitchRecord, there: GroupRecord, group: Group) -> Job:
    owner = work.owner

    def start(opened: Open) -> Any:
        config = properties(opened, _Portgroup, [there.key], ("config",)).get(there.key, {}).get("config")
        if config is None:
            raise RetryableError(f"the group {group.name} on {switch.name} is gone")
        if names.marked_key(owner, config.description) is None:
            raise ForeignObjectError(f"the group {group.name} on {switch.name} is not ours any more")
        spec = specs.changed_group_spec(owner, group, config, can_learn=vds.learns(switch.version))
        return opened.object(_Portgroup, there.key).ReconfigureDVPortgroup_Task(spec)

    return Job(f"changing the group {group.name} on {switch.name}", start)


def drop_groups(work: Work, steps: Sequence[DropGroup]) -> None:
    """Those before one that is refused are removed."""
    jobs: list[Job] = []
    refusal: AnyvisorError | None = None
    for step in steps:
        try:
            jobs.extend(_drop_jobs(work, step))
        except AnyvisorError as error:
            refusal = error
            break
    work.run(jobs)
    if refusal is not None:
        raise refusal


def _drop_jobs(work: Work, step: DropGroup) -> list[Job]:
    if step.host is not None:
        return _drop_standard(work, step, lookup.host_named(work.picture, step.host))
    switch = lookup.switch_named(work.picture, step.switch)
    there = lookup.group_on(work.picture, switch, step.name) if switch is not None else None
    if there is None:
        return []
    if there.mark is None or there.nsx:
        raise ForeignObjectError(f"{step.name} on {step.switch} is not ours to remove")
    if users := lookup.users(work.picture, there):
        raise RetryableError(f"{step.name} on {step.switch} is in use by VM {users[0].name}")
    key = there.key
    return [
        Job(
            f"removing the group {step.name} from {step.switch}",
            lambda opened: opened.object(_Portgroup, key).Destroy_Task(),
        )
    ]


# --- standard ---------------------------------------------------------------------------------------------------------


def _standard_job(work: Work, group: Group, host: HostRecord) -> list[Job]:
    native = names.standard_group(work.owner, group.name, group.key)
    switch = lookup.native_switch(work.picture, host, group.switch) or ""
    old = lookup.native_group(work.picture, host, group.switch, group.name) or native
    if old in host.groups and work.picture.estate().groups.get(group.identity) == group:
        return []
    spec = specs.standard_group_spec(group, native, switch)

    def start(opened: Open) -> None:
        system = network_system(opened, host)
        if _has_group(opened, host, native):
            system.UpdatePortGroup(native, spec)
        elif _has_group(opened, host, old):
            system.UpdatePortGroup(old, spec)
        else:
            system.AddPortGroup(spec)

    return [Job(f"making the group {native} on {host.name}", start)]


def _drop_standard(work: Work, step: DropGroup, host: HostRecord) -> list[Job]:
    native = lookup.native_group(work.picture, host, step.switch, step.name)
    if native is None:
        if step.name in host.groups:
            raise ForeignObjectError(f"{step.name} on {host.name} is not ours")
        return []
    if users := lookup.standard_users(work.picture, host, native):
        raise RetryableError(f"{step.name} on {host.name} is in use by VM {users[0].name}")

    def start(opened: Open) -> None:
        if _has_group(opened, host, native):
            network_system(opened, host).RemovePortGroup(native)

    return [Job(f"removing the group {native} from {host.name}", start)]


def _has_group(opened: Open, host: HostRecord, native: str) -> bool:
    path = "config.network.portgroup"
    found = properties(opened, vim.HostSystem, [host.key], (path,)).get(host.key, {})
    return any(group.spec.name == native for group in found.get(path, ()))
