# SPDX-License-Identifier: Apache-2.0
"""The keys of `Host.facts` that the planner reads, as data: for the verdicts, for validation and for the reference."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.kinds import Hypervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One fact. `kind` is the JSON type; `values` lists the words that have a meaning, empty for any."""

    name: str
    kind: type[str | int | float | bool]
    meaning: str
    absent: str
    """What the planner assumes where the fact is not given."""
    values: tuple[str, ...] = ()
    hypervisors: tuple[Hypervisor, ...] = tuple(Hypervisor)


_ESXI = (Hypervisor.ESXI,)
_XEN = (Hypervisor.XEN,)

KEYS: tuple[Key, ...] = (
    Key(
        name="edition",
        kind=str,
        meaning="the vSphere licence of the host",
        absent="a licence that lets the API write; a distributed switch only if one is listed",
        values=("free", "standard", "enterprise-plus", "vvf", "vcf"),
        hypervisors=_ESXI,
    ),
    Key(
        name="vcenter",
        kind=bool,
        meaning="a vCenter manages the host",
        absent="true if the host has a cluster, a manager or a distributed switch",
        hypervisors=_ESXI,
    ),
    Key(
        name="vcenter_version",
        kind=str,
        meaning="the version of the vCenter: no distributed switch is newer",
        absent="that of the host, or newer",
        hypervisors=_ESXI,
    ),
    Key(
        name="cluster_hosts",
        kind=int,
        meaning="how many hosts the cluster has; with more than one vCenter may move VMs",
        absent="as many as are known",
        hypervisors=_ESXI,
    ),
    Key(
        name="drs",
        kind=bool,
        meaning="DRS moves VMs of the cluster by itself",
        absent="false",
        hypervisors=_ESXI,
    ),
    Key(
        name="vds_license",
        kind=bool,
        meaning="the licence includes the distributed switch",
        absent="true for enterprise-plus, vvf and vcf, or if a distributed switch is listed",
        hypervisors=_ESXI,
    ),
    Key(
        name="vds_offload",
        kind=bool,
        meaning="the distributed switch is offloaded to a DPU (networkOffloadSpecId)",
        absent="false",
        hypervisors=_ESXI,
    ),
    Key(
        name="nsx",
        kind=bool,
        meaning="NSX owns the networks of the host (opaque networks, NSX port groups)",
        absent="true if a switch of kind nsx is listed",
        hypervisors=_ESXI,
    ),
    Key(
        name="dpu_owner",
        kind=str,
        meaning="who runs the DPU: ESXi itself, or a Linux of its own in DPU mode",
        absent="a Linux of its own if the card offers virtual functions, otherwise ESXi",
        values=("esxi", "linux"),
        hypervisors=_ESXI,
    ),
    Key(
        name="fault_tolerance",
        kind=bool,
        meaning="VMs of the host are protected by vSphere Fault Tolerance",
        absent="false",
        hypervisors=_ESXI,
    ),
    Key(
        name="underlay_mtu",
        kind=int,
        meaning="largest packet in bytes that the underlay carries; the smallest of the fleet counts",
        absent="1500",
    ),
    Key(
        name="agentless",
        kind=bool,
        meaning="nothing of anyvisor may run in the host's appliance: its vNICs become OVN child ports",
        absent="false",
        hypervisors=_ESXI,
    ),
    Key(
        name="spare_vcpus",
        kind=float,
        meaning="processors that an appliance may take",
        absent="enough, with a warning",
    ),
    Key(
        name="spare_memory_gib",
        kind=float,
        meaning="memory in GiB that an appliance may take",
        absent="enough, with a warning",
    ),
    Key(
        name="passthrough_vnics",
        kind=int,
        meaning="vNICs that bypass the virtual switch (SR-IOV, DirectPath)",
        absent="0",
    ),
    Key(
        name="orchestrator",
        kind=str,
        meaning="what starts the VMs",
        absent="nothing that restricts the choice",
        values=("nova",),
    ),
    Key(
        name="toolstack",
        kind=str,
        meaning="what manages the Xen host",
        absent="xl up to version 4 (Xen's own numbers), xapi above (XenServer's, XCP-ng's)",
        values=("xapi", "xl"),
        hypervisors=_XEN,
    ),
    Key(
        name="network_backend",
        kind=str,
        meaning="XAPI's network backend (host.software_version)",
        absent="openvswitch, XAPI's own default, unless a Linux bridge is listed",
        values=("openvswitch", "bridge"),
        hypervisors=_XEN,
    ),
    Key(
        name="sdn_controller",
        kind=str,
        meaning="another SDN controller that the pool obeys (SDN_controller record)",
        absent="none",
        hypervisors=_XEN,
    ),
    Key(
        name="vif_locking",
        kind=bool,
        meaning="XAPI can lock vNICs to their addresses: the licence allows it, and no other SDN controller forbids it",
        absent="false",
        hypervisors=_XEN,
    ),
    Key(
        name="dom0_locked",
        kind=bool,
        meaning="nothing may be installed in dom0, e.g. because of a support contract",
        absent="false",
        hypervisors=_XEN,
    ),
    Key(
        name="driver_domain",
        kind=bool,
        meaning="under xl: the appliance is to be a network driver domain, as it is where `dom0_locked`",
        absent="false",
        hypervisors=_XEN,
    ),
)
