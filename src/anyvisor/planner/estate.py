# SPDX-License-Identifier: Apache-2.0
"""From what a manager reports to the steps on its native switches: inner switches, port groups, who is plugged where.

A card is plugged into its group only once the way behind it is laid, and a group goes only once nothing is plugged into
it: a tag passes from one vNIC to another with nobody between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import (
    Card,
    CardId,
    CardProblem,
    DropGroup,
    Estate,
    EstateStep,
    Giveback,
    Group,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Plugin,
)
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Scheme, SwitchKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import Tag
from anyvisor.planner.appliances import ApplianceWish, Keeping, appliance_steps, trunkless
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import (
    InnerPlace,
    group_name,
    inner_place,
    network_group_name,
    port_key,
    trunk_name,
)
from anyvisor.planner.silence import within_reach
from anyvisor.planner.unused import unused_switches

TRUNK = "trunk"
_Identity: TypeAlias = tuple[str, str, str]
"""Switch, host (empty on a distributed switch) and name of a group."""
_TOO_OLD_TO_LEARN = (6, 6, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the hosts of one manager should look like. `ready` are the ports whose far side is laid."""

    owner: str
    hosts: Mapping[HostName, Host]
    schemes: Mapping[HostName, Scheme]
    attachments: Mapping[PortName, Attachment]
    vms: Mapping[PortName, str | None]
    """The VM that the site names per port, where two cards have one MAC."""
    ready: frozenset[PortName]
    appliances: Mapping[str, ApplianceWish] = field(default_factory=dict)
    """By `appliance_key`; none where the operator makes them."""
    out: frozenset[str] = frozenset()
    """Appliances that do not serve: one that comes back stays fenced until it does."""
    elsewhere: frozenset[str] = frozenset()
    """Keys of groups of attachments on hosts that the manager does not show now: nobody touches those."""
    missing: tuple[HostName, ...] = ()
    """Hosts of the site that should be the manager's, and that it does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstatePlan:
    """Steps, the card of each port, and what is wrong, by port or host."""

    steps: tuple[EstateStep, ...] = ()
    cards: Mapping[PortName, CardId] = field(default_factory=dict)
    plugged: Mapping[PortName, CardId] = field(default_factory=dict)
    """Those that are where they belong already."""
    problems: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[PortName, str] = field(default_factory=dict)
    """What somebody should look at, vNIC by vNIC; it keeps nothing from being done."""


class Sought(NamedTuple):
    """A port, and the MAC that its vNIC is found by."""

    port: PortName
    mac: Mac


def cards_by_port(
    attachments: Iterable[Attachment | Sought], vms: Mapping[PortName, str | None], estate: Estate
) -> dict[PortName, Card]:
    """The card of each port, by its MAC; of several with one MAC, that of the VM which the site names."""
    by_mac: defaultdict[str, list[Card]] = defaultdict(list)
    for card in estate.cards.values():
        by_mac[card.mac].append(card)
    found: dict[PortName, Card] = {}
    for attachment in attachments:
        held = by_mac.get(attachment.mac, [])
        named = [card for card in held if card.vm == vms.get(attachment.port)]
        choice = named if len(held) > 1 else held
        if len(choice) == 1:
            found[attachment.port] = choice[0]
    return found


def estate_plan(wanted: Wanted, estate: Estate) -> EstatePlan:
    """The steps that lead from the estate as it is to what is wanted; none once it is so."""
    cards = cards_by_port(wanted.attachments.values(), wanted.vms, estate)
    problems: dict[str, str] = {}
    groups = dict(_groups(wanted, problems))
    plugs = {port: card.id for port, card in cards.items() if port in groups and _may_be_plugged(card)}
    plugged = {port: card for port, card in plugs.items() if _in_group(estate.cards[card], groups[port])}
    for port, card in cards.items():
        if card.problem is not None and card.problem.blocks:
            problems[port] = f"its vNIC ({card.vm}) cannot be wired: {card.problem}"
    cautions = {
        port: f"its VM ({card.vm}) is under Fault Tolerance: check that its network follows when the copy takes over"
        for port, card in cards.items()
        if card.problem is CardProblem.FAULT_TOLERANCE
        and wanted.attachments[port].kind is AttachmentKind.VLAN_ACCESS
    }
    for host in wanted.missing:
        problems[host] = "the manager does not show this host; what is plugged there stays as it is"
    problems |= _strangers(groups, plugs, wanted, estate)
    problems |= trunkless(_keeping(wanted), estate)
    making, usable = _group_steps(groups.values(), wanted, estate)
    steps = (
        *_switch_steps(wanted, estate),
        *making,
        *appliance_steps(_keeping(wanted), estate),
        *(
            Plugin(card=card, switch=groups[port].switch, group=groups[port].name)
            for port, card in sorted(plugs.items())
            if port in wanted.ready and port not in plugged and _identity(groups[port]) in usable
        ),
        *_leaving(groups, plugs, wanted, estate),
        *unused_switches({p.switch for p in _places(wanted).values()}, wanted.hosts, wanted.missing, estate),
    )
    steps, silent = within_reach(steps, estate)
    problems.update(silent)
    return EstatePlan(
        steps=steps,
        cards={port: card.id for port, card in cards.items()},
        plugged=plugged,
        problems=problems,
        cautions=cautions,
    )


def released(
    tags: Iterable[Tag], in_use: Collection[tuple[str, str]], wanted: Wanted, estate: Estate
) -> tuple[Tag, ...]:
    """Of these tags those whose vNIC has been seen to leave: nobody wants it there (`in_use` are pairs of scope and
    port), and no group of the port is left on that switch. Tags of other managers' switches are not ours to judge.
    """
    mine: dict[str, tuple[str, str]] = {}
    for host in wanted.hosts.values():
        place = inner_place(host, wanted.owner)
        mine[place.scope] = (place.switch, host.name if place.kind is SwitchKind.VSS else "")
    there = {(group.switch, group.host or "", group.key) for group in estate.groups.values()}
    return tuple(
        tag
        for tag in tags
        if not tag.released
        and tag.scope in mine
        and (tag.scope, tag.holder) not in in_use
        and (*mine[tag.scope], port_key(PortName(tag.holder))) not in there
    )


def _strangers(
    groups: Mapping[PortName, Group], plugs: Mapping[PortName, CardId], wanted: Wanted, estate: Estate
) -> dict[str, str]:
    """Cards that somebody else has put where one vNIC alone belongs, or into a trunk (a clone keeps its place)."""
    own = {_identity(group): plugs.get(port) for port, group in groups.items() if group.key == port_key(port)}
    own |= {_identity(trunk): None for trunk in _trunks(wanted, estate)}
    ours = {appliance.instance for appliance in estate.appliances.values()}
    found: dict[str, str] = {}
    for card in estate.cards.values():
        if card.backing is None or card.id.vm in ours:
            continue
        places = [(card.backing.switch, host, card.backing.group) for host in ("", card.host)]
        place = next((place for place in places if place in own), None)
        if place is not None and own[place] != card.id:
            found[card.vm] = (
                f"its card {card.id.card} is in {card.backing.group}, where it does not belong: take it out"
            )
    return found


def _may_be_plugged(card: Card) -> bool:
    return card.problem is None or not card.problem.blocks


def _in_group(card: Card, group: Group) -> bool:
    backing = card.backing
    return backing is not None and (backing.switch, backing.group) == (group.switch, group.name)


# --- switches ---------------------------------------------------------------------------------------------------------


def _places(wanted: Wanted) -> dict[HostName, InnerPlace]:
    return {
        name: inner_place(host, wanted.owner)
        for name, host in sorted(wanted.hosts.items())
        if wanted.schemes.get(name) is Scheme.APPLIANCE
    }


def _switch_steps(wanted: Wanted, estate: Estate) -> Iterator[EstateStep]:
    members: defaultdict[InnerPlace, list[HostName]] = defaultdict(list)
    for host, place in _places(wanted).items():
        members[place].append(host)
    for place, hosts in members.items():
        there = estate.switches.get(place.switch)
        lacking = [host for host in hosts if there is None or host not in there.hosts]
        if lacking:
            everybody = tuple(sorted({*hosts, *(there.hosts if there is not None else ())}))
            yield MakeSwitch(switch=InnerSwitch(name=place.switch, kind=place.kind, hosts=everybody))


def _keeping(wanted: Wanted) -> Keeping:
    return Keeping(
        owner=wanted.owner,
        hosts=wanted.hosts,
        places=_places(wanted),
        attachments=tuple(wanted.attachments.values()),
        wishes=wanted.appliances,
        out=wanted.out,
    )


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups(wanted: Wanted, problems: dict[str, str]) -> Iterator[tuple[PortName, Group]]:
    for port, attachment in sorted(wanted.attachments.items()):
        host = wanted.hosts.get(attachment.host)
        if host is None:
            continue
        if attachment.kind is AttachmentKind.VLAN_ACCESS and attachment.vlan is not None:
            place = inner_place(host, wanted.owner)
            name = group_name(wanted.owner, port)
            yield port, _access(name, place, port_key(port), attachment.vlan, host)
        elif attachment.kind.is_station and attachment.vlan is not None:
            native = _switch_that_stays(host, attachment.kind)
            if native is None:
                problems[port] = f"{host.name} has no native switch that it could be plugged into"
                continue
            place = InnerPlace(switch=native.name, kind=native.kind, scope="")
            network = attachment.network
            name = network_group_name(wanted.owner, network)
            yield port, _access(name, place, f"network/{network}", attachment.vlan, host)


def _switch_that_stays(host: Host, kind: AttachmentKind) -> NativeSwitch | None:
    """The vendor's solution is the distributed switch (a standard one has no controller); any will do otherwise."""
    if kind is AttachmentKind.ENTITY:
        return traits.native_switch(host, SwitchKind.VDS)
    return traits.native_switch(host)


def _access(name: str, place: InnerPlace, key: str, vlan: int, host: Host) -> Group:
    return Group(
        switch=place.switch,
        name=name,
        key=key,
        vlan=vlan,
        host=host.name if place.kind is SwitchKind.VSS else None,
    )


def _trunks(wanted: Wanted, estate: Estate) -> Iterator[Group]:
    for host, place in _places(wanted).items():
        distributed = place.kind is SwitchKind.VDS
        there = estate.switches.get(place.switch)
        learns = distributed and there is not None and _learns(there.version)
        yield Group(
            switch=place.switch,
            name=trunk_name(place),
            key=TRUNK,
            trunk=True,
            mac_learning=learns,
            promiscuous=not learns,
            forged_transmits=True,
            host=None if distributed else host,
        )


def _learns(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return numbers >= _TOO_OLD_TO_LEARN


def _group_steps(
    groups: Iterable[Group], wanted: Wanted, estate: Estate
) -> tuple[tuple[EstateStep, ...], frozenset[_Identity]]:
    """What is made or changed, and which groups may be plugged into afterwards.

    A group never changes its VLAN: it goes, and comes anew. One whose VLAN another group has still waits for that one.
    """
    listed = {_identity(group): group for group in (*_trunks(wanted, estate), *groups)}
    there = {_identity(group): group for group in estate.groups.values()}
    held = {_wire(group): identity for identity, group in there.items()}
    free = {
        identity: group
        for identity, group in listed.items()
        if held.get(_wire(group), identity) == identity and _same_wire(group, there.get(identity))
    }
    steps = tuple(MakeGroup(group=group) for i, group in sorted(free.items()) if there.get(i) != group)
    return steps, frozenset(free)


def _same_wire(group: Group, there: Group | None) -> bool:
    return there is None or _wire(there) == _wire(group)


def _wire(group: Group) -> tuple[str, str, int | None]:
    """What no two groups may have in common; of trunks there is one per switch and host anyway."""
    return (group.switch, group.host or "", group.vlan)


def _identity(group: Group) -> _Identity:
    return (group.switch, group.host or "", group.name)


# --- what goes --------------------------------------------------------------------------------------------------------


def _leaving(
    groups: Mapping[PortName, Group], plugs: Mapping[PortName, CardId], wanted: Wanted, estate: Estate
) -> Iterator[EstateStep]:
    """Cards in groups that nobody wants any more go back; a group goes once the picture shows it empty."""
    kept = {_identity(group): group for group in (*_trunks(wanted, estate), *groups.values())}
    surplus = {
        identity: group
        for group in estate.groups.values()
        if group.key not in wanted.elsewhere
        and ((identity := _identity(group)) not in kept or _wire(kept[identity]) != _wire(group))
    }
    ours = {appliance.instance for appliance in estate.appliances.values() if appliance.instance}
    # One that has another place by now is moved there, not back, as soon as that is ready.
    going = {card for port, card in plugs.items() if _identity(groups[port]) not in surplus}
    inside: defaultdict[tuple[str, str, str], list[Card]] = defaultdict(list)
    for card in estate.cards.values():
        if card.backing is not None:
            inside[card.backing.switch, "", card.backing.group].append(card)
    for (switch, host, name), group in sorted(surplus.items()):
        here = [c for c in inside.get((switch, "", name), ()) if not host or c.host == host]
        yield from (
            Giveback(card=card.id)
            for card in here
            if card.id not in going and card.id.vm not in ours and not card.homeless
        )
        if not here:
            yield DropGroup(switch=group.switch, name=name, host=group.host)
