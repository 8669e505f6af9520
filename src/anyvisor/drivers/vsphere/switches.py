# SPDX-License-Identifier: Apache-2.0
"""Making and removing inner switches: distributed ones, and each host's own."""

from __future__ import annotations

from typing import Any

from anyvisor.drivers.vsphere import lookup, names, specs
from anyvisor.drivers.vsphere.api import Dvs, vim
from anyvisor.drivers.vsphere.collector import properties
from anyvisor.drivers.vsphere.folders import datacenter_folder
from anyvisor.drivers.vsphere.records import HostRecord, SwitchRecord
from anyvisor.drivers.vsphere.session import Open
from anyvisor.drivers.vsphere.work import Job, Work
from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.model.estate import DropSwitch, InnerSwitch, MakeSwitch
from anyvisor.model.kinds import SwitchKind
from anyvisor.planner.facts import vds


def make_switch(work: Work, step: MakeSwitch) -> None:
    """Make it, or let more hosts take part."""
    switch = step.switch
    hosts = [lookup.known_host(work.picture, name) for name in switch.hosts]
    _refuse_foreign(work, switch, hosts)
    if switch.kind is SwitchKind.VSS:
        work.run(job for host in hosts for job in _standard_job(work, switch, host))
    elif switch.kind is SwitchKind.VDS:
        _make_distributed(work, switch, hosts)
    else:
        raise TerminalError(f"{switch.name}: vSphere has no switch of kind {switch.kind}")


def _refuse_foreign(work: Work, switch: InnerSwitch, hosts: list[HostRecord]) -> None:
    there = lookup.switch_named(work.picture, switch.name)
    if there is not None and there.mark is None:
        raise ForeignObjectError(f"there is a distributed switch {switch.name} that is not ours")
    for host in hosts:
        native = host.switches.get(switch.name)
        if native is not None and names.read_standard_switch(work.owner, native.name) is None:
            raise ForeignObjectError(f"{host.name} has a switch {switch.name} that is not ours")
    ours = work.picture.estate().switches.get(switch.name)
    if ours is not None and ours.kind is not switch.kind:
        raise TerminalError(f"{switch.name} is a switch of another kind")


# --- distributed ------------------------------------------------------------------------------------------------------


def _make_distributed(work: Work, switch: InnerSwitch, hosts: list[HostRecord]) -> None:
    there = lookup.switch_named(work.picture, switch.name)
    if there is None:
        there = _create(work, switch, hosts)
    for host in hosts:
        newest = vds.newest_version(host.version)
        if host.key in there.members:
            continue
        lookup.answering(host)
        if not vds.at_least(newest or "", there.version):
            raise TerminalError(f"{host.name} is too old for a distributed switch of version {there.version}")
    if there.mtu != switch.mtu or any(host.key not in there.members for host in hosts):
        key = there.key
        work.run([Job(f"letting hosts take part in {switch.name}", lambda o: _join(o, key, switch, hosts))])


def _create(work: Work, switch: InnerSwitch, hosts: list[HostRecord]) -> SwitchRecord:
    for host in hosts:
        lookup.answering(host)
    about = work.session.read(lambda opened: opened.content.about)
    version = specs.version_for(switch, [about.version, *(host.version for host in hosts)])
    spec = specs.switch_spec(work.owner, switch, version)

    def start(opened: Open) -> Any:
        folder = datacenter_folder(opened, opened.object(vim.HostSystem, hosts[0].key), "networkFolder")
        return folder.CreateDVS_Task(spec)

    refused: ForeignObjectError | None = None
    try:
        work.run([Job(f"making the distributed switch {switch.name}", start)])
    except ForeignObjectError as error:
        refused = error  # it may be ours: made by a call whose answer was lost
    work.refresh()
    there = lookup.switch_named(work.picture, switch.name)
    if refused is not None and (there is None or there.mark is None):
        raise refused
    if there is None:
        raise RetryableError(f"the distributed switch {switch.name} is not shown yet")
    return there


def _join(opened: Open, key: str, switch: InnerSwitch, hosts: list[HostRecord]) -> Any:
    config = _config(opened, key)
    if config is None:
        return None
    members = {str(member.config.host._moId) for member in config.host or () if member.config.host}  # noqa: SLF001
    lacking = [host for host in hosts if host.key not in members]
    if not lacking and config.maxMtu == switch.mtu:
        return None
    spec = Dvs.ConfigSpec(
        configVersion=config.configVersion,
        maxMtu=switch.mtu,
        host=[specs.member_spec("add", opened.object(vim.HostSystem, host.key)) for host in lacking],
    )
    return opened.object(Dvs, key).ReconfigureDvs_Task(spec)


def _config(opened: Open, key: str) -> Any:
    return properties(opened, Dvs, [key], ("config",)).get(key, {}).get("config")


def drop_switch(work: Work, step: DropSwitch) -> None:
    """Remove it from everywhere; one that is not there is no error."""
    there = lookup.switch_named(work.picture, step.name)
    if there is not None and there.mark is not None:
        _drop_distributed(work, there)
    for host in list(work.picture.hosts.values()):
        native = lookup.native_switch(work.picture, host, step.name)
        if native is not None and names.read_standard_switch(work.owner, native) is not None:
            _drop_standard(work, host, native)


def _drop_distributed(work: Work, switch: SwitchRecord) -> None:
    groups = [work.picture.groups[key] for key in work.picture.index.groups_of[switch.key]]
    for group in groups:
        if users := lookup.users(work.picture, group):
            raise RetryableError(f"{switch.name} is in use by VM {users[0].name}")
        if group.mark is None and not group.uplink:
            raise ForeignObjectError(f"{switch.name} has a group {group.name} that is not ours")
    if switch.members:
        work.run([Job(f"letting the hosts of {switch.name} go", lambda opened: _leave(opened, switch.key))])
    work.run([Job(f"removing {switch.name}", lambda opened: opened.object(Dvs, switch.key).Destroy_Task())])


def _leave(opened: Open, key: str) -> Any:
    config = _config(opened, key)
    members = [member.config.host for member in (config.host if config is not None else None) or ()]
    if not members:
        return None
    spec = Dvs.ConfigSpec(
        configVersion=config.configVersion, host=[specs.member_spec("remove", host) for host in members]
    )
    return opened.object(Dvs, key).ReconfigureDvs_Task(spec)


# --- standard ---------------------------------------------------------------------------------------------------------


def network_system(opened: Open, host: HostRecord) -> Any:
    """What a host's own switches are changed with."""
    return opened.object(vim.host.NetworkSystem, host.network_system or "")


def _standard_job(work: Work, switch: InnerSwitch, host: HostRecord) -> list[Job]:
    native = names.standard_switch(work.owner, switch.name)
    there = host.switches.get(native)
    if there is not None and there.mtu == switch.mtu:
        return []
    lookup.answering(host)

    def start(opened: Open) -> None:
        system = network_system(opened, host)
        current = _standard_spec(opened, host, native)
        if current is None:
            system.AddVirtualSwitch(native, specs.standard_switch_spec(switch.mtu))
        elif current.mtu != switch.mtu:
            current.mtu = switch.mtu
            system.UpdateVirtualSwitch(native, current)

    return [Job(f"making the switch {native} on {host.name}", start)]


def _standard_spec(opened: Open, host: HostRecord, native: str) -> Any:
    path = "config.network.vswitch"
    found = properties(opened, vim.HostSystem, [host.key], (path,)).get(host.key, {})
    return next((switch.spec for switch in found.get(path, ()) if switch.name == native), None)


def _drop_standard(work: Work, host: HostRecord, native: str) -> None:
    lookup.answering(host)
    groups = [group.name for group in host.groups.values() if group.switch == native]
    for group in groups:
        if users := lookup.standard_users(work.picture, host, group):
            raise RetryableError(f"{native} on {host.name} is in use by VM {users[0].name}")
        if names.read_standard_group(work.owner, group) is None:
            raise ForeignObjectError(f"{native} on {host.name} has a group {group} that is not ours")

    def start(opened: Open) -> None:
        system = network_system(opened, host)
        found = properties(opened, vim.HostSystem, [host.key], ("config.network.portgroup",)).get(
            host.key, {}
        )
        left = {group.spec.name for group in found.get("config.network.portgroup", ())}
        for group in groups:
            if group in left:
                system.RemovePortGroup(group)
        if _standard_spec(opened, host, native) is not None:
            system.RemoveVirtualSwitch(native)

    work.run([Job(f"removing the switch {native} from {host.name}", start)])
