# SPDX-License-Identifier: Apache-2.0
"""What is known about VMware ESXi hosts."""

from __future__ import annotations

from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.planner.facts import traits
from anyvisor.planner.facts.rows import DRAFT, HOST, Caution, Row, Table
from anyvisor.planner.facts.traits import both, flag, has_switch, is_word, lacks

_KB_2149722 = "VMware KB 2149722: discontinuation of the third party vSwitch programme"
_MAC_LEARNING = "vSphere API: DVSMacManagementPolicy (6.7, VDS 6.6.0)"
_INTRANET = "vSphere API: fault VMOnVirtualIntranet; VMware KB 1003832"
_NO_VMOTION = (
    "vCenter refuses vMotion of VMs on a standard switch without uplinks, unless its advanced setting "
    "config.migrate.test.CompatibleNetworks.VMOnVirtualIntranet is false."
)
_DSE = "vSphere 8 documentation, Distributed Services Engine: offloading mode after NSX is enabled"
_NEWEST_KNOWN = (10, 0, 0)

_REACHES = (Scheme.SEPARATION, Scheme.APPLIANCE)

_FREE = tuple(
    Row(
        scheme=scheme,
        possible=False,
        code="ESXI_FREE_API_READ_ONLY",
        reason="The free licence lets the API only read, so nothing on the host can be changed from outside.",
        source="vSphere API: fault RestrictedVersion under the free vSphere Hypervisor licence",
        when=is_word("edition", "free"),
    )
    for scheme in (*_REACHES, Scheme.VENDOR)
)

_NSX = tuple(
    Row(
        scheme=scheme,
        possible=False,
        code="ESXI_NSX_OWNS_NETWORKS",
        reason="NSX owns the networks of this host; a second hand on its port groups would be undone or do harm.",
        source="vSphere API: DVPortgroup backingType nsx (7.0), OpaqueNetwork",
        when=traits.owned_by_nsx,
    )
    for scheme in _REACHES
)

_BASELINE = Row(
    scheme=Scheme.BASELINE,
    possible=False,
    code="ESXI_NO_OPEN_VSWITCH",
    reason="Open vSwitch cannot run in the ESXi kernel; the vendor admits no switch but its own.",
    source=_KB_2149722,
)

_SUBSTITUTION = (
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="ESXI_ONLY_SIGNED_VSWITCHES",
        reason="Up to 6.5 U1 only switches signed by VMware could be installed, and Open vSwitch never was one.",
        source=_KB_2149722,
        versions=(None, (6, 5, 2)),
        when=lacks(traits.version_unknown),
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="ESXI_NO_THIRD_PARTY_VSWITCH",
        reason="VMware ended the programme for third-party virtual switches; 6.5 U1 was the last release with them.",
        source=_KB_2149722,
    ),
)

_VENDOR = (
    Row(
        scheme=Scheme.VENDOR,
        possible=True,
        code="ESXI_NSX",
        reason="NSX keeps the host and is given the networks and ports.",
        source=f"{DRAFT} section 5, figure 2",
        when=traits.owned_by_nsx,
        warnings=("Nothing of these VMs' traffic is governed by the SDN controller: two worlds to operate.",),
    ),
    Row(
        scheme=Scheme.VENDOR,
        possible=True,
        code="ESXI_VDS_VENDOR",
        reason="vCenter keeps the host and is given networks and ports on its distributed switch.",
        source=f"{DRAFT} section 5, figure 2",
        when=both(traits.may_use_vds, has_switch(SwitchKind.VDS)),
        warnings=(
            "Nothing of these VMs' traffic is governed by the SDN controller: two worlds to operate.",
            "A distributed switch filters without state and has neither routing nor an overlay.",
        ),
    ),
    Row(
        scheme=Scheme.VENDOR,
        possible=False,
        code="ESXI_NO_VENDOR_CONTROLLER",
        reason="The host has neither NSX nor a distributed switch under a vCenter.",
        source=HOST,
    ),
)

_SEPARATION = (
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_NATIVE_SWITCH",
        reason="No standard or distributed switch of the host is known that could stay beside the SDN.",
        source=HOST,
        when=lacks(traits.has_native_switch),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_PHYSICAL_NETWORK",
        reason="No switch of the host has an uplink and no card is cabled to a physical network.",
        source=HOST,
        when=lacks(traits.reaches_physical_network),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=True,
        code="ESXI_VDS_STAYS",
        reason="The distributed switch stays and carries each network as a VLAN port group.",
        source=f"{DRAFT} section 5; vSphere API: VmwareDistributedVirtualSwitch.VlanIdSpec",
        when=both(has_switch(SwitchKind.VDS), traits.may_use_vds),
        warnings=(
            "Traffic between two VMs behind the native switch never meets the SDN controller: it escapes.",
            "The distributed switch filters without state, so stateful rules do not hold there.",
        ),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=True,
        code="ESXI_VSS_STAYS",
        reason="The standard switch stays and carries each network as a VLAN port group.",
        source=f"{DRAFT} section 5; vSphere API: HostNetworkSystem.AddPortGroup",
        warnings=(
            "Traffic between two VMs behind the native switch never meets the SDN controller: it escapes.",
            "A standard switch has neither filters nor flow export: how much a vNIC says is seen, to whom is not.",
        ),
    ),
)

_APPLIANCE = (
    Row(
        scheme=Scheme.APPLIANCE,
        possible=False,
        code="NO_ROOM_FOR_APPLIANCE",
        reason=f"An appliance takes {traits.APPLIANCE_SIZE}; less is spare.",
        source=HOST,
        when=traits.no_room_for_appliance,
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        advised=False,
        code="ESXI_VERSION_UNKNOWN",
        reason="The appliance works from ESXi 6.0 on, but which version this host runs is not known.",
        source=HOST,
        when=traits.version_unknown,
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=False,
        code="ESXI_TOO_OLD",
        reason="The appliance is offered from ESXi 6.0 on; older releases are out of support and untested.",
        source="vSphere lifecycle: end of general support of 5.5 in 2018",
        versions=(None, (6, 0, 0)),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        code="ESXI_APPLIANCE_VDS",
        reason="A distributed switch without uplinks gives every vNIC a VLAN of its own; its trunk learns MACs.",
        source=f"{DRAFT} section 5 (2), figure 4; {_MAC_LEARNING}",
        when=both(traits.may_use_vds, traits.inner_switch_learns),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        code="ESXI_APPLIANCE_VDS_PROMISCUOUS",
        reason="A distributed switch without uplinks gives every vNIC a VLAN of its own; its trunk is promiscuous.",
        source=f"{DRAFT} section 5 (2), figure 4; {_MAC_LEARNING}",
        when=traits.may_use_vds,
        warnings=(
            "MAC learning needs an inner switch of version 6.6.0, and so ESXi 6.7 on every host that takes part.",
        ),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        advised=False,
        code=traits.NO_VMOTION,
        reason="A standard switch without uplinks ends vMotion, and vCenter has hosts to move this host's VMs to.",
        source=_INTRANET,
        when=both(traits.under_vcenter, traits.may_migrate),
        warnings=(_NO_VMOTION,),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        code="ESXI_APPLIANCE_VSS",
        reason="A standard switch without uplinks gives every vNIC a VLAN of its own; its trunk is promiscuous.",
        source=f"{DRAFT} section 5 (2), figure 4; {_INTRANET}",
        when=traits.under_vcenter,
        warnings=(_NO_VMOTION,),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        code="ESXI_APPLIANCE_VSS_STANDALONE",
        reason="A standard switch without uplinks gives every vNIC a VLAN of its own; the host stands alone.",
        source=f"{DRAFT} section 5 (2), figure 4; vSphere API: HostAutoStartManager",
        warnings=(
            "Without a vCenter there is no vMotion, and the appliance is started by the host's autostart.",
        ),
    ),
)

_NIC = (
    Row(
        scheme=Scheme.NIC,
        possible=False,
        code="NO_SMART_NIC",
        reason="The host has no DPU and no card in switchdev mode.",
        source=HOST,
        when=lacks(traits.has_smart_nic),
    ),
    Row(
        scheme=Scheme.NIC,
        possible=False,
        code="ESXI_DPU_NSX_ONLY",
        reason="A DPU that ESXi runs offloads only for NSX; no other switch can be put on it.",
        source=_DSE,
        when=lambda host: traits.word(host, "dpu_owner") == "esxi" or not traits.offers_vfs(host),
    ),
    Row(
        scheme=Scheme.NIC,
        possible=True,
        advised=False,
        code="ESXI_PASSTHROUGH_ONLY",
        reason="A card that runs its own Linux can switch virtual functions passed through to the VMs.",
        source="NVIDIA DOCA: virtual functions and representors; vSphere 8 documentation: SR-IOV, DirectPath",
        warnings=(
            "A VM with a virtual function passed through has no vMotion and no snapshots.",
            "VMware does not support this use of the card.",
        ),
    ),
)

TABLE = Table(
    hypervisor=Hypervisor.ESXI,
    rows=(_BASELINE, *_SUBSTITUTION, *_FREE, *_NSX, *_VENDOR, *_SEPARATION, *_APPLIANCE, *_NIC),
    cautions=(
        Caution(
            schemes=(Scheme.SEPARATION,),
            text="A distributed switch offloaded to a DPU filters nothing at all.",
            when=flag("vds_offload"),
        ),
        Caution(
            schemes=(Scheme.APPLIANCE,),
            text="A distributed switch of this host is offloaded to a DPU: the appliance needs one that is not.",
            when=flag("vds_offload"),
        ),
        Caution(
            schemes=(Scheme.APPLIANCE,),
            text="VMs under Fault Tolerance must be checked vNIC by vNIC before they are moved behind the appliance.",
            when=flag("fault_tolerance"),
        ),
        Caution(
            schemes=(Scheme.APPLIANCE,),
            text="The appliance is the bottleneck of local traffic, and the host's VMs are cut off while it is down.",
            when=traits.any_host,
        ),
        Caution(
            schemes=(Scheme.APPLIANCE,),
            text="It is not known whether the host has room for an appliance (spare_vcpus, spare_memory_gib).",
            when=traits.room_unknown,
        ),
        Caution(
            schemes=(Scheme.VENDOR, Scheme.SEPARATION, Scheme.APPLIANCE),
            text="vNICs passed through to VMs (passthrough_vnics) meet no virtual switch: their traffic escapes.",
            when=traits.passthrough,
        ),
        Caution(
            schemes=(Scheme.VENDOR, Scheme.SEPARATION, Scheme.APPLIANCE),
            text="Nova's VMware driver is experimental and may be removed.",
            when=is_word("orchestrator", "nova"),
        ),
        Caution(
            schemes=(Scheme.VENDOR, Scheme.SEPARATION, Scheme.APPLIANCE),
            text="This ESXi release is newer than those that the verdict was checked against (6.0 to 9).",
            when=traits.any_host,
            versions=(_NEWEST_KNOWN, None),
        ),
        Caution(
            schemes=(Scheme.VENDOR, Scheme.SEPARATION),
            text="The ESXi version is not known.",
            when=traits.version_unknown,
        ),
    ),
)
