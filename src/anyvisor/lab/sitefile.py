# SPDX-License-Identifier: Apache-2.0
"""The site file that belongs to a lab: what the lab is, in the words of `anyvisor apply -f`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from anyvisor.lab.esxi import centre
from anyvisor.lab.esxi.inventory import switch_version
from anyvisor.lab.place import SOUTHBOUND_PORT, Place
from anyvisor.lab.topology import LabHost, LabVm, Topology
from anyvisor.model.kinds import Scheme, SwitchKind


def write(place: Place, topology: Topology) -> None:
    """Write ``site.yaml`` and one ``site-VARIANT.yaml`` per variant into the lab's folder.

    Emulated hosts and their VMs are left out: they are not switched on yet.
    """
    topology = topology.without_emulated
    place.site().write_text(text(place, topology), encoding="utf-8")
    for variant, pinned in topology.variants.items():
        place.site(variant).write_text(text(place, topology, pinned), encoding="utf-8")


def text(place: Place, topology: Topology, pinned: Mapping[str, Scheme] | None = None) -> str:
    """The file, one line per object."""
    return in_words(place, topology, document(place, topology, pinned or {}))


def in_words(place: Place, topology: Topology, sections: Mapping[str, Any]) -> str:
    """A site as a file, one line per object."""
    parts = [f"# The lab {place.name} ({topology.name}), made by `anyvisor lab up`.\n"]
    for key, value in sections.items():
        parts.append(_section(key, value))
    return "".join(parts)


def _section(key: str, value: object) -> str:
    def flow(item: object) -> str:
        return yaml.safe_dump(item, default_flow_style=True, sort_keys=False, width=100_000).strip()

    if isinstance(value, list):
        return f"{key}:\n" + "".join(f"  - {flow(item)}\n" for item in value)
    return f"{key}: {flow(value)}\n"


def document(place: Place, topology: Topology, pinned: Mapping[str, Scheme]) -> dict[str, Any]:
    """The site as plain data."""
    chassis = f"tcp:{topology.underlay.central}:{SOUTHBOUND_PORT}"
    controller = {"driver": "ovn", "northbound": place.northbound, "southbound": place.southbound}
    managers = {"managers": [_manager(place, topology)]} if topology.esxi_hosts else {}
    return {
        "controller": {**controller, "southbound_for_chassis": chassis},
        **managers,
        "hosts": [_host(topology, host, pinned.get(host.name, host.scheme)) for host in topology.hosts],
        **topology.site,
        "ports": [_port(vm) for vm in topology.vms],
    }


def _manager(place: Place, topology: Topology) -> dict[str, Any]:
    return {
        "name": topology.vcenter.name,
        "driver": "vsphere",
        "url": centre.url(place, topology),
        "credentials": f"file:{centre.credentials(place)}",
        "ca": str(centre.certificate(place)),
    }


def _host(topology: Topology, host: LabHost, scheme: Scheme | None) -> dict[str, Any]:
    physical = topology.underlay.physical
    nics = []
    for nic in host.nics:
        card: dict[str, Any] = {"name": nic.name, "physical": physical}
        if host.dpu is not None and nic == host.cable:
            card |= {"dpu": host.dpu.serial, "sriov_vfs": host.dpu.functions, "switchdev": True}
        nics.append(card if nic.vlan is None else {**card, "vlan": nic.vlan})
    native: dict[str, Any] = {"name": host.bridge, "kind": host.switch.value}
    if host.switch is SwitchKind.VDS:
        native["version"] = switch_version(host.version)
    entry: dict[str, Any] = {"name": host.name, "hypervisor": host.hypervisor.value}
    entry |= {key: value for key in ("version", "cluster") if (value := getattr(host, key))}
    if scheme in {None, Scheme.APPLIANCE, Scheme.NIC} or not host.is_esxi:
        entry["tunnel_ip"] = host.ip
    if host.appliance_ips:
        entry["appliance_ips"] = list(host.appliance_ips)
    switches = [{**native, "uplinks": [host.nics[0].name]}]
    if host.is_esxi and host.cable is not None:
        kind = SwitchKind.NIC_ESWITCH.value
        switches.append({"name": host.bridge_on_card, "kind": kind, "uplinks": [host.cable.name]})
    entry |= {"switches": switches, "nics": nics}
    told = {"edition": host.edition, "vcenter": True} if host.is_esxi else {}
    if host.is_esxi and host.dpu is not None:
        told["dpu_owner"] = "linux"
    facts = {**told, **host.facts}
    if facts:
        entry["facts"] = facts
    return entry if scheme is None else {**entry, "scheme": scheme.value}


def _port(vm: LabVm) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": vm.name,
        "network": vm.network,
        "vm": vm.name,
        "host": vm.host,
        "mac": vm.mac,
    }
    if vm.ips:
        entry["ips"] = list(vm.ips)
    if vm.security_groups:
        entry["security_groups"] = list(vm.security_groups)
    if vm.floating_ip:
        entry["floating_ip"] = vm.floating_ip
    return entry
