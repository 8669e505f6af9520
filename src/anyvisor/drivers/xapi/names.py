# SPDX-License-Identifier: Apache-2.0
"""What we write into XAPI's ``other_config`` maps, and how it is read.

A network of ours says whose it is, what for, and on which switch and VLAN it is to be; a VIF says where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

OWNER = "anyvisor-owner"
KEY = "anyvisor-key"
SWITCH = "anyvisor-switch"
VLAN = "anyvisor-vlan"
BEFORE = "anyvisor-before"
"""On a VIF that we have taken: `Before`, as JSON."""
MOVING = "anyvisor-moving"
"""On a VIF that is being moved. XAPI writes its database first: that it names the new network proves nothing."""
HOMELESS = "anyvisor-homeless"
IFACE = "nicira-iface-id"
"""What ovs-xapi-sync gives the vNIC's interface as ``iface-id``, once, when it is plugged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How a VIF was before we took it: the network's uuid, its lock, its ``nicira-iface-id``; and whose it is now."""

    owner: str
    network: str
    mode: str = "network_default"
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    iface: str = ""

    @property
    def text(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True)


def before_of(other_config: Mapping[str, str], owner: str) -> Before | None:
    """What is remembered of a VIF; None if we have not taken it."""
    text = other_config.get(BEFORE)
    if text is None:
        return None
    try:
        said: dict[str, Any] = json.loads(text)
        before = Before(
            owner=str(said["owner"]),
            network=str(said["network"]),
            mode=str(said["mode"]),
            ipv4=tuple(map(str, said["ipv4"])),
            ipv6=tuple(map(str, said["ipv6"])),
            iface=str(said["iface"]),
        )
    except (ValueError, KeyError, TypeError):
        return None  # somebody wrote over it: then it says nothing
    return before if before.owner == owner else None


def marks(owner: str, key: str, switch: str, vlan: int | None) -> dict[str, str]:
    """The ``other_config`` of a network of ours."""
    tag = {} if vlan is None else {VLAN: str(vlan)}
    return {OWNER: owner, KEY: key, SWITCH: switch, **tag}
