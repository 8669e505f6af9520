# SPDX-License-Identifier: Apache-2.0
"""A hypervisor host as its manager or the site file describes it: the facts that a plan rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.names import HostName, SwitchName

Fact = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeSwitch:
    """A virtual switch that the host has. `version` is the vendor's, `""` where there is none."""

    name: SwitchName
    kind: SwitchKind
    version: str = ""
    uplinks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A physical network card (one function of it)."""

    name: str
    speed_gbps: float | None = None
    sriov_vfs: int = 0
    switchdev: bool = False
    dpu: str | None = None
    """Serial number of the DPU that this card is, None for a plain card."""
    physical: str | None = None
    """The physical network that the card is cabled to, as networks name it in `physical`."""
    vlan: int | None = None
    """Set where the fabric gives this card one access VLAN; None for a trunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One hypervisor host.

    `facts` holds what has no column of its own (``edition``, ``spare_vcpus``, ``vcenter``, …); keys are those of
    docs/reference/site.md.
    """

    name: HostName
    hypervisor: Hypervisor
    version: str = ""
    cluster: str | None = None
    scheme: Scheme | None = None
    """Pinned by the operator; None lets the policy choose."""
    switches: tuple[NativeSwitch, ...] = ()
    nics: tuple[Nic, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    tunnel_ip: str | None = None
    """Underlay address for Geneve; None lets the agent take the address that routes to the controller."""
    appliance_ips: tuple[str, ...] = ()
    """Underlay addresses of the host's second appliance and those after it; `tunnel_ip` is the first one's."""
    ovsdb: str | None = None
    """OVSDB remote of the host's Open vSwitch (``ssl:…``, ``tcp:…``, ``unix:…``) where no agent runs there."""
    manager: str | None = None
    """Which manager reported the host; None for one that stands only in the site file."""

    def switch_of_kind(self, kind: SwitchKind) -> NativeSwitch | None:
        """The first switch of that kind, None if the host has none."""
        return next((switch for switch in self.switches if switch.kind is kind), None)
