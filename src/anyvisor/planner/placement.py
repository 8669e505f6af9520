# SPDX-License-Identifier: Apache-2.0
"""Where VMs really run: what a manager reports weighs more than what the intent says."""

from __future__ import annotations

from dataclasses import replace

from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import Placement, State


def in_place(port: Port, placement: Placement | None) -> Port:
    """The port on the host where its VM runs."""
    if placement is None or placement.host == port.host:
        return port
    return replace(port, host=placement.host)


def site_in_place(state: State) -> Site:
    """The intent with every port where its VM runs. The same site where nobody reports anything."""
    if not state.placements:
        return state.site
    ports = {name: in_place(port, state.placements.get(name)) for name, port in state.site.ports.items()}
    return replace(state.site, ports=ports)
