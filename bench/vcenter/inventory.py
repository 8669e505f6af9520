# SPDX-License-Identifier: Apache-2.0
"""Data centres of any size, all of one shape, and the site over them: clusters of four hosts, one distributed switch.

Three hosts of a cluster have an appliance, the fourth is separated. Each VM has one vNIC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.network import Network, Subnet
from anyvisor.model.policy import AppliancePolicy, Policy
from anyvisor.model.port import Port
from anyvisor.model.site import Controller, Manager, Site

HOSTS_PER_CLUSTER = 4
VNICS_PER_NETWORK = 200
OFFICE = "office"
"""The operator's port group that all vNICs are in before anyvisor takes them."""
_SWITCH = "dvs"
_FIRST_VLAN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much there is of everything. `spares` are VMs beyond the vNICs, without a port at first."""

    hosts: int
    vnics: int
    spares: int

    def __str__(self) -> str:
        return f"{self.hosts} hosts, {self.vnics:,} vNICs"

    @property
    def host_names(self) -> tuple[HostName, ...]:
        """All hosts."""
        return tuple(HostName(f"esx{number:03}") for number in range(self.hosts))

    @property
    def served(self) -> tuple[HostName, ...]:
        """Those with an appliance."""
        return tuple(name for number, name in enumerate(self.host_names) if not _separated(number))

    @property
    def vms(self) -> dict[str, HostName]:
        """The VM of each vNIC, and its host: consecutive ones side by side, as networks are laid out."""
        names = self.host_names
        return {f"vm{number:05}": names[number * self.hosts // self.vnics] for number in range(self.vnics)}

    @property
    def spare_vms(self) -> dict[str, HostName]:
        """Likewise, those without a port."""
        return {f"spare{number:02}": self.host_names[0] for number in range(self.spares)}


def cluster_of(number: int) -> str:
    """The cluster of host `number`."""
    return f"C{number // HOSTS_PER_CLUSTER:02}"


def _separated(number: int) -> bool:
    return number % HOSTS_PER_CLUSTER == HOSTS_PER_CLUSTER - 1


def inventory(size: Size) -> dict[str, Any]:
    """What the lab's vCenter begins with."""
    names = size.host_names
    vms = [
        {"name": vm, "host": host, "nics": [{"switch": _SWITCH, "network": OFFICE}]}
        for vm, host in (size.vms | size.spare_vms).items()
    ]
    cards = [{"network": "VM Network"}] * 3
    golden = {"name": "golden", "host": names[0], "template": True, "nics": cards}
    switch = {
        "name": _SWITCH,
        "version": "7.0.0",
        "members": [{"host": name, "pnics": ["vmnic0"]} for name in names],
        "port_groups": [{"name": OFFICE, "vlan": 7, "ports": len(vms) + 8}],
    }
    centre = {
        "name": "DC",
        "clusters": [{"name": name} for name in sorted({cluster_of(n) for n in range(size.hosts)})],
        "hosts": [_esxi(number, name) for number, name in enumerate(names)],
        "distributed_switches": [switch],
        "vms": [*vms, golden],
    }
    return {"name": f"bench {size}", "datacenters": [centre]}


def _esxi(number: int, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "cluster": cluster_of(number),
        "licence": "enterprise-plus",
        "cpu_cores": 64,
        "memory_mb": 1048576,
        "pnics": [{"name": "vmnic0"}, {"name": "vmnic1"}],
        "switches": [{"name": "vSwitch0", "uplinks": ["vmnic1"], "port_groups": [{"name": "VM Network"}]}],
    }


def site(size: Size, manager: Manager, controller: Controller, macs: Mapping[str, Mac]) -> Site:
    """A port for each vNIC."""
    networks = range(-(-size.vnics // VNICS_PER_NETWORK))
    ports = (port(vm, number, host, macs[vm]) for number, (vm, host) in enumerate(size.vms.items()))
    return Site(
        controller=controller,
        managers={manager.name: manager},
        hosts={name: _host(number, name) for number, name in enumerate(size.host_names)},
        networks={network_of(VNICS_PER_NETWORK * number): _network(number) for number in networks},
        ports={each.name: each for each in ports},
        policy=Policy(
            appliance=AppliancePolicy(
                template="golden",
                management="VM Network",
                tunnel="VM Network",
                database="ssl:192.0.2.1:6640",
            )
        ),
    )


def port(vm: str, number: int, host: HostName, mac: Mac) -> Port:
    """The port of a VM, as that of vNIC `number` would be."""
    return Port(name=PortName(vm), network=network_of(number), vm=vm, host=host, mac=mac)


def network_of(number: int) -> NetworkName:
    """The network of vNIC `number`."""
    return NetworkName(f"n{number // VNICS_PER_NETWORK:03}")


def _network(number: int) -> Network:
    subnet = Subnet(cidr=f"10.{number // 250}.{number % 250}.0/24", dhcp=True)
    return Network(
        name=network_of(VNICS_PER_NETWORK * number),
        kind=NetworkKind.OVERLAY,
        physical="fabric",
        vlan=_FIRST_VLAN + number,
        subnets=(subnet,),
    )


def _host(number: int, name: HostName) -> Host:
    switch = NativeSwitch(name=SwitchName(_SWITCH), kind=SwitchKind.VDS, version="7.0.0", uplinks=("vmnic0",))
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster_of(number),
        scheme=Scheme.SEPARATION if _separated(number) else Scheme.APPLIANCE,
        tunnel_ip=f"198.18.{number // 250}.{number % 250 + 1}",
        switches=(switch,),
        nics=(Nic(name="vmnic0", physical="fabric"), Nic(name="vmnic1", physical="fabric")),
    )
