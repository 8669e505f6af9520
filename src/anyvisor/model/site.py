# SPDX-License-Identifier: Apache-2.0
"""The whole intent: what exists and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.host import Host
from anyvisor.model.names import GroupName, HostName, NetworkName, PortName, RouterName
from anyvisor.model.network import Network, Router
from anyvisor.model.policy import Policy
from anyvisor.model.port import Port
from anyvisor.model.security import SecurityGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Where the SDN controller listens. Remotes in OVSDB notation: ``ssl:HOST:PORT``, ``tcp:…``, ``unix:PATH``."""

    driver: str = "ovn"
    northbound: str = ""
    southbound: str = ""
    southbound_for_chassis: str = ""
    """The southbound remote as a chassis reaches it; empty: the same as `southbound`."""

    @property
    def for_chassis(self) -> str:
        """The southbound remote that a chassis is given."""
        return self.southbound_for_chassis or self.southbound


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Something that reports hosts, VMs and vNICs (a vCenter, a libvirtd, an XAPI pool), or an NSX beside a vCenter."""

    name: str
    driver: str
    url: str = ""
    credentials: str | None = None
    """``env:NAME`` or ``file:PATH``; never the secret itself."""
    ca: str | None = None
    transport_zone: str | None = None
    """The VLAN transport zone of NSX in which segments are made: its path or its display name."""
    vcenter: str | None = None
    """The manager whose hosts this NSX switches; None: the only vSphere one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything by name. Frozen: a changed site is another site."""

    controller: Controller | None = None
    managers: Mapping[str, Manager] = field(default_factory=dict)
    hosts: Mapping[HostName, Host] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    networks: Mapping[NetworkName, Network] = field(default_factory=dict)
    routers: Mapping[RouterName, Router] = field(default_factory=dict)
    security_groups: Mapping[GroupName, SecurityGroup] = field(default_factory=dict)
    ports: Mapping[PortName, Port] = field(default_factory=dict)
