# SPDX-License-Identifier: Apache-2.0
"""What the product has decided that no packet filter is about: packet sizes, and the addresses of its routers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyvisor.model.names import NetworkName, RouterName
from anyvisor.model.state import State
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.logical import logical_network
from anyvisor.reconcile.engine import every_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """`mtu` in bytes of an IP packet; `senders` are the addresses that routers put in place of their VMs'."""

    mtu: Mapping[NetworkName, int]
    senders: Mapping[RouterName, str]


def promises_of(state: State) -> Promises:
    """What the controller was told, computed by the code that tells it."""
    fleet = Fleet()
    fleet.update(state, every_key(state))
    if state.underlay_mtu is not None:
        fleet.underlay_mtu = state.underlay_mtu
    addresses = {name: fleet.router_address(name) for name in state.site.routers}
    return Promises(
        mtu={name: logical_network(fleet, name).mtu for name in state.site.networks},
        senders={name: address for name, address in addresses.items() if address is not None},
    )
