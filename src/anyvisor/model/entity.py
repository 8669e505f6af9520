# SPDX-License-Identifier: Apache-2.0
"""What a vendor's own controller is given under the scheme `vendor`: networks, ports, and the rules that hold there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anyvisor.model.logical import LogicalGroup, LogicalNetwork, LogicalPort
from anyvisor.model.names import GroupName, NetworkName, PortName


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityWish:
    """Everything that the controller is to hold for us; what is not in it goes.

    `networks` each have a segment: the VLAN that joins them to the SDN controller's side. `ports` are those of hosts
    that the vendor keeps; `groups` are the security groups that these ports are in.
    """

    networks: Mapping[NetworkName, LogicalNetwork] = field(default_factory=dict)
    ports: Mapping[PortName, LogicalPort] = field(default_factory=dict)
    groups: Mapping[GroupName, LogicalGroup] = field(default_factory=dict)
    members: Mapping[GroupName, tuple[str, ...]] = field(default_factory=dict)
    """The addresses of all members of each group that a rule of `groups` names as its far side, wherever they are."""
