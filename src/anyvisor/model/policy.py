# SPDX-License-Identifier: Apache-2.0
"""What the operator prefers and what he insists on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.kinds import Scheme

PREFERENCE: tuple[Scheme, ...] = (
    Scheme.BASELINE,
    Scheme.SUBSTITUTION,
    Scheme.NIC,
    Scheme.APPLIANCE,
    Scheme.SEPARATION,
    Scheme.VENDOR,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least share (0..1) of vNIC bytes that a scheme must let the controller govern, and see."""

    controlled: float = 0.0
    observed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How to choose among the possible schemes."""

    prefer: tuple[Scheme, ...] = PREFERENCE
    floor: Floor = field(default_factory=Floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliancePolicy:
    """How appliances are made. `template`, `management` and `tunnel` are names in their manager.

    `database` is the Anyvisor database as an appliance reaches it. An appliance's tunnel address is its host's
    `tunnel_ip`, with this `prefix_length`; without one it asks by DHCP.
    """

    template: str
    management: str
    tunnel: str
    database: str
    prefix_length: int = 24
    gateway: str | None = None
    physical: str | None = None
    """The physical network that the tunnel card is cabled to; None: it carries tunnels alone."""
    datapath: str = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A default, what clusters override of it, and the VLANs that anyvisor may hand out per physical network."""

    default: Preference = field(default_factory=Preference)
    clusters: Mapping[str, Preference] = field(default_factory=dict)
    vlans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Physical network to (first, last) VLAN, both ends included."""
    appliance: AppliancePolicy | None = None
    """None: anyvisor makes no appliance; the operator's own are used."""

    def of_cluster(self, cluster: str | None) -> Preference:
        """What holds for hosts of that cluster."""
        return self.clusters.get(cluster, self.default) if cluster is not None else self.default
