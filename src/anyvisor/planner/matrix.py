# SPDX-License-Identifier: Apache-2.0
"""Which scheme is possible on which kind of host: the planner's own answers for hosts as they are usually met. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from anyvisor.model.host import Fact, Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.model.plan import Verdict
from anyvisor.model.policy import PREFERENCE, Preference
from anyvisor.planner.availability import missing
from anyvisor.planner.choose import choose, verdicts


class Answer(StrEnum):
    """What a cell says."""

    CHOSEN = "chosen"
    """It is what such a host gets, unless the operator says otherwise."""
    YES = "yes"
    ON_REQUEST = "on request"
    """Possible, but never chosen unasked."""
    ON_PAPER = "on paper"
    """It is planned; this release cannot carry it out."""
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One scheme on one kind of host. `lacking` are the drivers that this release does not have."""

    answer: Answer
    verdict: Verdict
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of host, in words, with an answer for each scheme."""

    kind: str
    cells: Mapping[Scheme, Cell]


def matrix() -> tuple[Row, ...]:
    """A row for each of the `KINDS`."""
    return tuple(Row(kind=kind, cells=_cells(host)) for kind, host in KINDS.items())


def _cells(host: Host) -> dict[Scheme, Cell]:
    chosen = choose(host, Preference()).scheme
    found = verdicts(host)
    return {scheme: _cell(host, found[scheme], chosen=scheme is chosen) for scheme in PREFERENCE}


def _cell(host: Host, verdict: Verdict, *, chosen: bool) -> Cell:
    lacking = missing(host, verdict.scheme) if verdict.possible else ()
    if not verdict.possible:
        answer = Answer.NO
    elif lacking:
        answer = Answer.ON_PAPER
    elif chosen:
        answer = Answer.CHOSEN
    else:
        answer = Answer.YES if verdict.advised else Answer.ON_REQUEST
    return Cell(answer=answer, verdict=verdict, lacking=lacking)


def _host(
    hypervisor: Hypervisor,
    switch: SwitchKind | None,
    *,
    version: str = "",
    nic: Nic | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> Host:
    card = nic or Nic(name="eth0", physical="fabric")
    native = SwitchName("switch0")
    return Host(
        name=HostName("host"),
        hypervisor=hypervisor,
        version=version,
        switches=() if switch is None else (NativeSwitch(name=native, kind=switch, uplinks=(card.name,)),),
        nics=(card,),
        facts={"spare_vcpus": 4, "spare_memory_gib": 16, **(facts or {})},
    )


_DPU = Nic(name="p0", dpu="MT1", sriov_vfs=8, switchdev=True, physical="fabric")
_SMART = Nic(name="p0", sriov_vfs=8, switchdev=True, physical="fabric")
_VDS: Mapping[str, Fact] = {"vcenter": True, "edition": "enterprise-plus"}
_KVM, _ESXI, _XEN = Hypervisor.KVM, Hypervisor.ESXI, Hypervisor.XEN

KINDS: Mapping[str, Host] = {
    "KVM with Open vSwitch": _host(_KVM, SwitchKind.OPENVSWITCH),
    "KVM with a Linux bridge": _host(_KVM, SwitchKind.LINUX_BRIDGE),
    "KVM with a DPU": _host(_KVM, SwitchKind.NIC_ESWITCH, nic=_DPU),
    "KVM that drives a card in switchdev mode": _host(_KVM, SwitchKind.OPENVSWITCH, nic=_SMART),
    "ESXi 8 with a distributed switch": _host(_ESXI, SwitchKind.VDS, version="8.0.3", facts=_VDS),
    "ESXi 8 with a standard switch": _host(
        _ESXI, SwitchKind.VSS, version="8.0.3", facts={"vcenter": True, "edition": "standard"}
    ),
    "ESXi 8 under NSX": _host(_ESXI, SwitchKind.NSX, version="8.0.3", facts=_VDS),
    "ESXi 8 with a DPU of its own Linux": _host(
        _ESXI, SwitchKind.VDS, version="8.0.3", nic=_DPU, facts={**_VDS, "dpu_owner": "linux"}
    ),
    "ESXi 8 with a DPU that ESXi runs": _host(
        _ESXI, SwitchKind.VDS, version="8.0.3", nic=_DPU, facts={**_VDS, "dpu_owner": "esxi"}
    ),
    "Xen under xl, Linux bridge": _host(_XEN, SwitchKind.LINUX_BRIDGE, version="4.17"),
    "Xen under xl, Open vSwitch": _host(_XEN, SwitchKind.OPENVSWITCH, version="4.17"),
    "Xen under xl whose dom0 must stay": _host(
        _XEN, SwitchKind.LINUX_BRIDGE, version="4.17", facts={"dom0_locked": True}
    ),
    "Xen under xl with a DPU": _host(_XEN, SwitchKind.NIC_ESWITCH, version="4.17", nic=_DPU),
    "XCP-ng 8.3 (XAPI)": _host(_XEN, SwitchKind.OPENVSWITCH, version="8.3.0"),
    "XCP-ng 8.3 whose dom0 must stay": _host(
        _XEN, SwitchKind.OPENVSWITCH, version="8.3.0", facts={"dom0_locked": True}
    ),
    "XCP-ng 8.3 that obeys another SDN controller": _host(
        _XEN, SwitchKind.OPENVSWITCH, version="8.3.0", facts={"sdn_controller": "ssl:192.0.2.9:6640"}
    ),
}
"""Hosts as they are usually met, each with room for an appliance and a card on a physical network."""
