# SPDX-License-Identifier: Apache-2.0
"""What is known about Xen hosts: XenServer and XCP-ng (XAPI), and plain Xen (xl)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.planner.facts import traits
from anyvisor.planner.facts.rows import DRAFT, HOST, Caution, Row, Table
from anyvisor.planner.facts.traits import both, flag, has_switch, is_word, lacks, under_xapi

_XAPI_NETWORK = "xen-api: unmanaged networks (network.create managed=false) and ovs-xapi-sync's iface-id"
_IN_DOM0 = (Scheme.BASELINE, Scheme.SUBSTITUTION)

_NOVA = tuple(
    Row(
        scheme=scheme,
        possible=False,
        code="XEN_LEFT_NOVA",
        reason="Nova runs no Xen hosts any more: its XenAPI driver left in 22.0.0, libvirt with Xen in 23.0.0.",
        source="Nova release notes 22.0.0 (Victoria) and 23.0.0 (Wallaby)",
        when=is_word("orchestrator", "nova"),
    )
    for scheme in Scheme
)

_LOCKED = tuple(
    Row(
        scheme=scheme,
        possible=False,
        code="DOM0_LOCKED",
        reason="Nothing may be installed in dom0 of this host, and ovn-controller would have to be.",
        source=HOST,
        when=flag("dom0_locked"),
    )
    for scheme in _IN_DOM0
)

_CONTROLLED = tuple(
    Row(
        scheme=scheme,
        possible=False,
        code="FOREIGN_SDN_CONTROLLER",
        reason="The pool obeys another SDN controller, and XAPI admits one; remove it there first.",
        source="xen-api: at most one SDN_controller per pool; measured: the host's own facts",
        when=both(under_xapi, flag("sdn_controller")),
    )
    for scheme in _IN_DOM0
)


def _bridge_or_nothing(host: Host) -> bool:
    return not host.switches or host.switch_of_kind(SwitchKind.LINUX_BRIDGE) is not None


def _bridge_backend(host: Host) -> bool:
    return under_xapi(host) and not traits.on_open_vswitch(host)


_BASELINE = (
    Row(
        scheme=Scheme.BASELINE,
        possible=True,
        code="OPEN_VSWITCH_PRESENT",
        reason="Open vSwitch is XAPI's own switch in dom0; ovn-controller beside it brings it under the SDN.",
        source=f"{DRAFT} section 4, figure 1; {_XAPI_NETWORK}",
        when=both(under_xapi, traits.on_open_vswitch),
        warnings=("ovn-controller in dom0 is a package that the vendor does not support.",),
    ),
    Row(
        scheme=Scheme.BASELINE,
        possible=True,
        code="OPEN_VSWITCH_PRESENT",
        reason="The host runs Open vSwitch in dom0 already, so the SDN controller can program it as it is.",
        source=f"{DRAFT} section 4, figure 1; Xen: vif-openvswitch",
        when=traits.on_open_vswitch,
    ),
    Row(
        scheme=Scheme.BASELINE,
        possible=False,
        code="NO_OPEN_VSWITCH",
        reason="No Open vSwitch runs in dom0; to bring it there is the scheme substitution.",
        source=HOST,
    ),
)

_SUBSTITUTION = (
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=True,
        advised=False,
        code="XAPI_BACKEND_SWITCHED",
        reason="XAPI's network backend is Open vSwitch already: once there, it is the same as the baseline.",
        source=HOST,
        when=both(under_xapi, traits.on_open_vswitch),
        warnings=("ovn-controller in dom0 is a package that the vendor does not support.",),
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="ALREADY_OPEN_VSWITCH",
        reason="Open vSwitch runs in dom0 already; there is nothing to replace.",
        source=HOST,
        when=traits.on_open_vswitch,
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=True,
        code="XAPI_BACKEND_SWITCH",
        reason="XAPI's network backend can be switched from the Linux bridge to Open vSwitch.",
        source=f"{DRAFT} section 5 (1), figure 3; xe-switch-network-backend openvswitch",
        when=_bridge_backend,
        warnings=(
            "Switching the backend takes a reboot of the host: the operator does both.",
            "ovn-controller in dom0 is a package that the vendor does not support.",
        ),
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=True,
        code="LINUX_BRIDGE_REPLACEABLE",
        reason="Open vSwitch and ovn-controller can take the place of the Linux bridge in dom0.",
        source=f"{DRAFT} section 5 (1), figure 3; Xen: vif-openvswitch",
        when=_bridge_or_nothing,
        warnings=("The stock hotplug script sets no iface-id; the agent in dom0 binds vNICs by their MAC.",),
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="SWITCH_NOT_REPLACEABLE",
        reason="The switch of this host is neither a Linux bridge nor Open vSwitch, so nothing here can replace it.",
        source=HOST,
    ),
)

_VENDOR = Row(
    scheme=Scheme.VENDOR,
    possible=False,
    code="XEN_NO_VENDOR_CONTROLLER",
    reason="Xen has no vendor controller that could keep the host; that scheme is for ESXi with a VDS or NSX.",
    source=f"{DRAFT} section 5, figure 2",
)

_SEPARATION = (
    Row(
        scheme=Scheme.SEPARATION,
        possible=True,
        code="XAPI_SWITCH_STAYS",
        reason="XAPI's switch stays and carries each network as a VLAN network.",
        source=f"{DRAFT} section 5; xen-api: VLAN.create, VIF locking modes",
        when=under_xapi,
        warnings=(
            "Traffic between two VMs behind the native switch never meets the SDN controller: it escapes.",
        ),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_NATIVE_SWITCH",
        reason="dom0 has no Linux bridge that could stay beside the SDN.",
        source=HOST,
        when=lacks(traits.has_native_switch),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=True,
        code="NATIVE_SWITCH_STAYS",
        reason="The switch in dom0 stays; networks become VLANs on the physical network it is cabled to.",
        source=f"{DRAFT} section 5; Xen: network bridging",
        when=traits.reaches_physical_network,
        warnings=(
            "Traffic between two VMs behind the native switch never meets the SDN controller: it escapes.",
        ),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_PHYSICAL_NETWORK",
        reason="No switch of dom0 has an uplink and no card is cabled to a physical network.",
        source=HOST,
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
        code="XAPI_KNOWS_NO_TRUNK",
        reason="XAPI's VLANs need a card, and a VM has at most 7 VIFs: the tags of vNICs would be set behind its back.",
        source=f"{DRAFT} section 5 (2), figure 4; xen-api: VLAN.create; XenServer documentation: at most 7 VIFs per VM",
        when=under_xapi,
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        code="DOM0_MUST_STAY",
        reason="dom0 may not be touched; a driver domain can switch in its place.",
        source=f"{DRAFT} section 5 (2), figure 4; Xen: network driver domains",
        when=flag("dom0_locked"),
    ),
    Row(
        scheme=Scheme.APPLIANCE,
        possible=True,
        advised=False,
        code="APPLIANCE_NOT_NEEDED",
        reason="An appliance works, also as a driver domain, but dom0 can run the same switch without the detour.",
        source=f"{DRAFT} section 5 (2), figure 4; Xen: network driver domains",
    ),
)

_NIC = (
    Row(
        scheme=Scheme.NIC,
        possible=True,
        code="SMART_NIC_PRESENT",
        reason="The host has a card that can switch, and XAPI can give its virtual functions to VMs.",
        source=f"{DRAFT} section 7; xen-api: network_sriov.create",
        when=both(under_xapi, both(traits.has_smart_nic, traits.offers_vfs)),
        warnings=("A VM with a virtual function passed through cannot be live-migrated.",),
    ),
    Row(
        scheme=Scheme.NIC,
        possible=True,
        code="SMART_NIC_PRESENT",
        reason="The host has a card that can switch, and xl can give its virtual functions to VMs.",
        source=f"{DRAFT} section 7; Xen: xl.cfg(5), pci",
        when=both(traits.has_smart_nic, traits.offers_vfs),
        warnings=("A VM with a virtual function passed through cannot be live-migrated.",),
    ),
    Row(
        scheme=Scheme.NIC,
        possible=False,
        code="NO_VIRTUAL_FUNCTIONS",
        reason="The card could switch, but offers no virtual functions that VMs could be given.",
        source=HOST,
        when=traits.has_smart_nic,
    ),
    Row(
        scheme=Scheme.NIC,
        possible=False,
        code="NO_SMART_NIC",
        reason="The host has no DPU and no card in switchdev mode.",
        source=HOST,
    ),
)

TABLE = Table(
    hypervisor=Hypervisor.XEN,
    rows=(
        *_NOVA,
        *_LOCKED,
        *_CONTROLLED,
        *_BASELINE,
        *_SUBSTITUTION,
        _VENDOR,
        *_SEPARATION,
        *_APPLIANCE,
        *_NIC,
    ),
    cautions=(
        Caution(
            schemes=_IN_DOM0,
            text="XAPI's Open vSwitch database is lost at reboot; the agent writes the chassis' settings again.",
            when=under_xapi,
        ),
        Caution(
            schemes=_IN_DOM0,
            text="XAPI's own HA does not restart VMs of the integration bridge elsewhere: its network has no cards.",
            when=under_xapi,
        ),
        Caution(
            schemes=_IN_DOM0,
            text="Unmanaged XAPI networks need XenServer 7.2 or newer.",
            when=both(under_xapi, lacks(traits.version_unknown)),
            versions=(None, (7, 2, 0)),
        ),
        Caution(
            schemes=(Scheme.SEPARATION,),
            text="XAPI counts nothing on vNICs: how much they send stays unseen.",
            when=under_xapi,
        ),
        Caution(
            schemes=(Scheme.SEPARATION,),
            text="The pool obeys another SDN controller, so vNICs cannot be locked to their addresses.",
            when=both(under_xapi, flag("sdn_controller")),
        ),
        Caution(
            schemes=(Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.SEPARATION),
            text="The Xen version is not known; XAPI is assumed as its toolstack unless the facts say otherwise.",
            when=traits.version_unknown,
        ),
        Caution(
            schemes=(Scheme.BASELINE,),
            text="A Linux bridge is there too: VMs plugged into it stay outside the SDN until moved.",
            when=has_switch(SwitchKind.LINUX_BRIDGE),
        ),
        Caution(
            schemes=(Scheme.APPLIANCE,),
            text="It is not known whether the host has room for an appliance (spare_vcpus, spare_memory_gib).",
            when=traits.room_unknown,
        ),
        Caution(
            schemes=(Scheme.BASELINE, Scheme.SUBSTITUTION, Scheme.SEPARATION, Scheme.APPLIANCE),
            text="vNICs passed through to VMs (passthrough_vnics) meet no virtual switch: their traffic escapes.",
            when=traits.passthrough,
        ),
    ),
)
