# SPDX-License-Identifier: Apache-2.0
"""A lab as its file describes it: hosts, their cards, virtual machines, what lies outside.

The file also holds the parts of the site that no host or VM gives (`site`: networks, routers, security groups,
policy); they go into the site file as they stand and are checked by the codec there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind

VCENTER = "vcenter"
HOST_NAMES_TAKEN = ("fabric", "central", VCENTER)
"""Namespaces that a lab has beside its hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """What carries tunnels and management: the fabric's untagged (native) VLAN."""

    prefix_length: int = 24
    vlan: int = 10
    mtu: int = 1700
    central: str = "192.168.77.1"
    """The address of OVN central and of the Anyvisor database."""
    physical: str = "fabric"
    """What networks and cards call this fabric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNic:
    """A card of a host. `vlan`: the access VLAN that the fabric gives it; None: a trunk, the underlay untagged."""

    name: str
    vlan: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabDpu:
    """A DPU: a namespace beside its host's, with a cable of its own. Each VM has a virtual function, whose representor
    is ``pf0vfN``. On a KVM or Xen host it is the only card: the host's own is its physical function, ``pf0hpf`` on the
    DPU. An ESXi host has another for its native switch.
    """

    serial: str
    host_ip: str = ""
    """The address of a host that is not ESXi, on its physical function."""
    functions: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LabHost:
    """A host. Its first card is the uplink of the switch that it starts with; the cable of a DPU is its last.

    On a KVM host `ip` sits on that switch's bridge; on an ESXi host it is what an appliance there tunnels with.
    """

    name: str
    ip: str
    switch: SwitchKind
    nics: tuple[LabNic, ...]
    hypervisor: Hypervisor = Hypervisor.KVM
    version: str = ""
    cluster: str | None = None
    edition: str = "enterprise-plus"
    """The vSphere licence of an ESXi host."""
    scheme: Scheme | None = None
    """Pinned in the site file."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More facts for the site file."""
    appliance_ips: tuple[str, ...] = ()
    """What the second appliance and those after it tunnel with."""
    dpu: LabDpu | None = None
    """A network card that is a machine of its own: then `ip` is the card's, and `switch` its eswitch (but on ESXi)."""

    @property
    def card(self) -> str:
        """The part in which its VMs' vNICs end: the host itself, its DPU, or where its emulator's cables begin. But for
        the last its agent runs there.
        """
        if self.is_emulated:
            return "fabric"
        return self.name if self.dpu is None else f"{self.name}-dpu"

    @property
    def is_emulated(self) -> bool:
        """Whether it is a whole machine of its own, under an emulator: a Xen host whose dom0 takes part."""
        return self.hypervisor is Hypervisor.XEN and self.dpu is None

    @property
    def bridge_on_card(self) -> str:
        """The operator's bridge where the agent runs."""
        return "br-ex" if self.dpu is not None else self.bridge

    def part_of(self, nic: LabNic) -> str:
        """The part that has that card's cable."""
        return self.name if self.is_esxi and nic != self.cable else self.card

    @property
    def cable(self) -> LabNic | None:
        """The DPU's cable."""
        return self.nics[-1] if self.dpu is not None else None

    @property
    def is_esxi(self) -> bool:
        """Whether vCenter has it."""
        return self.hypervisor is Hypervisor.ESXI

    @property
    def bridge(self) -> str:
        """The switch that the host starts with; its first card is in it. Hosts of a cluster share a distributed one."""
        match self.switch:
            case SwitchKind.OPENVSWITCH | SwitchKind.NIC_ESWITCH:
                return "br-ex"
            case SwitchKind.VSS:
                return "vSwitch0"
            case SwitchKind.VDS:
                return f"dvs-{self.cluster or self.name}"
            case _:
                return "xenbr0" if self.is_emulated else "br0"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPortGroup:
    """A port group of the operator, on the switch with the uplink of every ESXi host. VLAN 0 is the underlay."""

    name: str
    vlan: int = 0
    trunk: bool = False
    """All VLANs, tagged as they are, and frames of any sender: what an appliance's way out needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabVCenter:
    """The vCenter of a lab that has ESXi hosts. VMs begin in the last of the port groups."""

    name: str = "vc1"
    address: str = "192.168.77.2"
    port: int = 443
    user: str = "anyvisor@vsphere.local"
    datacenter: str = "DC1"
    template: str = "anyvisor-appliance"
    port_groups: tuple[LabPortGroup, ...] = (
        LabPortGroup(name="Management", vlan=0),
        LabPortGroup(name="VM Network", vlan=150),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outsider:
    """A host beyond the router, on one provider VLAN. `addresses` come with their prefix lengths."""

    name: str
    vlan: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabVm:
    """A virtual machine with one vNIC; becomes a port of the site with the same name."""

    name: str
    host: str
    network: str
    mac: str
    ips: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    floating_ip: str | None = None
    port_group: str | None = None
    """On an ESXi host: where it is plugged in to begin with; None: in the last of vCenter's port groups."""

    @property
    def device(self) -> str:
        """The host's end of its vNIC."""
        return f"tap-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePorts:
    """Where every VM listens, so that the lab can ask whether it is reached there."""

    tcp: tuple[int, ...] = (80, 5432)
    udp: tuple[int, ...] = (53, 5000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole lab. `variants` names further site files: variant to host to the scheme pinned in it."""

    name: str
    underlay: Underlay = field(default_factory=Underlay)
    hosts: tuple[LabHost, ...] = ()
    outside: tuple[Outsider, ...] = ()
    vms: tuple[LabVm, ...] = ()
    ports: ProbePorts = field(default_factory=ProbePorts)
    vcenter: LabVCenter = field(default_factory=LabVCenter)
    site: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Scheme]] = field(default_factory=dict)

    def host(self, name: str) -> LabHost:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    def device(self, vm: LabVm) -> str:
        """The far end of its vNIC, in the part `LabHost.card` of its host."""
        host = self.host(vm.host)
        return vm.device if host.dpu is None else f"pf0vf{self.vms_of(host.name).index(vm)}"

    def vms_of(self, host: str) -> tuple[LabVm, ...]:
        """The VMs that run on that host."""
        return tuple(vm for vm in self.vms if vm.host == host)

    @property
    def esxi_hosts(self) -> tuple[LabHost, ...]:
        """The hosts that vCenter has; without any there is no vCenter."""
        return tuple(host for host in self.hosts if host.is_esxi)

    @property
    def without_emulated(self) -> Topology:
        """The same without the hosts that are machines of their own under an emulator, and without their VMs."""
        gone = {host.name for host in self.hosts if host.is_emulated}
        return replace(
            self,
            hosts=tuple(host for host in self.hosts if host.name not in gone),
            vms=tuple(vm for vm in self.vms if vm.host not in gone),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """Everything that has a namespace as long as the lab is up."""
        own = ("fabric", "central", *((VCENTER,) if self.esxi_hosts else ()))
        cards = (host.card for host in self.hosts if host.dpu is not None)
        hosts = (*(host.name for host in self.hosts), *cards, *(host.name for host in self.outside))
        return (*own, *hosts, *(vm.name for vm in self.vms))

    def port_group(self, host: LabHost, name: str) -> str:
        """What vCenter calls a port group there: names of distributed ones are unique in the whole data centre."""
        return f"{host.bridge}-{name}" if host.switch is SwitchKind.VDS else name
