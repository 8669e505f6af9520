# SPDX-License-Identifier: Apache-2.0
"""An intent with one of everything, and a few decisions on it: what tests of stores write and read back."""

from __future__ import annotations

from dataclasses import replace

from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import (
    AttachmentKind,
    Direction,
    Hypervisor,
    NetworkKind,
    Protocol,
    Scheme,
    SwitchKind,
)
from anyvisor.model.names import (
    GroupName,
    HostName,
    Mac,
    NetworkName,
    ObjectKey,
    PortName,
    RouterName,
    SwitchName,
)
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Controller, Manager, Site

KVM1, KVM2 = HostName("kvm1"), HostName("kvm2")
RED, BLUE = NetworkName("red"), NetworkName("blue")
P1, P2 = PortName("p1"), PortName("p2")
MAC = Mac("52:54:00:00:00:01")
SCOPE = "switch/kvm2/br0"
READY = Condition(kind="Ready", true=True, reason="Up")
WAITS = Condition(
    kind="Attached", true=False, reason="NotPlugged", message="the vNIC is not there: kvm1 has none"
)

SITE = Site(
    controller=Controller(northbound="unix:/nb", southbound="unix:/sb", southbound_for_chassis="tcp:192.0.2.1:6642"),
    managers={
        "vc": Manager(
            name="vc",
            driver="nsx",
            url="https://vc/sdk",
            credentials="env:VC",
            ca="/ca.pem",
            transport_zone="vlans",
            vcenter="vc1",
        ),
    },
    hosts={
        KVM1: Host(name=KVM1, hypervisor=Hypervisor.KVM, version="9.0", cluster="lab", tunnel_ip="192.0.2.11"),
        KVM2: Host(
            name=KVM2,
            hypervisor=Hypervisor.KVM,
            scheme=Scheme.SEPARATION,
            switches=(
                NativeSwitch(name=SwitchName("br1"), kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth1", "eth0")),
                NativeSwitch(name=SwitchName("br0"), kind=SwitchKind.LINUX_BRIDGE),
            ),
            nics=(Nic(name="eth1", speed_gbps=25.0, physical="fabric", vlan=200), Nic(name="eth0", switchdev=True)),
            facts={"edition": "standard", "spare_vcpus": 4, "load": 0.5, "vmotion": True, "zero": 0, "no": False},
            ovsdb="tcp:192.0.2.12:6640",
            manager="vc",
        ),
    },
    policy=Policy(
        default=Preference(prefer=(Scheme.SEPARATION, Scheme.BASELINE), floor=Floor(controlled=0.5)),
        clusters={"lab": Preference()},
        vlans={"fabric": (200, 210)},
    ),
    networks={
        RED: Network(
            name=RED,
            kind=NetworkKind.OVERLAY,
            mtu=1400,
            subnets=(
                Subnet(cidr="10.1.0.0/24", gateway="10.1.0.1", dhcp=True, dns=("10.0.0.53", "10.0.0.52")),
                Subnet(cidr="2001:db8:1::/64"),
            ),
        ),
        BLUE: Network(name=BLUE, kind=NetworkKind.VLAN, physical="fabric", vlan=100),
    },
    routers={
        RouterName("r1"): Router(
            name=RouterName("r1"), networks=(RED,), external=ExternalGateway(network=BLUE, ip="203.0.113.9")
        ),
        RouterName("r0"): Router(name=RouterName("r0")),
    },
    security_groups={
        GroupName("web"): SecurityGroup(
            name=GroupName("web"),
            rules=(
                Rule(direction=Direction.INGRESS, protocol=Protocol.TCP, ports=(PortRange(first=80, last=89),)),
                Rule(direction=Direction.EGRESS, group=GroupName("web")),
                Rule(direction=Direction.INGRESS, cidr="10.0.0.0/8"),
            ),
        )
    },
    ports={
        P1: Port(
            name=P1, network=RED, vm="db", host=KVM1, mac=MAC, ips=("10.1.0.9", "10.1.0.5"),
            security_groups=(GroupName("web"), GroupName("a")), floating_ip="203.0.113.10",
        ),
        P2: Port(name=P2, network=RED),
    },
)  # fmt: skip

HOST1, HOST2 = ObjectKey("host", KVM1), ObjectKey("host", KVM2)
PORT1, PORT2 = ObjectKey("port", P1), ObjectKey("port", P2)
EVERYTHING = frozenset(
    {
        ObjectKey("manager", "vc"), HOST1, HOST2, ObjectKey("network", RED), ObjectKey("network", BLUE),
        ObjectKey("router", "r1"), ObjectKey("router", "r0"), ObjectKey("group", "web"), PORT1, PORT2,
        ObjectKey("policy", "site"),
    }
)  # fmt: skip


def attached(
    port: PortName = P1, host: HostName = KVM1, kind: AttachmentKind = AttachmentKind.VIF
) -> Attachment:
    """An attachment with a native switch and a VLAN, shared, where its kind has one."""
    tagged = kind is not AttachmentKind.VIF
    return Attachment(
        port=port, host=host, kind=kind, network=RED, mac=MAC, vm="vm1" if tagged else None,
        vlan=200 if tagged else None, switch=SwitchName("br0") if tagged else None, shared=tagged,
    )  # fmt: skip


def without_port(site: Site, port: PortName) -> Site:
    """The site less one port."""
    return replace(site, ports={name: each for name, each in site.ports.items() if name != port})
