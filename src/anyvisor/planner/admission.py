# SPDX-License-Identifier: Apache-2.0
"""Whether a vNIC may be plugged in behind an appliance: not while it is known that its packets will not get through.

Only what was measured holds a vNIC back. What is not known does not, nor does an underlay that answers to no probe: it
may filter them. What is plugged stays plugged.
"""

from __future__ import annotations

from typing import NamedTuple

from anyvisor.model.condition import Condition
from anyvisor.model.kinds import NetworkKind
from anyvisor.model.network import Network
from anyvisor.model.state import HostState
from anyvisor.planner.underlay import (
    PROBING,
    TOO_SMALL,
    TRUNK,
    UNDERLAY,
    trunk_carried,
    trunk_size,
    tunnel_carried,
    tunnel_size,
)

MTU_TOO_SMALL, WAITS_FOR_PROBE = "MtuTooSmall", "WaitsForProbe"


class Held(NamedTuple):
    """Why a vNIC waits: a word for programs and a sentence that says what to do."""

    reason: str
    message: str


def held_back(known: HostState, network: Network, underlay_mtu: int) -> Held | None:
    """What keeps a new vNIC of that network from its place behind the appliance of that host; None if nothing does.

    `underlay_mtu`, in bytes, is what networks without an MTU of their own are laid out for.
    """
    for condition in known.conditions:
        if condition.true:
            continue
        held = None
        if condition.kind == TRUNK:
            held = _by_trunk(condition, network, underlay_mtu)
        elif condition.kind == UNDERLAY and network.kind is NetworkKind.OVERLAY:
            held = _by_underlay(condition, network, underlay_mtu)
        if held is not None:
            return held
    return None


def _by_trunk(condition: Condition, network: Network, underlay_mtu: int) -> Held | None:
    carried = trunk_carried(condition)
    if carried is not None and carried >= trunk_size([network], underlay_mtu):
        return None
    return Held(MTU_TOO_SMALL, f"the trunk of its appliance is too small: {condition.message}")


def _by_underlay(condition: Condition, network: Network, underlay_mtu: int) -> Held | None:
    if condition.reason == PROBING:
        return Held(WAITS_FOR_PROBE, condition.message)
    measured = tunnel_carried(condition) if condition.reason == TOO_SMALL else None
    if measured is None:
        return None
    carried, version = measured
    needed = tunnel_size([network], underlay_mtu, version)
    if carried >= needed:
        return None
    return Held(
        MTU_TOO_SMALL,
        f"its network needs tunnel packets of {needed} bytes, and the underlay of its host carries {carried}: "
        f"{condition.message}, or give the network a smaller mtu",
    )
