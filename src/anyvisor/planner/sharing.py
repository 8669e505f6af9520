# SPDX-License-Identifier: Apache-2.0
"""Which ports behind appliances share a tag of the inner switch with their network's others on the host.

Those talk to each other on the native switch: they escape, and rules between them are not enforced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName, NetworkName, PortName
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.planner.allocate import network_of
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import inner_place


def sharing(
    site: Site,
    schemes: Mapping[HostName, Scheme | None],
    fallen: Collection[PortName] = (),
    *,
    state: State | None = None,
) -> frozenset[PortName]:
    """The ports that share their tag; `fallen` ones are behind another switch.

    By policy; and, with `state`, as long as their network holds a tag on their inner switch, whatever the policy says
    by now: until the last has been seen to leave it some may still be there.
    """
    held = _held(state) if state is not None else frozenset()
    if not site.policy.shares_tags and not held:
        return frozenset()
    owner = state.owner if state is not None else ""
    scopes = {
        name: inner_place(host, owner).scope
        for name, host in site.hosts.items()
        if schemes.get(name) is Scheme.APPLIANCE
    }
    return frozenset(
        port.name
        for port in site.ports.values()
        if port.host in scopes
        and port.name not in fallen
        # Child ports are never on one tag; but what was on one may be there still.
        and (
            (site.policy.shares_tags and not traits.agentless(site.hosts[port.host]))
            or (scopes[port.host], port.network) in held
        )
    )


def _held(state: State) -> frozenset[tuple[str, NetworkName]]:
    found = ((tag.scope, network_of(tag.holder)) for tag in state.tags.values() if not tag.released)
    return frozenset((scope, network) for scope, network in found if network is not None)
