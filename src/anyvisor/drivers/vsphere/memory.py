# SPDX-License-Identifier: Apache-2.0
"""Where a card was before we took it, as a line of text that is kept with its VM. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from anyvisor.drivers.vsphere.cards import place_of
from anyvisor.drivers.vsphere.records import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """`place` is None for a card that was plugged nowhere.

    A `homeless` card was disconnected by us, since its place was gone; it was connected, and to be connected at the
    start of its VM, as `connected` and `starts` say.
    """

    place: Place | None
    homeless: bool = False
    connected: bool = True
    starts: bool = True


def write(memory: Memory) -> str:
    """The line."""
    told: dict[str, Any] = {}
    place = memory.place
    if place is not None:
        told = {
            "switch": place.switch,
            "group": place.group,
            "network": place.network,
            "opaque": place.opaque,
        }
        told = {key: value for key, value in told.items() if value}
    if memory.homeless:
        told |= {"homeless": True, "connected": memory.connected, "starts": memory.starts}
    return json.dumps(told, sort_keys=True)


def read(line: str | None) -> Memory | None:
    """What a line says; None if there is none, or it is none of ours."""
    try:
        told = json.loads(line) if line else None
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    place = Place(switch=told.get("switch"), group=told.get("group"), network=told.get("network"))
    return Memory(
        place=None if place == Place() else place,
        homeless=bool(told.get("homeless")),
        connected=bool(told.get("connected", True)),
        starts=bool(told.get("starts", True)),
    )


def of(backing: Any) -> Memory:
    """Where a card is now, to be remembered. Its port is not: another may have it by then."""
    place = place_of(backing)
    if place is not None:
        place = Place(switch=place.switch, group=place.group, network=place.network)
    return Memory(place=place)
