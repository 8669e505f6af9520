# SPDX-License-Identifier: Apache-2.0
"""Logical networks, their subnets, and the routers that join them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from anyvisor.model.kinds import Fallback, NetworkKind
from anyvisor.model.names import NetworkName, RouterName


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """One IP prefix on a network. `gateway` is the router's address in it, None where there is none.

    With ``dhcp`` OVN answers DHCPv4 or DHCPv6; an IPv6 subnet on a routed network is announced by router
    advertisements either way (SLAAC, RFC 4862).
    """

    cidr: str
    gateway: str | None = None
    dhcp: bool = False
    dns: tuple[str, ...] = ()

    @property
    def prefix(self) -> IPv4Network | IPv6Network:
        """The prefix as a value to calculate with."""
        return ip_network(self.cidr)

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.prefix.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One broadcast domain.

    ``overlay``: Geneve between the chassis. If a host under `separation` has a port in it, the network also gets a
    VLAN on `physical`: `vlan` if the operator names one, else one from ``policy.vlans``.
    ``vlan``: a provider network; `physical` and `vlan` are required.
    """

    name: NetworkName
    kind: NetworkKind
    physical: str | None = None
    vlan: int | None = None
    mtu: int | None = None
    """None: what the scheme and the underlay leave over."""
    subnets: tuple[Subnet, ...] = ()
    fallback: Fallback = Fallback.CLOSED
    """What becomes of its vNICs when their host's appliance dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalGateway:
    """A router's way out. `ip` on `network`; None lets anyvisor take the first free address."""

    network: NetworkName
    snat: bool = True
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A distributed router between `networks`, with an optional centralised external gateway."""

    name: RouterName
    networks: tuple[NetworkName, ...] = ()
    external: ExternalGateway | None = None
