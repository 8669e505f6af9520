# SPDX-License-Identifier: Apache-2.0
"""What we write into the alias of a device, and how it is read back.

``anyvisor:OWNER:port/NAME[@VLAN]``         a vNIC's device that we plugged
``anyvisor:OWNER:bridge/JSON``              a bridge that we made
``anyvisor:OWNER:uplink/BRIDGE``            a VLAN device that we made for that bridge
"""

from __future__ import annotations

import json

from anyvisor.model.attachment import Plug
from anyvisor.model.names import PortName
from anyvisor.netlink.links import ALIAS, Link
from anyvisor.planner.segments import SegmentBridge

_PORT, _BRIDGE, _UPLINK = "port/", "bridge/", "uplink/"


def alias_for_port(plug: Plug, owner: str) -> str:
    """The mark of a plugged vNIC."""
    return f"{ALIAS}{owner}:{_PORT}{plug.port}" + (f"@{plug.vlan}" if plug.vlan is not None else "")


def port_of(alias: str, owner: str) -> tuple[PortName, int | None] | None:
    """The port and the VLAN of a vNIC that we plugged; None for any other device."""
    key = _key(alias, owner, _PORT)
    if key is None:
        return None
    name, _, vlan = key.rpartition("@")
    return (PortName(name), int(vlan)) if name and vlan.isdigit() else (PortName(key), None)


def alias_for_bridge(bridge: SegmentBridge, owner: str) -> str:
    """The mark of a bridge of ours: what it was made for, but for `trunk`: the kernel keeps 255 bytes only."""
    facts = {"u": bridge.uplink, "v": bridge.vlan, "f": int(bridge.filtering)}
    return f"{ALIAS}{owner}:{_BRIDGE}" + json.dumps(facts, separators=(",", ":"))


def bridge_of(link: Link, owner: str) -> SegmentBridge | None:
    """What a bridge of ours was made for (without `trunk`); None for any other device."""
    key = _key(link.alias, owner, _BRIDGE)
    if key is None:
        return None
    try:
        facts = json.loads(key)
        return SegmentBridge(
            name=link.name,
            uplink=facts["u"],
            vlan=facts["v"],
            filtering=bool(facts["f"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def alias_for_uplink(bridge: SegmentBridge, owner: str) -> str:
    """The mark of a VLAN device that we made for a bridge."""
    return f"{ALIAS}{owner}:{_UPLINK}{bridge.name}"


def uplink_of(link: Link, owner: str) -> str | None:
    """The bridge that a VLAN device of ours was made for; None for any other device."""
    return _key(link.alias, owner, _UPLINK)


def _key(alias: str, owner: str, kind: str) -> str | None:
    prefix = f"{ALIAS}{owner}:{kind}"
    return alias.removeprefix(prefix) if owner and alias.startswith(prefix) else None
