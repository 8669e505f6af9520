# SPDX-License-Identifier: Apache-2.0
"""How full the inner switches are, said before one is: a switch has one tag per vNIC, or by policy per network, and no
more than 4093 of them.

Pure. Times are whole seconds since the epoch, given by the caller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from anyvisor.model.capacity import Capacity
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import Scheme, TagPer
from anyvisor.model.names import HostName
from anyvisor.model.site import Site
from anyvisor.model.state import State, Tag
from anyvisor.planner.allocate import REST_SECONDS, remedy
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import FIRST_TAG, LAST_TAG, InnerPlace, inner_place, tag_holder

TAGS = LAST_TAG - FIRST_TAG + 1


def capacities(
    site: Site,
    state: State,
    schemes: Mapping[HostName, Scheme | None],
    *,
    now_seconds: int,
) -> tuple[Capacity, ...]:
    """Every inner switch that hosts under `appliance` have or will have, by scope.

    `site` has every port where its VM runs. The cost is that of one pass over ports and tags.
    """
    places = {
        name: inner_place(host, state.owner)
        for name, host in sorted(site.hosts.items())
        if schemes.get(name) is Scheme.APPLIANCE and not traits.switched_by_domain(host)
    }
    hosts: defaultdict[InnerPlace, list[HostName]] = defaultdict(list)
    for name, place in places.items():
        hosts[place].append(name)
    shared = site.policy.shares_tags
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for port in site.ports.values():
        if port.host in places:
            # Child ports are never on one tag.
            together = shared and not traits.agentless(site.hosts[port.host])
            wanted[places[port.host].scope].add(tag_holder(port.name, port.network, shared=together))
    tags: defaultdict[str, list[Tag]] = defaultdict(list)
    for tag in state.tags.values():
        if FIRST_TAG <= tag.vlan <= LAST_TAG:
            tags[tag.scope].append(tag)
    return tuple(
        _capacity(
            place,
            members,
            tags[place.scope],
            wanted[place.scope],
            now_seconds - REST_SECONDS,
            TagPer.NETWORK if shared else TagPer.VNIC,
        )
        for place, members in sorted(hosts.items(), key=lambda item: item[0].scope)
    )


def alarms(found: Iterable[Capacity], host: HostName | None = None) -> tuple[Condition, ...]:
    """One for each inner switch (of that host, if one is named) where it is time to act."""
    return tuple(each.condition() for each in found if each.alarming and (host is None or host in each.hosts))


def capacity_of(host: Host, owner: str, found: Iterable[Capacity]) -> Capacity | None:
    """That of a host's inner switch; None where it has none."""
    scope = inner_place(host, owner).scope
    return next((each for each in found if each.scope == scope and host.name in each.hosts), None)


def _capacity(
    place: InnerPlace,
    hosts: list[HostName],
    tags: list[Tag],
    wanted: set[str],
    rested: int,
    per: TagPer,
) -> Capacity:
    """`rested` is the latest time of release after which a tag has rested long enough by now."""
    held = {tag.holder for tag in tags if not tag.released}
    taken = sum(1 for tag in tags if not tag.released)
    waiting = [tag for tag in tags if tag.released and tag.released > rested]
    coming = wanted - held
    return Capacity(
        scope=place.scope,
        switch=place.switch,
        hosts=tuple(hosts),
        taken=taken,
        resting=len(waiting),
        free=TAGS - taken - len(waiting),
        coming=len(coming),
        needed=len(coming - {tag.holder for tag in waiting}),
        total=TAGS,
        remedy=remedy(place.scope, per),
        per=per,
    )
