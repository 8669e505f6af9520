# SPDX-License-Identifier: Apache-2.0
"""Which appliance of a host serves a vNIC, and what becomes of the vNIC when that one is dead.

Every appliance of a host lays the way for all its vNICs; the controller binds each on one of them alone. So that
another one takes over is one write to the controller, and two never forward for the same vNIC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from anyvisor.model.host import Host
from anyvisor.model.kinds import Fallback
from anyvisor.model.names import HostName
from anyvisor.model.policy import Policy
from anyvisor.planner.facts import traits

FIRST = 1
"""The appliance that bears its host's name as a chassis, and whose agent speaks for the host."""
_MARK = "+"


def numbers(policy: Policy) -> range:
    """The numbers of the appliances that each host has; where the operator makes them, one."""
    count = policy.appliance.count if policy.appliance is not None else 1
    return range(FIRST, FIRST + count)


def numbers_on(host: Host | None, numbers: Collection[int]) -> Collection[int]:
    """Those of that host: without a manager it has one, which the operator made."""
    return (FIRST,) if host is not None and traits.inner_by_agent(host) else numbers


def chassis_name(host: HostName, number: int = FIRST) -> HostName:
    """What an appliance is called as a chassis. No host of a site has a plus sign in its name."""
    return host if number == FIRST else HostName(f"{host}{_MARK}{number}")


def chassis_host(chassis: HostName) -> HostName:
    """The host that a chassis belongs to, whichever of its appliances it is."""
    return HostName(chassis.partition(_MARK)[0])


def trunk_port(chassis: HostName) -> str:
    """What the trunk card of an appliance without agent is called in OVN (its ``iface-id``): the parent of child ports.
    No port of a site has a colon in its name.
    """
    return f"{chassis}:trunk"


def serving(
    holder: str, host: HostName, all_numbers: Collection[int], out: Collection[int], fallback: Fallback
) -> int | None:
    """The appliance that serves the holder of a tag: a port, or all ports of a network that share one; None where the
    network falls open and nobody is left.

    By rendezvous hashing: when one dies its vNICs alone move, and they move back when it serves again. One alone sends
    on a tag: of two the native switch would learn each remote MAC behind the one that spoke last, and deliver to it.
    """
    ranked = sorted(all_numbers, key=lambda number: _weight(holder, host, number))
    own = ranked[0]
    if own not in out or fallback is Fallback.CLOSED:
        return own
    left = next((number for number in ranked if number not in out), None)
    if left is not None:
        return left
    return None if fallback is Fallback.OPEN else own


def _weight(holder: str, host: HostName, number: int) -> bytes:
    return hashlib.blake2s(f"{holder}/{host}/{number}".encode(), digest_size=8).digest()
