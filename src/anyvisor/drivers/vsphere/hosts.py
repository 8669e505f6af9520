# SPDX-License-Identifier: Apache-2.0
"""Hosts and their licences, from what vSphere reports of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.records import HostRecord, Licence, StandardGroup, StandardSwitch, VmRecord
from anyvisor.model.host import Fact, Nic

PATHS = (
    "name",
    "parent",
    "config.product",
    "config.network.pnic",
    "config.network.vswitch",
    "config.network.portgroup",
    "config.network.opaqueSwitch",
    "config.pciPassthruInfo",
    "config.autoStart",
    "summary.hardware",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "configManager.networkSystem",
    "configManager.autoStartManager",
)
TRUNK_VLAN = 4095
"""What a standard switch calls all VLANs."""

_EDITIONS = (
    ("enterpriseplus", "enterprise-plus"),
    ("vcf", "vcf"),
    ("vvf", "vvf"),
    ("standard", "standard"),
    ("esxbasic", "free"),
)


def plain(name: str | None) -> str:
    """A name as people gave it: vCenter writes slashes and per cent signs as an address does."""
    return unquote(name or "")


def key_of(reference: Any) -> str | None:
    """The key of a managed object, without asking for anything."""
    return None if reference is None else str(reference._moId)  # noqa: SLF001 - pyVmomi has no other way


def host_record(key: str, values: Mapping[str, Any]) -> HostRecord:
    """One host."""
    hardware = values.get("summary.hardware")
    product = values.get("config.product")
    pnics = _list(values.get("config.network.pnic"))
    devices = {pnic.key: pnic.device for pnic in pnics}
    core_mhz = getattr(hardware, "cpuMhz", 0) or 0
    return HostRecord(
        key=key,
        name=plain(values.get("name")),
        parent=key_of(values.get("parent")) or "",
        version=getattr(product, "version", "") or "",
        connection=str(values.get("runtime.connectionState") or "disconnected"),
        maintenance=bool(values.get("runtime.inMaintenanceMode")),
        switches={
            switch.name: _standard_switch(switch, devices)
            for switch in _list(values.get("config.network.vswitch"))
        },
        groups={
            group.spec.name: _standard_group(group) for group in _list(values.get("config.network.portgroup"))
        },
        nics=tuple(_nics(pnics, _list(values.get("config.pciPassthruInfo")))),
        opaque=tuple(
            switch.name or switch.key for switch in _list(values.get("config.network.opaqueSwitch"))
        ),
        cpu_mhz=core_mhz * (getattr(hardware, "numCpuCores", 0) or 0),
        core_mhz=core_mhz,
        memory_mib=(getattr(hardware, "memorySize", 0) or 0) >> 20,
        network_system=key_of(values.get("configManager.networkSystem")),
        autostart=key_of(values.get("configManager.autoStartManager")),
        starts=started(values.get("config.autoStart")),
    )


def started(config: Any) -> frozenset[str]:
    """The VMs that a host starts when it starts itself, as its autostart says; none if that is off."""
    if config is None or not getattr(config.defaults, "enabled", False):
        return frozenset()
    # The documents write `powerOn`, hosts also say `PowerOn`.
    listed = (each for each in config.powerInfo or () if str(each.startAction).lower() == "poweron")
    return frozenset(str(key_of(each.key)) for each in listed)


def load_facts(host: HostRecord, vms: Iterable[VmRecord]) -> dict[str, Fact]:
    """What the VMs on a host leave of it, and which of them need care."""
    here = [vm for vm in vms if not vm.template]
    facts: dict[str, Fact] = {
        "fault_tolerance": any(vm.fault_tolerant for vm in here),
        "passthrough_vnics": sum(card.passthrough for vm in here for card in vm.cards),
    }
    running = [vm for vm in here if vm.running]
    if host.core_mhz:
        spare = host.cpu_mhz - sum(vm.cpu_mhz for vm in running)
        facts["spare_vcpus"] = max(0, spare) // host.core_mhz
    if host.memory_mib:
        left = host.memory_mib - sum(vm.memory_mib for vm in running)
        facts["spare_memory_gib"] = round(max(0, left) / 1024, 1)
    return facts


def licence(info: Any) -> Licence:
    """What a licence allows, as far as its edition or its list of features says."""
    edition = (info.editionKey or "").replace(".", "").replace("-", "").lower()
    word = next((word for part, word in _EDITIONS if part in edition), "")
    features = {
        str(item.value.key) for item in _list(info.properties) if item.key == "feature" and item.value
    }
    distributed: bool | None = "dvs" in features if features else None
    if word == "free":
        distributed = False
    elif edition == "eval":
        distributed = True
    return Licence(edition=word, distributed=distributed)


def _standard_switch(switch: Any, devices: Mapping[str, str]) -> StandardSwitch:
    uplinks = (devices.get(key, key.rsplit("-", 1)[-1]) for key in _list(switch.pnic))
    return StandardSwitch(name=switch.name, mtu=switch.mtu or 1500, uplinks=tuple(sorted(uplinks)))


def _standard_group(group: Any) -> StandardGroup:
    policy = group.computedPolicy.security if group.computedPolicy is not None else None
    said = group.spec.policy.security if group.spec.policy is not None else None

    def allowed(name: str) -> bool:
        own = getattr(said, name, None)
        return bool(own if own is not None else getattr(policy, name, False))

    return StandardGroup(
        name=group.spec.name,
        switch=group.spec.vswitchName,
        vlan=group.spec.vlanId,
        promiscuous=allowed("allowPromiscuous"),
        forged_transmits=allowed("forgedTransmits"),
    )


def _nics(pnics: Iterable[Any], functions: Iterable[Any]) -> Iterable[Nic]:
    virtual = {
        info.id: info.numVirtualFunction
        for info in functions
        if isinstance(info, vim.host.SriovInfo) and info.sriovEnabled
    }
    for pnic in pnics:
        speed = pnic.linkSpeed.speedMb if pnic.linkSpeed is not None else None
        yield Nic(
            name=pnic.device,
            speed_gbps=None if not speed else speed / 1000,
            sriov_vfs=virtual.get(pnic.pci, 0),
            dpu=getattr(pnic, "dpuId", None) or None,
        )


def _list(value: Any) -> Iterable[Any]:
    return value or ()
