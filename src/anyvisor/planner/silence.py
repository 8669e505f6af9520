# SPDX-License-Identifier: Apache-2.0
"""Hosts that their manager does not reach: nothing is tried on them, and what waits for them is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from anyvisor.model.estate import (
    Deploy,
    DropGroup,
    DropSwitch,
    Estate,
    EstateStep,
    Fence,
    Giveback,
    MakeGroup,
    MakeSwitch,
    Pin,
    Plugin,
    Remove,
    Start,
)
from anyvisor.model.names import HostName, SwitchName

_REACHED = "connected"


def within_reach(
    steps: Iterable[EstateStep], estate: Estate
) -> tuple[tuple[EstateStep, ...], dict[str, str]]:
    """The steps without those that a silent host would have to take part in, and what to say of each such host."""
    listed = tuple(steps)
    silent = {
        name: str(state)
        for name, host in estate.hosts.items()
        if (state := host.facts.get("connection", _REACHED)) != _REACHED
    }
    if not silent:
        return listed, {}
    waiting: Counter[HostName] = Counter()
    kept: list[EstateStep] = []
    for step in listed:
        absent = [host for host in _hosts(step, estate) if host in silent]
        waiting.update(absent)
        left = step if not absent else _without(step, absent, estate)
        if left is not None:
            kept.append(left)
    return tuple(kept), {str(host): _said(silent[host], count) for host, count in waiting.items()}


def _said(state: str, count: int) -> str:
    wait = "one step waits" if count == 1 else f"{count} steps wait"
    return f"the manager does not reach it ({state}); {wait} for it"


def _without(step: EstateStep, absent: Iterable[HostName], estate: Estate) -> EstateStep | None:
    """An inner switch is made for those who answer; any other step is about one host alone."""
    if not isinstance(step, MakeSwitch):
        return None
    there = _members(step.switch.name, estate)
    hosts = tuple(host for host in step.switch.hosts if host not in absent)
    if there >= set(hosts):
        return None
    return MakeSwitch(switch=replace(step.switch, hosts=hosts))


def _members(switch: SwitchName, estate: Estate) -> set[HostName]:
    there = estate.switches.get(switch)
    return set() if there is None else set(there.hosts)


def _hosts(step: EstateStep, estate: Estate) -> Iterator[HostName]:
    """Who must answer for the step. A distributed group needs no host; a member of a switch is asked nothing anew."""
    match step:
        case MakeSwitch(switch=switch):
            there = _members(switch.name, estate)
            yield from (host for host in switch.hosts if host not in there)
        case DropSwitch(name=name):
            yield from _members(name, estate)
        case MakeGroup(group=group):
            yield from () if group.host is None else (group.host,)
        case DropGroup(host=host):
            yield from () if host is None else (host,)
        case Plugin(card=card) | Giveback(card=card):
            yield from (estate.cards[card].host,) if card in estate.cards else ()
        case Deploy(host=host):
            yield host
        case Pin(key=key) | Start(key=key) | Remove(key=key) | Fence(key=key):
            yield from (estate.appliances[key].host,) if key in estate.appliances else ()
