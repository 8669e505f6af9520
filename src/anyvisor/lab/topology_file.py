# SPDX-License-Identifier: Apache-2.0
"""Topology files: YAML to `Topology`, with every mistake at once and its place.

A file with ``extends: NAME`` is another topology and what it adds itself: hosts, VMs, hosts outside.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import resources
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import cattrs
import cattrs.v
import yaml

from anyvisor.errors import Fault, InputError
from anyvisor.lab.topology import HOST_NAMES_TAKEN, LabDpu, LabHost, Topology
from anyvisor.model.kinds import SwitchKind

DEFAULT = "kvm"
NATIVE = {True: (SwitchKind.VSS, SwitchKind.VDS), False: (SwitchKind.OPENVSWITCH, SwitchKind.LINUX_BRIDGE)}
"""The switches that ESXi hosts come with, and others."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,10}")
"""Short enough that ``tap-NAME`` is an interface name (15 characters at most)."""
ADDABLE = ("hosts", "outside", "vms")
"""What a topology can add to the one that it extends."""
MAC = re.compile(r"52(:[0-9a-f]{2}){5}")
"""The guests' MAC addresses begin with 52, so that the host's end can begin with fe, as libvirt does it."""


def packaged() -> tuple[str, ...]:
    """The names of the topologies that come with anyvisor."""
    folder = resources.files("anyvisor.lab") / "topologies"
    return tuple(
        sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))
    )


def load(name: str = DEFAULT) -> Topology:
    """The topology called `name`, or of the file at that path.

    Raises:
        InputError: there is no such topology, or the file has mistakes.
    """
    text, source = _read(name)
    return parse(text, source=source)


def _read(name: str) -> tuple[str, str]:
    """The text of a topology and what its faults call it."""
    if not _is_path(name):
        if name not in packaged():
            known = ", ".join(packaged())
            raise InputError(
                [Fault("topology", f"{name!r} is not known; there are: {known}, or give a file's path")]
            )
        item = resources.files("anyvisor.lab") / "topologies" / f"{name}.yaml"
        return item.read_text(encoding="utf-8"), f"{name}.yaml"
    try:
        return Path(name).read_text(encoding="utf-8"), name
    except OSError as error:
        raise InputError([Fault(name, error.strerror or str(error))]) from error


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def dump(topology: Topology) -> str:
    """The topology as a file from which `parse` makes the same one."""
    plain = json.loads(json.dumps(_converter().unstructure(topology)))
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=110)


def parse(text: str, *, source: str) -> Topology:
    """Read one document.

    Raises:
        InputError: with every mistake that was found.
    """
    document = _extended(_mapping(text, source), source, seen=(source,))
    document.setdefault("name", Path(source).stem)
    try:
        topology = _converter().structure(document, Topology)
    except cattrs.BaseValidationError as error:
        raise InputError(_structure_faults(error, source)) from error
    faults = [Fault(f"{source}: {place}", message) for place, message in _meaning_faults(topology)]
    if faults:
        raise InputError(faults)
    return topology


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError([Fault(source, " ".join(str(error).split()))]) from error
    if not isinstance(document, dict):
        raise InputError([Fault(source, "a mapping is expected at the top")])
    return document


def _extended(document: dict[str, Any], source: str, *, seen: tuple[str, ...]) -> dict[str, Any]:
    """What the document says, and the topology that it extends. Its own hosts and VMs come first, so that a mistake's
    place is that in its file."""
    if "extends" not in document:
        return document
    own = dict(document)
    base = own.pop("extends")
    if not isinstance(base, str):
        raise InputError([Fault(f"{source}: extends", "the name of a topology, or a file's path")])
    faults = [
        Fault(f"{source}: {key}", f"comes from {base}; only {', '.join(ADDABLE)} can be added")
        for key in own
        if key not in {"name", *ADDABLE}
    ]
    if faults:
        raise InputError(faults)
    # A path is seen from the file that names it.
    text, origin = _read(str(Path(source).parent / base) if _is_path(base) else base)
    if origin in seen:
        raise InputError([Fault(f"{source}: extends", f"{base} extends this one in turn")])
    found = _extended(_mapping(text, origin), origin, seen=(*seen, origin))
    places = {
        f"{place}: {key}": one.get(key, [])
        for place, one in ((source, own), (origin, found))
        for key in ADDABLE
    }
    if faults := [
        Fault(place, "a list is expected here") for place, it in places.items() if not isinstance(it, list)
    ]:
        raise InputError(faults)
    added = {key: [*own.get(key, []), *found.get(key, [])] for key in ADDABLE}
    return {**found, **added, "name": own.get("name", Path(source).stem)}


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def strict(value: Any, expected: type) -> Any:
        if issubclass(expected, Enum):
            return expected(value)
        if type(value) is not expected:
            raise ValueError(f"{value!r} is not a valid {expected.__name__}")
        return value

    converter.register_structure_hook(str, strict)
    converter.register_structure_hook(int, strict)
    return converter


def _structure_faults(error: cattrs.BaseValidationError, source: str) -> Iterator[Fault]:
    for line in cattrs.transform_error(error, path="", format_exception=_in_words):
        message, _, place = line.rpartition(" @ ")
        yield Fault(f"{source}: {place.lstrip('.') or 'document'}", message)


def _in_words(error: BaseException, expected: type | None) -> str:
    if isinstance(error, AttributeError):
        return "a mapping is expected here"
    if isinstance(error, ValueError) and isinstance(expected, type) and issubclass(expected, Enum):
        return f"must be one of {', '.join(str(member.value) for member in expected)}"
    if isinstance(error, ValueError):
        return str(error)
    return cattrs.v.format_exception(error, expected)


def _meaning_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    yield from _name_faults(topology)
    yield from _address_faults(topology)
    yield from _reference_faults(topology)
    for i, host in enumerate(topology.hosts):
        for key, message in _host_faults(host):
            yield f"hosts[{i}].{key}", message
    yield from _vcenter_faults(topology)
    if not topology.hosts:
        yield "hosts", "at least one host is needed"


def _name_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    places = [
        *((f"hosts[{i}].name", host.name) for i, host in enumerate(topology.hosts)),
        *((f"outside[{i}].name", host.name) for i, host in enumerate(topology.outside)),
        *((f"vms[{i}].name", vm.name) for i, vm in enumerate(topology.vms)),
    ]
    count = Counter(name for _, name in places)
    count.update(host.card for host in topology.hosts if host.dpu is not None)
    for place, name in places:
        if not NAME.fullmatch(name):
            yield place, f"{name!r}: 1 to 11 lower-case letters, digits or hyphens, a letter first"
        elif name in HOST_NAMES_TAKEN:
            yield place, f"{name!r} is a part that every lab has; choose another name"
        elif count[name] > 1:
            yield place, f"{name!r} is used {count[name]} times; hosts and VMs share one set of names"


def _address_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    macs = Counter(vm.mac for vm in topology.vms)
    for i, vm in enumerate(topology.vms):
        if not MAC.fullmatch(vm.mac):
            yield f"vms[{i}].mac", f"{vm.mac!r}: six lower-case octets, the first of them 52"
        elif macs[vm.mac] > 1:
            yield f"vms[{i}].mac", f"{vm.mac} is used {macs[vm.mac]} times"
        yield from _bad_addresses(f"vms[{i}].ips", vm.ips, interfaces=False)
        yield from _bad_addresses(
            f"vms[{i}].floating_ip", [vm.floating_ip] if vm.floating_ip else [], interfaces=False
        )
    for i, host in enumerate(topology.hosts):
        yield from _bad_addresses(f"hosts[{i}].ip", [host.ip], interfaces=False)
        if not host.nics:
            yield f"hosts[{i}].nics", "at least one card is needed: the first carries the host's own address"
        elif host.nics[0].vlan is not None:
            yield f"hosts[{i}].nics[0].vlan", "the first card is a trunk; it carries the underlay untagged"
    for i, outsider in enumerate(topology.outside):
        yield from _bad_addresses(f"outside[{i}].addresses", outsider.addresses, interfaces=True)
    yield from _bad_addresses("underlay.central", [topology.underlay.central], interfaces=False)


def _host_faults(host: LabHost) -> Iterator[tuple[str, str]]:
    if host.dpu is not None:
        yield from _dpu_faults(host, host.dpu)
    elif host.is_emulated and not re.fullmatch(r"xen[1-9]", host.name):
        yield "name", "an emulated Xen host is called xen1, xen2, …"
    if (host.dpu is None or host.is_esxi) and host.switch not in NATIVE[host.is_esxi]:
        fit = " or ".join(NATIVE[host.is_esxi])
        yield "switch", f"a host with {host.hypervisor} comes with {fit}, not {host.switch}"
    if host.is_esxi and not re.fullmatch(r"[0-9]+(\.[0-9]+)+", host.version):
        yield "version", f"{host.version!r}: an ESXi host has a version such as 8.0.3"


def _dpu_faults(host: LabHost, dpu: LabDpu) -> Iterator[tuple[str, str]]:
    if host.is_esxi and len(host.nics) < 2:
        yield "nics", "an ESXi host has a card for its native switch, and the DPU's cable last"
    if not host.is_esxi and host.switch is not SwitchKind.NIC_ESWITCH:
        yield "switch", f"a host with a DPU comes with {SwitchKind.NIC_ESWITCH}, not {host.switch}"
    if not dpu.serial:
        yield "dpu.serial", "is needed: the site knows a DPU by it"
    if not host.is_esxi:
        yield from _bad_addresses("dpu.host_ip", [dpu.host_ip], interfaces=False)


def _vcenter_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    yield from _bad_addresses("vcenter.address", [topology.vcenter.address], interfaces=False)
    known = [group.name for group in topology.vcenter.port_groups]
    if topology.esxi_hosts and not known:
        yield "vcenter.port_groups", "at least one is needed"
    for i, group in enumerate(topology.vcenter.port_groups):
        if not 0 <= group.vlan <= 4094:
            yield f"vcenter.port_groups[{i}].vlan", f"{group.vlan} is outside 0-4094"
    for i, vm in enumerate(topology.vms):
        if vm.port_group is not None and vm.port_group not in known:
            yield f"vms[{i}].port_group", f"there is no {vm.port_group!r} under vcenter.port_groups"


def _bad_addresses(place: str, texts: Iterable[str], *, interfaces: bool) -> Iterator[tuple[str, str]]:
    for text in texts:
        try:
            ip_interface(text) if interfaces else ip_address(text)
        except ValueError as error:
            yield place, str(error)


def _reference_faults(topology: Topology) -> Iterator[tuple[str, str]]:
    hosts = {host.name for host in topology.hosts}
    listed = topology.site.get("networks", ())
    networks = (
        {item.get("name") for item in listed if isinstance(item, dict)} if isinstance(listed, list) else set()
    )
    for i, host in enumerate(topology.hosts):
        if host.dpu is not None and len(topology.vms_of(host.name)) > host.dpu.functions:
            yield f"hosts[{i}].dpu.functions", f"{host.name} has more VMs than its card has functions"
    for i, vm in enumerate(topology.vms):
        if vm.host not in hosts:
            yield f"vms[{i}].host", f"there is no host {vm.host!r}"
        if vm.network not in networks:
            yield f"vms[{i}].network", f"there is no network {vm.network!r} under site.networks"
    for variant, pinned in topology.variants.items():
        for name in pinned:
            if name not in hosts:
                yield f"variants.{variant}.{name}", f"there is no host {name!r}"
    for key in topology.site:
        if key not in {"networks", "routers", "security_groups", "policy"}:
            yield (
                f"site.{key}",
                "only networks, routers, security_groups and policy; the rest is made from the lab",
            )
