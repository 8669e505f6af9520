# SPDX-License-Identifier: Apache-2.0
"""The closed vocabularies: hypervisors, schemes, switches, attachments.

The six schemes are those of draft-gu-sdnrg-decoupling-scheme-hypervisor-00, sections 4 to 7.
"""

from __future__ import annotations

from enum import StrEnum


class Hypervisor(StrEnum):
    """What runs the VMs of a host."""

    KVM = "kvm"
    ESXI = "esxi"
    XEN = "xen"


class Scheme(StrEnum):
    """How a host is decoupled from the SDN."""

    BASELINE = "baseline"
    """OVS and ovn-controller on the host: the yardstick (draft section 4, figure 1)."""
    VENDOR = "vendor"
    """The vendor's own controller keeps the host (draft section 5, figure 2)."""
    SEPARATION = "separation"
    """The native switch stays and is driven beside the SDN (draft section 5, first idea)."""
    SUBSTITUTION = "substitution"
    """The native switch is replaced by OVS (draft section 5 (1), figure 3)."""
    APPLIANCE = "appliance"
    """A VM acts as the switch of its host (draft section 5 (2), figure 4)."""
    NIC = "nic"
    """The network card switches (draft section 7)."""


class SwitchKind(StrEnum):
    """What VM NICs plug into."""

    OPENVSWITCH = "openvswitch"
    LINUX_BRIDGE = "linux-bridge"
    VSS = "vss"
    VDS = "vds"
    NIC_ESWITCH = "nic-eswitch"
    NSX = "nsx"


class AttachmentKind(StrEnum):
    """How one vNIC is bound to its logical port; the scheme of the host chooses."""

    VIF = "vif"
    """An OVS interface with ``iface-id`` on br-int."""
    VLAN_ACCESS = "vlan-access"
    """A patch pair per vNIC on the appliance; a plain VIF to OVN."""
    CHILD = "child"
    """An OVN child port (parent, tag_request) on the trunk vNIC of an appliance without agent."""
    EXTERNAL = "external"
    """An OVN external port behind a localnet port."""
    REPRESENTOR = "representor"
    """The representor of a virtual function, on the card."""
    ENTITY = "entity"
    """A port in the vendor's own controller."""

    @property
    def is_station(self) -> bool:
        """It sits behind a switch that the SDN controller does not program, on the VLAN that joins its network."""
        return self in {AttachmentKind.EXTERNAL, AttachmentKind.ENTITY}

    @property
    def is_trunked(self) -> bool:
        """It is on a VLAN of an inner switch, whose only way out is the trunk to an appliance."""
        return self in {AttachmentKind.VLAN_ACCESS, AttachmentKind.CHILD}


class NetworkKind(StrEnum):
    """How a logical network is carried between hosts."""

    OVERLAY = "overlay"
    VLAN = "vlan"


class Fallback(StrEnum):
    """What becomes of a network's vNICs behind an appliance that died."""

    CLOSED = "closed"
    """They are cut off until that appliance serves again."""
    STANDBY = "standby"
    """Another appliance of their host takes them over; without one they are cut off."""
    OPEN = "open"
    """The same; but without another appliance they fall back to their network's VLAN on the native switch: escaped."""


class TagPer(StrEnum):
    """What has a tag of its own on the native switch that an appliance serves."""

    VNIC = "vnic"
    """Each vNIC is alone: every frame crosses the appliance."""
    NETWORK = "network"
    """The vNICs of a network share one: on one host they talk on the native switch, around the appliance."""


class Direction(StrEnum):
    """Seen from the VM: ingress is what it receives."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Protocol(StrEnum):
    """What a rule matches; `icmp` covers ICMP on IPv4 and ICMPv6 on IPv6."""

    ANY = "any"
    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
