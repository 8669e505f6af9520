# SPDX-License-Identifier: Apache-2.0
"""What the operator prefers and what he insists on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.kinds import Scheme, TagPer

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
class FailoverPolicy:
    """When an appliance counts as dead, and what may be done about it.

    Two witnesses must agree: the manager, that its VM is off or out of reach; and the appliance itself, by its silence.
    """

    act: bool = True
    """False: alarm only; nothing is ever moved."""
    silence_seconds: float = 1.2
    """Longer than this without a sign of life, and it counts as silent."""
    return_seconds: float = 30.0
    """How long both witnesses must find it alive before it serves again."""
    budget: int = 2
    """At most so many hosts are acted on at a time. More at once is rather a fault of ours, or of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliancePolicy:
    """How appliances are made. `template`, `management` and `tunnel` are names in their manager.

    `database` is the Anyvisor database as an appliance reaches it. The tunnel addresses of a host's appliances are its
    `tunnel_ip` and its `appliance_ips`, with this `prefix_length`; one without asks by DHCP.
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
    count: int = 1
    """Appliances per host. They share its vNICs and stand in for each other."""
    tags: TagPer = TagPer.VNIC
    """With one per network, neighbours on a host escape; the price of more vNICs, and of a shorter way."""
    agent_package: str | None = None
    """What pip or apt installs the agent from; None: this release, by its name."""
    ca: str | None = None
    """The certificate (PEM text) of the authority of the databases; None: the image has it, if it is needed."""
    failover: FailoverPolicy = field(default_factory=FailoverPolicy)

    @property
    def is_secured(self) -> bool:
        """Whether an appliance needs a key and a certificate of its own."""
        return self.ca is not None or any(part.startswith("ssl:") for part in self.database.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A default, what clusters override of it, and the VLANs that anyvisor may hand out per physical network."""

    default: Preference = field(default_factory=Preference)
    clusters: Mapping[str, Preference] = field(default_factory=dict)
    vlans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Physical network to (first, last) VLAN, both ends included."""
    appliance: AppliancePolicy | None = None
    """None: anyvisor makes no appliance; the operator's own are used."""

    @property
    def shares_tags(self) -> bool:
        """Whether the vNICs of a network share a tag on an inner switch."""
        return self.appliance is not None and self.appliance.tags is TagPer.NETWORK

    def of_cluster(self, cluster: str | None) -> Preference:
        """What holds for hosts of that cluster."""
        return self.clusters.get(cluster, self.default) if cluster is not None else self.default
