# SPDX-License-Identifier: Apache-2.0
"""The appliances of a manager's hosts: which are made, started, fenced, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Appliance, Deploy, Estate, EstateStep, Fence, Health, Pin, Remove, Start
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.planner.inner import InnerPlace, inner_place, trunk_name
from anyvisor.planner.seats import FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceWish:
    """How an appliance is made; `networks` and `macs` as in `Deploy`. `user_data` and `metadata` are cloud-init's, the
    latter for a VM of a name that is given to it.
    """

    template: str
    networks: Mapping[str, str]
    user_data: str = field(repr=False)
    macs: Mapping[str, Mac] = field(default_factory=dict)
    metadata: Callable[[str], str] = field(default=lambda _: "", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What the appliances should be. `places` are the inner switches of the hosts that are to have some."""

    owner: str
    hosts: Mapping[HostName, Host]
    places: Mapping[HostName, InnerPlace]
    attachments: tuple[Attachment, ...]
    wishes: Mapping[str, ApplianceWish]
    """By `appliance_key`; none where the operator makes them."""
    out: frozenset[str]
    """Those that do not serve: one that comes back stays fenced until it does."""


def appliance_steps(wanted: Keeping, estate: Estate) -> Iterator[EstateStep]:
    """Make, start, fence and remove; nothing once all is so."""
    places = wanted.places
    # Where the operator makes them, whatever he made serves.
    kept = wanted.wishes.keys() or estate.appliances.keys()
    served = {key for key in kept if _host_of(key) in places}
    for key in sorted(served | wanted.wishes.keys()):
        there = estate.appliances.get(key)
        if there is not None:
            yield from _kept(key, there, out=key in wanted.out)
        elif key in served:
            yield _deployment(wanted.owner, key, places[_host_of(key)], wanted.wishes[key])
    trunked = [a for a in wanted.attachments if a.kind.is_trunked]
    busy = {a.host for a in trunked}
    serving = {(a.host, a.appliance) for a in trunked}
    behind = {g.switch for g in estate.groups.values() if not g.trunk and g.switch in estate.switches}
    for key, left in sorted(estate.appliances.items()):
        # The last vNIC leaves before the appliance does; one of a host that nobody knows is nobody's to remove.
        if key in served or left.host not in wanted.hosts:
            continue
        if left.host in places:
            # One too many: it may go once no vNIC of its host is served by it.
            if (left.host, _number_of(key)) not in serving:
                yield Remove(key=key)
        elif left.host not in busy and (
            inner_place(wanted.hosts[left.host], wanted.owner).switch not in behind
        ):
            yield Remove(key=key)


def _kept(key: str, there: Appliance, *, out: bool) -> Iterator[EstateStep]:
    """One that is off is started. While it does not serve its trunk is cut: what it does then reaches nobody.

    It is pinned before it is started: a cluster may choose another host for a VM that it starts. One that somebody has
    taken to another host is not pinned there.
    """
    if not there.pinned and there.health is not Health.LOST and there.host == _host_of(key):
        yield Pin(key=key)
    if out and there.trunk_connected and there.health is not Health.LOST:
        yield Fence(key=key)
    if there.health is Health.OFF:
        yield Start(key=key)
    elif there.health is Health.RUNNING and not out and there.trunk and not there.trunk_connected:
        yield Fence(key=key, off=False)


def trunkless(wanted: Keeping, estate: Estate) -> dict[str, str]:
    """What is wrong with appliances that serve nobody since no card of theirs is in a trunk, by their keys."""
    return {
        key: f"its VM ({there.vm}) has no card in the trunk group on {place.switch}: put its last card there"
        for key, there in sorted(estate.appliances.items())
        if there.trunk is None and (place := wanted.places.get(_host_of(key))) is not None
    }


def _deployment(owner: str, key: str, place: InnerPlace, wish: ApplianceWish) -> Deploy:
    host, number = _host_of(key), _number_of(key)
    vm = f"av-{owner[:8]}-{host}" + (f"-{number}" if number != FIRST else "")
    return Deploy(
        key=key,
        vm=vm,
        host=host,
        template=wish.template,
        user_data=wish.user_data,
        switch=place.switch,
        trunk_group=trunk_name(place),
        networks=wish.networks,
        macs=wish.macs,
        metadata=wish.metadata(vm),
    )


def appliance_key(host: HostName, number: int = FIRST) -> str:
    """What an appliance is called among those of the estate."""
    return f"{host}/{number}"


def _host_of(key: str) -> HostName:
    return HostName(key.rpartition("/")[0])


def _number_of(key: str) -> int:
    return int(key.rpartition("/")[2])
