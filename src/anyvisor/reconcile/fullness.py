# SPDX-License-Identifier: Apache-2.0
"""How full inner switches are, kept from look to look: one that nothing happened to is not counted anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from anyvisor.model.capacity import Capacity
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName
from anyvisor.model.state import State
from anyvisor.planner.capacity import capacities
from anyvisor.planner.census import Census
from anyvisor.planner.placement import site_in_place
from anyvisor.reconcile.standing import Standing, View


class Fullness:
    """One owner. Tags whose rest ends are seen when everything is looked at."""

    def __init__(self) -> None:
        self._found: dict[str, Capacity] = {}

    def look(
        self, state: State, standing: Standing, views: Collection[View], now_seconds: int
    ) -> tuple[Capacity, ...]:
        """Every inner switch, by scope; `views` are those of that state."""
        if any(view.full for view in views):
            found = capacities(site_in_place(state), state, standing.schemes, now_seconds=now_seconds)
            self._found = {each.scope: each for each in found}
        else:
            hosts = frozenset(host for view in views for host in view.hosts)
            scopes = {scope for view in views for scope, _ in view.tags}
            for held in tuple(self._found.values()):
                if held.scope in scopes or not hosts.isdisjoint(held.hosts):
                    self._recount(state, standing.census, held, now_seconds)
        return tuple(self._found.values())

    def _recount(self, state: State, census: Census, held: Capacity, now_seconds: int) -> None:
        part = _part(state, census, held)
        schemes = dict.fromkeys(held.hosts, Scheme.APPLIANCE)
        for fresh in capacities(site_in_place(part), part, schemes, now_seconds=now_seconds):
            self._found[fresh.scope] = fresh


def _part(state: State, census: Census, held: Capacity) -> State:
    site = state.site
    ports = [port for host in held.hosts for port in census.running(HostName(host))]
    return replace(
        state,
        site=replace(
            site,
            hosts={host: site.hosts[host] for host in held.hosts},
            ports={port: site.ports[port] for port in ports},
        ),
        placements={port: state.placements[port] for port in ports if port in state.placements},
        tags={key: state.tags[key] for key in census.tags_in(held.scope)},
    )
