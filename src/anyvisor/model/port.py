# SPDX-License-Identifier: Apache-2.0
"""A logical port: what one vNIC is bound to."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.names import GroupName, HostName, Mac, NetworkName, PortName


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of a network. `host` is where the VM runs, None for a port that is not placed yet."""

    name: PortName
    network: NetworkName
    vm: str | None = None
    host: HostName | None = None
    mac: Mac | None = None
    """None: computed from the name, locally administered."""
    ips: tuple[str, ...] = ()
    """Fixed addresses. Each subnet with no address here gets one: the first free (IPv4), EUI-64 (IPv6)."""
    security_groups: tuple[GroupName, ...] = ()
    floating_ip: str | None = None
