# SPDX-License-Identifier: Apache-2.0
"""From what a manager reports to the steps on its native switches: inner switches, port groups, who is plugged where.

A card is plugged into its group only once the way behind it is laid, and a group goes only once nothing is plugged into
it: a tag passes from one vNIC to another with nobody between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import (
    Card,
    CardId,
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
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme, SwitchKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import Tag
from anyvisor.planner.appliances import ApplianceWish, Keeping, appliance_steps
from anyvisor.planner.facts import traits
from anyvisor.planner.inner import (
    InnerPlace,
    group_name,
    inner_place,
    network_group_name,
    port_key,
    trunk_name,
)
from anyvisor.planner.proposal import (
    EstatePlan,
    Frame,
    Place,
    Proposal,
    assembled,
    by_place,
    place_of,
    wire_of,
)
from anyvisor.planner.unused import unused_switches

TRUNK = "trunk"
_TOO_OLD_TO_LEARN = (6, 6, 0)
_NOT_SHOWN = "the manager does not show this host; what is plugged there stays as it is"


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
    return assembled(framed(wanted, estate), proposed(wanted, estate), estate)


def framed(wanted: Wanted, estate: Estate) -> Frame:
    """The part of the plan that is about hosts."""
    return Frame(
        switches=tuple(_switch_steps(wanted, estate)),
        appliances=tuple(appliance_steps(_keeping(wanted), estate)),
        unused=tuple(
            unused_switches(
                {p.switch for p in _places(wanted).values()}, wanted.hosts, wanted.missing, estate
            )
        ),
        problems=dict.fromkeys(wanted.missing, _NOT_SHOWN),
    )


def proposed(wanted: Wanted, estate: Estate) -> Proposal:
    """The part of the plan that is about vNICs."""
    cards = cards_by_port(wanted.attachments.values(), wanted.vms, estate)
    problems: dict[str, str] = {}
    groups = dict(_groups(wanted, problems))
    plugs = {port: card.id for port, card in cards.items() if port in groups and _may_be_plugged(card)}
    plugged = {port: card for port, card in plugs.items() if _in_group(estate.cards[card], groups[port])}
    for port, card in cards.items():
        if card.problem is not None and card.problem.blocks:
            problems[port] = f"its vNIC ({card.vm}) cannot be wired: {card.problem}"
    problems |= _strangers(groups, plugs, wanted, estate)
    making, usable = _group_steps(groups.values(), wanted, estate)
    return Proposal(
        cards={port: card.id for port, card in cards.items()},
        plugged=plugged,
        problems=problems,
        making=making,
        plugging={
            port: Plugin(card=card, switch=groups[port].switch, group=groups[port].name)
            for port, card in plugs.items()
            if port in wanted.ready and port not in plugged and place_of(groups[port]) in usable
        },
        leaving={place: steps for place, steps in _leaving(groups, plugs, wanted, estate) if steps},
    )


def groups_by_port(wanted: Wanted) -> dict[PortName, Group]:
    """The group that each vNIC belongs into, where it has one."""
    return dict(_groups(wanted, {}))


def trunks(wanted: Wanted, estate: Estate) -> dict[HostName, Group]:
    """The trunk group of each host that has appliances; hosts of a cluster may share one."""
    return dict(zip(_places(wanted), _trunks(wanted, estate), strict=True))


def at_rest(wanted: Wanted, frame: Frame, estate: Estate) -> bool:
    """Whether no vNIC has a say in what is done about hosts: nothing is under way there, and nothing is left over."""
    if frame.switches or frame.appliances or frame.unused or wanted.out:
        return False
    places = _places(wanted)
    needed = {place.switch for place in places.values()}
    kept = wanted.appliances.keys() or estate.appliances.keys()
    return estate.switches.keys() <= needed and all(
        key in kept and appliance.host in places for key, appliance in estate.appliances.items()
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
    own = {place_of(group): plugs.get(port) for port, group in groups.items() if group.key == port_key(port)}
    own |= {place_of(trunk): None for trunk in _trunks(wanted, estate)}
    ours = {appliance.instance for appliance in estate.appliances.values()}
    found: dict[str, str] = {}
    strange: dict[str, CardId] = {}
    for card in estate.cards.values():
        if card.backing is None or card.id.vm in ours:
            continue
        places = [(card.backing.switch, host, card.backing.group) for host in ("", card.host)]
        place = next((place for place in places if place in own), None)
        # Of several of one VM the last is named, in whatever order they are shown.
        if place is not None and own[place] != card.id and strange.get(card.vm, card.id) <= card.id:
            strange[card.vm] = card.id
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
        elif attachment.kind is AttachmentKind.EXTERNAL and attachment.vlan is not None:
            native = traits.native_switch(host)
            if native is None:
                problems[port] = f"{host.name} has no native switch that it could be plugged into"
                continue
            place = InnerPlace(switch=native.name, kind=native.kind, scope="")
            network = attachment.network
            name = network_group_name(wanted.owner, network)
            yield port, _access(name, place, f"network/{network}", attachment.vlan, host)


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
) -> tuple[dict[Place, EstateStep], frozenset[Place]]:
    """What is made or changed, and which groups may be plugged into afterwards.

    A group never changes its VLAN: it goes, and comes anew. One whose VLAN another group has still waits for that one.
    """
    listed = {place_of(group): group for group in (*_trunks(wanted, estate), *groups)}
    there = {place_of(group): group for group in estate.groups.values()}
    held = {wire_of(group): identity for identity, group in sorted(there.items(), key=by_place)}
    free = {
        identity: group
        for identity, group in listed.items()
        if held.get(wire_of(group), identity) == identity and _same_wire(group, there.get(identity))
    }
    steps: dict[Place, EstateStep] = {
        identity: MakeGroup(group=group) for identity, group in free.items() if there.get(identity) != group
    }
    return steps, frozenset(free)


def _same_wire(group: Group, there: Group | None) -> bool:
    return there is None or wire_of(there) == wire_of(group)


# --- what goes --------------------------------------------------------------------------------------------------------


def _leaving(
    groups: Mapping[PortName, Group], plugs: Mapping[PortName, CardId], wanted: Wanted, estate: Estate
) -> Iterator[tuple[Place, tuple[EstateStep, ...]]]:
    """Cards in groups that nobody wants any more go back; a group goes once the picture shows it empty."""
    kept = {place_of(group): group for group in (*_trunks(wanted, estate), *groups.values())}
    surplus = {
        identity: group
        for group in estate.groups.values()
        if group.key not in wanted.elsewhere
        and ((identity := place_of(group)) not in kept or wire_of(kept[identity]) != wire_of(group))
    }
    ours = {appliance.instance for appliance in estate.appliances.values() if appliance.instance}
    # One that has another place by now is moved there, not back, as soon as that is ready.
    going = {card for port, card in plugs.items() if place_of(groups[port]) not in surplus}
    inside: defaultdict[tuple[str, str, str], list[Card]] = defaultdict(list)
    for card in estate.cards.values():
        if card.backing is not None:
            inside[card.backing.switch, "", card.backing.group].append(card)
    for place, group in surplus.items():
        switch, host, name = place
        here = [c for c in inside.get((switch, "", name), ()) if not host or c.host == host]
        steps: list[EstateStep] = [
            Giveback(card=card.id)
            for card in sorted(here, key=lambda card: card.id)
            if card.id not in going and card.id.vm not in ours and not card.homeless
        ]
        if not here:
            steps.append(DropGroup(switch=group.switch, name=name, host=group.host))
        yield place, tuple(steps)
