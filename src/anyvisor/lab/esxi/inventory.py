# SPDX-License-Identifier: Apache-2.0
"""The inventory with which the lab's vCenter begins: hosts, their switches, their VMs, the appliance's template. Pure.

It is what an operator has before anyvisor comes: switches with an uplink, and his own port groups on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from anyvisor.lab.topology import LabHost, LabNic, LabVm, Topology
from anyvisor.model.kinds import SwitchKind

LICENCES = ("enterprise-plus", "standard", "free", "evaluation")
OPEN = {"security": {"promiscuous": True, "forged_transmits": True, "mac_changes": True}}
ALL_VLANS = 4095
"""On a standard switch: all VLANs, tagged as they are (virtual guest tagging)."""
PORTS = 16
"""Ports of a distributed port group to begin with."""


def inventory(topology: Topology) -> dict[str, Any]:
    """What the program reads."""
    centre, hosts = topology.vcenter, topology.esxi_hosts
    clusters = dict.fromkeys(host.cluster for host in hosts if host.cluster)
    return {
        "name": f"{topology.name}-{centre.name}",
        "datacenters": [
            {
                "name": centre.datacenter,
                "clusters": [{"name": name} for name in clusters],
                "hosts": [_host(topology, host) for host in hosts],
                "distributed_switches": list(_distributed(topology, hosts)),
                "vms": [*_vms(topology), _template(topology)],
            }
        ],
    }


def switch_version(host_version: str) -> str:
    """The newest version of a distributed switch that hosts of that version take part in."""
    major, _, rest = host_version.partition(".")
    if major == "6":
        return "6.6.0" if rest.startswith("7") else "6.5.0"
    return f"{major}.0.0"


def _host(topology: Topology, host: LabHost) -> dict[str, Any]:
    licence = host.edition if host.edition in LICENCES else "enterprise-plus"
    entry: dict[str, Any] = {
        "name": host.name,
        "version": host.version,
        "licence": licence,
        "cpu_cores": 8,
        "memory_mb": 32768,
        "pnics": [_pnic(host, nic) for nic in host.nics],
        "switches": [],
    }
    if host.cluster:
        entry["cluster"] = host.cluster
    if host.switch is SwitchKind.VSS:
        groups = [
            {"name": group.name, **({"vlan": ALL_VLANS, **OPEN} if group.trunk else {"vlan": group.vlan})}
            for group in topology.vcenter.port_groups
        ]
        entry["switches"] = [
            {
                "name": host.bridge,
                "mtu": topology.underlay.mtu,
                "uplinks": [host.nics[0].name],
                "port_groups": groups,
            }
        ]
    return entry


def _pnic(host: LabHost, nic: LabNic) -> dict[str, Any]:
    entry = {"name": nic.name, "mbps": 10000}
    if host.dpu is not None and nic == host.cable:
        entry["sriov_functions"] = host.dpu.functions
    return entry


def _distributed(topology: Topology, hosts: Iterable[LabHost]) -> Iterator[dict[str, Any]]:
    switches: dict[str, list[LabHost]] = {}
    for host in hosts:
        if host.switch is SwitchKind.VDS:
            switches.setdefault(host.bridge, []).append(host)
    for name, members in switches.items():
        groups = [
            {
                "name": topology.port_group(members[0], group.name),
                "ports": PORTS,
                **({"trunk": [[0, 4094]], **OPEN} if group.trunk else {"vlan": group.vlan}),
            }
            for group in topology.vcenter.port_groups
        ]
        yield {
            "name": name,
            "version": min(switch_version(host.version) for host in members),
            "mtu": topology.underlay.mtu,
            "uplinks": ["uplink1"],
            "members": [{"host": host.name, "pnics": [host.nics[0].name]} for host in members],
            "port_groups": groups,
        }


def _vms(topology: Topology) -> Iterator[dict[str, Any]]:
    for host in topology.esxi_hosts:
        for vm in topology.vms_of(host.name):
            yield {"name": vm.name, "host": host.name, "nics": [_nic(topology, host, vm)]}


def _nic(topology: Topology, host: LabHost, vm: LabVm) -> dict[str, Any]:
    group = vm.port_group or topology.vcenter.port_groups[-1].name
    nic = {"mac": vm.mac, "manual_mac": True, "network": topology.port_group(host, group)}
    if host.dpu is not None:
        nic["type"] = "sriov"  # a function of the card, passed through
    return {**nic, "switch": host.bridge} if host.switch is SwitchKind.VDS else nic


def _template(topology: Topology) -> dict[str, Any]:
    """Three cards, plugged into nothing: whoever makes an appliance of it says where they go."""
    first = topology.esxi_hosts[0]
    return {
        "name": topology.vcenter.template,
        "host": first.name,
        "template": True,
        "power": "off",
        "cpus": 2,
        "memory_mb": 2048,
        "nics": [{}, {}, {}],
    }
