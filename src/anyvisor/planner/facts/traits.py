# SPDX-License-Identifier: Apache-2.0
"""What can be said about a host for certain, or by the defaults of `keys`: the conditions that verdicts rest on."""

from __future__ import annotations

from collections.abc import Callable

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.planner.facts import vds
from anyvisor.planner.facts.version import parse

Condition = Callable[[Host], bool]

APPLIANCE_VCPUS = 2
APPLIANCE_MEMORY_GIB = 4
ROOM_FOR_APPLIANCE = {"spare_vcpus": APPLIANCE_VCPUS, "spare_memory_gib": APPLIANCE_MEMORY_GIB}
APPLIANCE_SIZE = f"{APPLIANCE_VCPUS} vCPUs and {APPLIANCE_MEMORY_GIB} GiB of memory"
"""Our own default; what it carries with that depends on the host."""

CLUSTER_HOSTS = "cluster_hosts"
NO_VMOTION = "ESXI_VSS_NO_VMOTION"
"""The code of a verdict that `anyvisor.planner.choose` treats apart where the scheme is in force already."""
INNER_VERSION = "inner_version"
"""Joins the facts of a host once it is known with whom it shares its inner switch."""

VIF_LOCKING = "vif_locking"
"""The pool can lock vNICs to their addresses: its licence allows it, and no other SDN controller forbids it."""

_VDS_EDITIONS = frozenset({"enterprise-plus", "vvf", "vcf"})
_NATIVE = {
    Hypervisor.KVM: (SwitchKind.LINUX_BRIDGE,),
    Hypervisor.ESXI: (SwitchKind.VDS, SwitchKind.VSS),
    Hypervisor.XEN: (SwitchKind.OPENVSWITCH, SwitchKind.LINUX_BRIDGE),
}
_LAST_XEN_PROJECT_MAJOR = 5
"""Xen's own versions are 4.x; XenServer's and XCP-ng's start at 6."""


def any_host(host: Host) -> bool:  # noqa: ARG001 - a condition that asks nothing
    """Always."""
    return True


def both(first: Condition, second: Condition) -> Condition:
    """Where both hold."""
    return lambda host: first(host) and second(host)


def lacks(condition: Condition) -> Condition:
    """Where it does not hold."""
    return lambda host: not condition(host)


def has_switch(kind: SwitchKind) -> Condition:
    """A switch of that kind is there."""
    return lambda host: host.switch_of_kind(kind) is not None


def flag(key: str) -> Condition:
    """The fact is given and true; for words: not empty and not ``false``."""
    return lambda host: _truth(host, key)


def _truth(host: Host, key: str) -> bool:
    value = host.facts.get(key, False)
    return value.lower() not in ("", "false", "no", "none") if isinstance(value, str) else bool(value)


def word(host: Host, key: str) -> str:
    """The fact as a lower-case word, ``""`` where it is not given."""
    return str(host.facts.get(key, "")).strip().lower()


def number(host: Host, key: str) -> float | None:
    """The fact as a number, None where it is not given or not one."""
    value = host.facts.get(key)
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def is_word(key: str, value: str) -> Condition:
    """The fact is that word."""
    return lambda host: word(host, key) == value


def on_open_vswitch(host: Host) -> bool:
    """Open vSwitch runs there already. XAPI's backend is Open vSwitch unless said otherwise."""
    if host.switch_of_kind(SwitchKind.OPENVSWITCH) is not None:
        return True
    if host.hypervisor is not Hypervisor.XEN or toolstack(host) != "xapi":
        return False
    backend = word(host, "network_backend")
    return backend in ("openvswitch", "vswitch") or (not backend and not host.switches)


def _native(host: Host) -> tuple[SwitchKind, ...]:
    """The kinds of switch that could stay beside the SDN. Under xl an Open vSwitch is ours to program, as on KVM."""
    if host.hypervisor is Hypervisor.XEN and toolstack(host) == "xl":
        return (SwitchKind.LINUX_BRIDGE,)
    return _NATIVE[host.hypervisor]


def native_switch(host: Host, only: SwitchKind | None = None) -> NativeSwitch | None:
    """The switch that would stay under `separation`: the first with an uplink, otherwise the first; None without one.

    On KVM Open vSwitch does not count: it would be programmed, not separated. With `only` no other kind counts.
    """
    kinds = _native(host)
    cabled = {nic.name for nic in host.nics if nic.physical} if host.hypervisor is Hypervisor.XEN else set()
    found = sorted(
        (switch for switch in host.switches if switch.kind in kinds and only in {None, switch.kind}),
        # A pool has a switch per card: the one of its management is not the one that VMs are meant for.
        key=lambda switch: (
            cabled.isdisjoint(switch.uplinks),
            not switch.uplinks,
            kinds.index(switch.kind),
        ),
    )
    return found[0] if found else None


def has_native_switch(host: Host) -> bool:
    """There is a switch that could stay under `separation`."""
    return native_switch(host) is not None


def reaches_physical_network(host: Host) -> bool:
    """A native switch has an uplink, or a card is cabled to a physical network."""
    uplinked = any(switch.uplinks for switch in host.switches if switch.kind in _native(host))
    return uplinked or any(nic.physical for nic in host.nics)


def smart_nic(host: Host) -> Nic | None:
    """The card that could switch: a DPU first, then one in switchdev mode; None without one."""
    dpu = next((nic for nic in host.nics if nic.dpu), None)
    return dpu or next((nic for nic in host.nics if nic.switchdev), None)


def has_smart_nic(host: Host) -> bool:
    """There is a card that could switch."""
    return smart_nic(host) is not None


def offers_vfs(host: Host) -> bool:
    """That card offers virtual functions."""
    nic = smart_nic(host)
    return nic is not None and nic.sriov_vfs > 0


def owned_by_nsx(host: Host) -> bool:
    """NSX has the say over the networks of that host."""
    return host.switch_of_kind(SwitchKind.NSX) is not None or _truth(host, "nsx")


def under_vcenter(host: Host) -> bool:
    """A vCenter manages it."""
    if "vcenter" in host.facts:
        return _truth(host, "vcenter")
    return bool(host.cluster or host.manager) or host.switch_of_kind(SwitchKind.VDS) is not None


def may_use_vds(host: Host) -> bool:
    """The licence and vCenter allow a distributed switch."""
    if not under_vcenter(host):
        return False
    if "vds_license" in host.facts:
        return _truth(host, "vds_license")
    return word(host, "edition") in _VDS_EDITIONS or host.switch_of_kind(SwitchKind.VDS) is not None


def may_migrate(host: Host) -> bool:
    """vCenter may move the host's VMs to another: its cluster has one, or DRS is said to be on."""
    return (number(host, CLUSTER_HOSTS) or 0) > 1 or _truth(host, "drs")


def vds_versions(host: Host) -> tuple[str, ...]:
    """What bounds the version of a distributed switch that the host takes part in: its own, and its vCenter's."""
    vcenter = str(host.facts.get("vcenter_version", ""))
    return (host.version, vcenter) if vcenter else (host.version,)


def inner_switch_learns(host: Host) -> bool:
    """The distributed inner switch of the host learns MAC addresses: the one it has or will share, else one of its own.

    `INNER_VERSION` is no fact of the site file: it is worked out from all hosts that take part.
    """
    version = word(host, INNER_VERSION) or vds.common_version(vds_versions(host)) or ""
    return vds.learns(version)


def no_room_for_appliance(host: Host) -> bool:
    """It is known that an appliance does not fit."""
    vcpus, memory = number(host, "spare_vcpus"), number(host, "spare_memory_gib")
    return (vcpus is not None and vcpus < APPLIANCE_VCPUS) or (
        memory is not None and memory < APPLIANCE_MEMORY_GIB
    )


def agentless(host: Host) -> bool:
    """No agent of ours may run in its appliance."""
    return _truth(host, "agentless")


def inner_by_agent(host: Host) -> bool:
    """An agent beside its native switch keeps the vNICs of an appliance's host apart, not a manager."""
    return host.hypervisor is not Hypervisor.ESXI


def switched_by_domain(host: Host) -> bool:
    """Under `appliance` a network driver domain serves its vNICs: nothing of ours is in dom0, and no switch between."""
    return (
        host.hypervisor is Hypervisor.XEN
        and not under_xapi(host)
        and (_truth(host, "dom0_locked") or _truth(host, "driver_domain"))
    )


def told_by_agents(host: Host) -> bool:
    """No manager tells where the VMs of that host are: its agent does."""
    return host.manager is None and host.hypervisor is not Hypervisor.ESXI and not in_pool(host)


def room_unknown(host: Host) -> bool:
    """Nobody said whether an appliance fits."""
    return number(host, "spare_vcpus") is None or number(host, "spare_memory_gib") is None


def passthrough(host: Host) -> bool:
    """Some vNICs bypass the virtual switch."""
    return (number(host, "passthrough_vnics") or 0) > 0


def toolstack(host: Host) -> str:
    """``xapi`` or ``xl``; by the version number where it is not given."""
    given = word(host, "toolstack")
    if given:
        return given
    version = parse(host.version)
    return "xl" if version is not None and version[0] <= _LAST_XEN_PROJECT_MAJOR else "xapi"


def under_xapi(host: Host) -> bool:
    """XAPI manages it."""
    return toolstack(host) == "xapi"


def in_pool(host: Host) -> bool:
    """It is a Xen host that XAPI manages."""
    return host.hypervisor is Hypervisor.XEN and under_xapi(host)


def version_unknown(host: Host) -> bool:
    """Its version is not given, or is not a version."""
    return parse(host.version) is None
