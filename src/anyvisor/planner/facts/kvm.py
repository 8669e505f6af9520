# SPDX-License-Identifier: Apache-2.0
"""What is known about KVM hosts (libvirt, Nova, or neither)."""

from __future__ import annotations

from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.planner.facts import traits
from anyvisor.planner.facts.rows import DRAFT, HOST, Caution, Row, Table
from anyvisor.planner.facts.traits import both, has_switch, lacks

_NO_VENDOR = Row(
    scheme=Scheme.VENDOR,
    possible=False,
    code="KVM_NO_VENDOR_CONTROLLER",
    reason="KVM has no vendor controller that could keep the host; that scheme is for ESXi with a VDS or NSX.",
    source=f"{DRAFT} section 5, figure 2",
)

_BASELINE = (
    Row(
        scheme=Scheme.BASELINE,
        possible=True,
        code="OPEN_VSWITCH_PRESENT",
        reason="The host runs Open vSwitch already, so the SDN controller can program it as it is.",
        source=f"{DRAFT} section 4, figure 1",
        when=traits.on_open_vswitch,
    ),
    Row(
        scheme=Scheme.BASELINE,
        possible=False,
        code="NO_OPEN_VSWITCH",
        reason="No Open vSwitch runs on the host; to bring it there is the scheme substitution.",
        source=HOST,
    ),
)

_SEPARATION = (
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_NATIVE_SWITCH",
        reason="The host has no Linux bridge that could stay beside the SDN.",
        source=HOST,
        when=lacks(traits.has_native_switch),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=True,
        code="NATIVE_SWITCH_STAYS",
        reason="The Linux bridge stays; networks become VLANs on the physical network it is cabled to.",
        source=f"{DRAFT} section 5; ovn-nb(5): logical ports of type external and localnet",
        when=traits.reaches_physical_network,
        warnings=(
            "Traffic between two VMs behind Linux bridges never meets the SDN controller: it escapes.",
            "Security rules of these ports hold only at far ends that the controller manages.",
        ),
    ),
    Row(
        scheme=Scheme.SEPARATION,
        possible=False,
        code="NO_PHYSICAL_NETWORK",
        reason="No bridge of the host has an uplink and no card is cabled to a physical network.",
        source=HOST,
    ),
)

_SUBSTITUTION = (
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="ALREADY_OPEN_VSWITCH",
        reason="The host runs Open vSwitch already; there is nothing to replace.",
        source=HOST,
        when=traits.on_open_vswitch,
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=True,
        code="LINUX_BRIDGE_REPLACEABLE",
        reason="Open vSwitch and ovn-controller can take the place of the Linux bridge.",
        source=f"{DRAFT} section 5 (1), figure 3; libvirt: virtualport type openvswitch",
        when=has_switch(SwitchKind.LINUX_BRIDGE),
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=True,
        code="NO_SWITCH_YET",
        reason="The host has no virtual switch yet, so Open vSwitch can be brought there without replacing one.",
        source=f"{DRAFT} section 5 (1), figure 3",
        when=lambda host: not host.switches,
    ),
    Row(
        scheme=Scheme.SUBSTITUTION,
        possible=False,
        code="SWITCH_NOT_REPLACEABLE",
        reason="The host's switch is neither a Linux bridge nor Open vSwitch, so nothing here knows how to replace it.",
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
        code="APPLIANCE_NOT_NEEDED",
        reason="An appliance works on KVM, but the host can run the same switch without the detour through a VM.",
        source=f"{DRAFT} section 5 (2), figure 4; measured: a local frame costs 2.3 times the CPU",
    ),
)

_NIC = (
    Row(
        scheme=Scheme.NIC,
        possible=True,
        code="DPU_PRESENT",
        reason="The host has a DPU, on which Open vSwitch and ovn-controller can run.",
        source=f"{DRAFT} section 7; ovn-controller(8): card-serial-number; Nova: remote-managed ports",
        when=lambda host: any(nic.dpu for nic in host.nics),
    ),
    Row(
        scheme=Scheme.NIC,
        possible=True,
        code="SWITCHDEV_NIC_PRESENT",
        reason="The host has a card in switchdev mode, to which Open vSwitch can offload its flows.",
        source=f"{DRAFT} section 7; Open vSwitch: hw-offload",
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
    hypervisor=Hypervisor.KVM,
    rows=(*_BASELINE, _NO_VENDOR, *_SEPARATION, *_SUBSTITUTION, *_APPLIANCE, *_NIC),
    cautions=(
        Caution(
            schemes=(Scheme.NIC,),
            text="A VM with a virtual function passed through can be live-migrated only with vDPA or failover pairs.",
            when=traits.any_host,
        ),
        Caution(
            schemes=(Scheme.NIC,),
            text="The card offers no virtual functions, as far as is known; it needs one per vNIC.",
            when=lacks(traits.offers_vfs),
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
        Caution(
            schemes=(Scheme.BASELINE,),
            text="A Linux bridge with an uplink is there too: VMs plugged into it stay outside the SDN until moved.",
            when=both(
                has_switch(SwitchKind.LINUX_BRIDGE),
                lambda host: any(s.uplinks for s in host.switches if s.kind is SwitchKind.LINUX_BRIDGE),
            ),
        ),
    ),
)
