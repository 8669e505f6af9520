# SPDX-License-Identifier: Apache-2.0
"""From what a manager reports to the steps on its native switches: inner switches, port groups, who is plugged where.

A card is plugged into its group only once the way behind it is laid, and a group goes only once nothing is plugged into
it: a tag passes from one vNIC to another with nobody between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

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
    Terms,
)
from anyvisor.model.kinds import Scheme, SwitchKind
from anyvisor.model.names import HostName, NetworkName, PortName, SwitchName
from anyvisor.model.state import Tag
from anyvisor.planner.admission import MTU_TOO_SMALL, Held
from anyvisor.planner.appliances import Keeping, appliance_steps, trunkless
from anyvisor.planner.facts import traits, vds
from anyvisor.planner.inner import (
    INTEGRATION,
    InnerPlace,
    holder_key,
    inner_place,
    trunk_name,
)
from anyvisor.planner.leftovers import leftovers, of_many
from anyvisor.planner.portgroups import port_groups
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
from anyvisor.planner.terms import agreed, terms_of
from anyvisor.planner.trunks import inner_version
from anyvisor.planner.unused import unused_switches
from anyvisor.planner.wanted import Wanted
from anyvisor.planner.whereabouts import cards_by_port

TRUNK = "trunk"
_NOT_SHOWN = "the manager does not show this host; what is plugged there stays as it is"
INNER_MTU = 9000
"""In bytes; what every inner switch is made with, and brought back to. The most that a distributed switch takes."""


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
        problems={**dict.fromkeys(wanted.missing, _NOT_SHOWN), **trunkless(_keeping(wanted), estate)},
    )


def proposed(wanted: Wanted, estate: Estate) -> Proposal:
    """The part of the plan that is about vNICs."""
    cards = cards_by_port(wanted.attachments.values(), wanted.vms, estate)
    problems: dict[str, str] = {}
    groups = dict(_groups(wanted, estate, problems))
    plugs = {
        port: card.id
        for port, card in cards.items()
        if port in groups and (card.problem is None or not card.problem.blocks(groups[port]))
    }
    terms = _terms(groups, wanted, estate)
    plugged = {
        port: card
        for port, card in plugs.items()
        if _in_group(estate.cards[card], groups[port]) and agreed(estate.cards[card], terms[port])
    }
    for port, card in cards.items():
        if port in groups and port not in plugs:
            problems[port] = f"its vNIC ({card.vm}) cannot be wired: {card.problem}"
    cautions = {
        port: f"its VM ({card.vm}) is under Fault Tolerance: check that its network follows when the copy takes over"
        for port, card in cards.items()
        if card.problem is CardProblem.FAULT_TOLERANCE and wanted.attachments[port].kind.is_trunked
    }
    problems |= _strangers(groups, plugs, wanted, estate)
    held = _held(plugs.keys() - plugged.keys(), cards, wanted, estate) if wanted.held else {}
    problems |= {port: why.message for port, why in held.items() if why.reason == MTU_TOO_SMALL}
    problems |= {
        port: f"the agent in dom0 of {wanted.attachments[port].host} is not at work yet"
        for port in plugs
        if groups[port].key == INTEGRATION and port not in wanted.ready
    }
    making, usable = _group_steps(groups.values(), wanted, estate)
    return Proposal(
        cards={port: card.id for port, card in cards.items()},
        plugged=plugged,
        problems=problems,
        cautions=cautions,
        held=held,
        making=making,
        plugging={
            port: Plugin(card=card, switch=groups[port].switch, group=groups[port].name, terms=terms[port])
            for port, card in plugs.items()
            if port in wanted.ready and port not in plugged and port not in held
            if place_of(groups[port]) in usable
        },
        leaving={place: steps for place, steps in _leaving(groups, plugs, wanted, estate) if steps},
    )


def groups_by_port(wanted: Wanted, estate: Estate) -> dict[PortName, Group]:
    """The group that each vNIC belongs into, where it has one."""
    return dict(_groups(wanted, estate, {}))


def trunks(wanted: Wanted, estate: Estate) -> dict[HostName, Group]:
    """The trunk group of each host that has appliances; hosts of a cluster may share one."""
    listed = {(group.switch, group.host): group for group in _trunks(wanted, estate)}
    return {
        host: listed[place.switch, host if place.kind is SwitchKind.VSS else None]
        for host, place in _places(wanted).items()
    }


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
    """Of these tags those whose vNICs have been seen to leave: nobody wants it there (`in_use` are pairs of scope and
    holder), and no group of the holder is left on that switch. Tags of other managers' switches are not ours to judge.
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
        and (*mine[tag.scope], holder_key(tag.holder)) not in there
    )


def _strangers(
    groups: Mapping[PortName, Group], plugs: Mapping[PortName, CardId], wanted: Wanted, estate: Estate
) -> dict[str, str]:
    """Cards that somebody else has put where certain vNICs alone belong, or into a trunk (a clone keeps its place)."""
    own: dict[Place, set[CardId | None]] = {place_of(trunk): set() for trunk in _trunks(wanted, estate)}
    shared: dict[tuple[SwitchName, HostName | None, NetworkName], Place] = {}
    for port, group in groups.items():
        attachment = wanted.attachments[port]
        if attachment.kind.is_trunked:
            own.setdefault(place_of(group), set()).add(plugs.get(port))
            if attachment.shared:
                shared[group.switch, group.host, attachment.network] = place_of(group)
    for port, group in groups.items():
        # One that is on its way from the tag of its network to one of its own may still be there.
        still = shared.get((group.switch, group.host, wanted.attachments[port].network))
        if still is not None:
            own[still].add(plugs.get(port))
    ours = {appliance.instance for appliance in estate.appliances.values()}
    found: dict[str, str] = {}
    strange: dict[str, CardId] = {}
    for card in estate.cards.values():
        if card.backing is None or card.id.vm in ours:
            continue
        places = [(card.backing.switch, host, card.backing.group) for host in ("", card.host)]
        place = next((place for place in places if place in own), None)
        # Of several of one VM the last is named, in whatever order they are shown.
        if place is not None and card.id not in own[place] and strange.get(card.vm, card.id) <= card.id:
            strange[card.vm] = card.id
            found[card.vm] = (
                f"its card {card.id.card} is in {card.backing.group}, where it does not belong: take it out"
            )
    return found


def _held(
    missing: Iterable[PortName], cards: Mapping[PortName, Card], wanted: Wanted, estate: Estate
) -> dict[PortName, Held]:
    """A vNIC that comes back from where it fell open, or whose tag changes, is no new one."""
    ours = {(group.switch, group.name) for group in estate.groups.values()}
    return {
        port: wanted.held[port]
        for port in missing
        if port in wanted.held
        and ((backing := cards[port].backing) is None or (backing.switch, backing.group) not in ours)
    }


def _in_group(card: Card, group: Group) -> bool:
    backing = card.backing
    return backing is not None and (backing.switch, backing.group) == (group.switch, group.name)


# --- switches ---------------------------------------------------------------------------------------------------------


def _places(wanted: Wanted) -> dict[HostName, InnerPlace]:
    return {
        name: inner_place(host, wanted.owner)
        for name, host in sorted(wanted.hosts.items())
        if wanted.schemes.get(name) is Scheme.APPLIANCE and not traits.inner_by_agent(host)
    }


def _members(wanted: Wanted) -> Mapping[InnerPlace, list[HostName]]:
    members: defaultdict[InnerPlace, list[HostName]] = defaultdict(list)
    for host, place in _places(wanted).items():
        members[place].append(host)
    return members


def _switch_steps(wanted: Wanted, estate: Estate) -> Iterator[EstateStep]:
    for place, hosts in _members(wanted).items():
        there = estate.switches.get(place.switch)
        lacking = [host for host in hosts if there is None or host not in there.hosts]
        if lacking or (there is not None and there.mtu != INNER_MTU):
            everybody = tuple(sorted({*hosts, *(there.hosts if there is not None else ())}))
            version = _version(place, hosts, wanted, estate)
            yield MakeSwitch(
                switch=InnerSwitch(
                    name=place.switch, kind=place.kind, hosts=everybody, version=version, mtu=INNER_MTU
                )
            )


def _version(place: InnerPlace, hosts: Iterable[HostName], wanted: Wanted, estate: Estate) -> str:
    """As the plan has it. Of a host whose version nobody states, what the manager says of it counts."""
    if place.kind is not SwitchKind.VDS:
        return ""
    there = estate.switches.get(place.switch)
    members = (
        host if host.version else estate.hosts.get(host.name, host)
        for host in (wanted.hosts[name] for name in hosts)
    )
    return inner_version(members, there.version if there is not None else "")


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


def _groups(wanted: Wanted, estate: Estate, problems: dict[str, str]) -> Iterator[tuple[PortName, Group]]:
    return port_groups(
        wanted.owner, wanted.hosts, wanted.attachments.values(), estate, problems, wanted.physicals
    )


def _terms(ports: Iterable[PortName], wanted: Wanted, estate: Estate) -> dict[PortName, Terms | None]:
    found: dict[PortName, Terms | None] = {}
    for port in ports:
        attachment = wanted.attachments[port]
        host = wanted.hosts[attachment.host]
        shown = estate.hosts.get(host.name, host)
        found[port] = terms_of(host, shown, attachment, wanted.addresses.get(port, ()))
    return found


def _trunks(wanted: Wanted, estate: Estate) -> Iterator[Group]:
    for place, hosts in _members(wanted).items():
        distributed = place.kind is SwitchKind.VDS
        learns = distributed and vds.learns(_version(place, hosts, wanted, estate))
        for host in (None,) if distributed else hosts:
            yield Group(
                switch=place.switch,
                name=trunk_name(place),
                key=TRUNK,
                trunk=True,
                mac_learning=learns,
                promiscuous=not learns,
                forged_transmits=True,
                host=host,
            )


def _group_steps(
    groups: Iterable[Group], wanted: Wanted, estate: Estate
) -> tuple[dict[Place, EstateStep], frozenset[Place]]:
    """What is made or changed, and which groups may be plugged into afterwards.

    A group never changes its VLAN: it goes, and comes anew. One whose VLAN another group has still waits for that one.
    """
    wanted_groups = tuple(groups)
    made = (group for group in wanted_groups if not group.entity)
    listed = {place_of(group): group for group in (*_trunks(wanted, estate), *made)}
    there = {place_of(group): group for group in estate.groups.values() if not group.entity}
    held = {wire_of(group): identity for identity, group in sorted(there.items(), key=by_place)}
    named = {group.name: identity for identity, group in there.items() if group.host is None}
    free = {
        identity: group
        for identity, group in listed.items()
        if held.get(wire_of(group), identity) == identity
        and _same_wire(group, there.get(identity))
        # Names of distributed groups are unique in a datacenter: the one on another switch goes first.
        and (group.host is not None or named.get(group.name, identity) == identity)
    }
    steps: dict[Place, EstateStep] = {
        identity: MakeGroup(group=group) for identity, group in free.items() if there.get(identity) != group
    }
    return steps, frozenset(free) | {place_of(group) for group in wanted_groups if group.entity}


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
    # One that has another place by now is moved there, not back, as soon as that is ready; but not if that place
    # waits for this one's name.
    names = {group.name for group in surplus.values() if group.host is None}
    going = {
        card
        for port, card in plugs.items()
        if place_of(groups[port]) not in surplus
        and (groups[port].host is not None or groups[port].name not in names)
    }
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
        if not here and not group.entity:
            steps.append(DropGroup(switch=group.switch, name=name, host=group.host))
        yield place, tuple(steps)
    macs = frozenset(a.mac for a in wanted.attachments.values())
    for place, group in kept.items():
        if of_many(group) and group.key not in wanted.elsewhere and place not in surplus:
            switch, host, name = place
            here = [c for c in inside.get((switch, "", name), ()) if not host or c.host == host]
            yield place, tuple(leftovers(here, going, macs))
