# SPDX-License-Identifier: Apache-2.0
"""What was planned for an estate, kept from look to look: what a change does not concern is not planned anew.

It decides nothing. The functions that plan everything plan here, too, from as much of the state and of the estate as
hangs together with what changed. Whatever is not about single vNICs makes it plan everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from anyvisor.model.condition import Condition
from anyvisor.model.estate import Estate, Group
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.parts import changed_keys
from anyvisor.model.state import HostState, State, Tag
from anyvisor.planner.allocate import network_holder
from anyvisor.planner.census import Census, TagKey
from anyvisor.planner.estate import at_rest, framed, groups_by_port, proposed, trunks
from anyvisor.planner.facts.traits import VIF_LOCKING
from anyvisor.planner.inner import holder_key, port_key, shared_key
from anyvisor.planner.neighbours import Around, Kind, Neighbours
from anyvisor.planner.proposal import EstatePlan, Frame, Place, Proposal, assembled, place_of
from anyvisor.planner.schemes.parts import DRIVEN_BY_OVS
from anyvisor.planner.underlay import TRUNK, UNDERLAY
from anyvisor.planner.wanted import Wanted

K = TypeVar("K")
V = TypeVar("V")
_TOLD = ("network_backend", VIF_LOCKING)
"""Facts that a manager tells of a host, on which it depends how its vNICs are plugged."""
_PORT = port_key(PortName(""))
_SHARED = shared_key(NetworkName(""))
WantedOf: TypeAlias = Callable[[State, Estate], Wanted]
"""What was decided for the hosts of an estate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a look has to look at, and the whole plan.

    `state`, `estate` and `wanted` have only the ports, cards and groups that changes since the last look may concern,
    and the first and the last only the hosts of these; `hosts` are those where something is to be said, `tags` those
    that these ports hold. With `full` the first three have everything, and `hosts` are all that have a scheme.
    """

    state: State
    estate: Estate
    wanted: Wanted
    plan: EstatePlan
    hosts: frozenset[HostName]
    tags: frozenset[TagKey] = frozenset()
    full: bool


@dataclass(frozen=True, slots=True)
class _Concerned:
    """Whom changes of the state concern."""

    hosts: frozenset[HostName]
    tags: frozenset[TagKey]


@dataclass(frozen=True, slots=True)
class _Basis:
    """What all vNICs depend on."""

    owner: str
    underlay_mtu: int | None
    hosts: Mapping[HostName, Any]
    networks: Mapping[Any, Any]
    policy: Any
    schemes: Mapping[HostName, Any]
    shown: frozenset[tuple[Any, ...]]
    switches: Mapping[Any, Any]
    appliances: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class _Kept:
    """All that is known from the last look."""

    state: State = field(default_factory=State)
    estate: Estate = field(default_factory=Estate)
    basis: _Basis | None = None
    neighbours: Neighbours = field(default_factory=Neighbours)
    census: Census = field(default_factory=Census)
    busy: frozenset[HostName] = frozenset()
    trunks: Mapping[Place, tuple[HostName, Group]] = field(default_factory=dict)
    """With one of the hosts of each."""
    whole: Wanted | None = None
    """The last one of everything; of hosts it still holds."""
    frame: Frame = field(default_factory=Frame)
    proposal: Proposal = field(default_factory=Proposal)
    at_rest: bool = False
    """Nothing about hosts is under way, so that no vNIC has a say in it."""


class Standing:
    """One owner. The plans that it gives are good until the next look.

    `whole_of` says what is wanted; `part_of` the same of vNICs and their groups, where nobody asks for appliances.
    """

    def __init__(self, whole_of: WantedOf, part_of: WantedOf) -> None:
        self._whole_of = whole_of
        self._part_of = part_of
        self._kept = _Kept()

    @property
    def census(self) -> Census:
        """Who is where, as of the last look."""
        return self._kept.census

    def forget(self) -> None:
        """The next look is at everything, as the first one is."""
        self._kept = _Kept()

    def look(self, state: State, estate: Estate, *, afresh: bool = False) -> View:
        """The plan for that state and estate: the same as `estate_plan` makes. `afresh`: make it so."""
        try:
            return self._look(state, estate, afresh=afresh)
        except BaseException:
            self.forget()  # what was taken in half-way is taken in again
            raise

    def _look(self, state: State, estate: Estate, *, afresh: bool) -> View:
        kept = self._kept
        basis = self._basis_of(state, estate)
        # Ports wait for segments that others make: one that comes or goes concerns whoever may want it.
        anew = basis != kept.basis or _segments_changed(kept.estate, estate)
        concerned = self._take(state, estate, everything=anew)
        full = afresh or anew or not kept.at_rest or kept.busy != kept.census.busy
        kept.state, kept.estate, kept.basis, kept.busy = state, estate, basis, kept.census.busy
        return self._full(state, estate) if full else self._partial(state, estate, concerned)

    @property
    def whole(self) -> Wanted | None:
        """What is wanted on all hosts; of ports it holds what it held when everything was looked at."""
        return self._kept.whole

    @property
    def schemes(self) -> Mapping[HostName, Scheme]:
        """The schemes of the hosts that anything may be built on."""
        whole = self._kept.whole
        return {} if whole is None else whole.schemes

    def holding(self, tags: Iterable[Tag]) -> Estate:
        """The estate with the groups that are there for those who hold these tags, and nothing else."""
        keys = {holder_key(tag.holder) for tag in tags}
        members = (member for key in keys for member in self._kept.neighbours.at(Kind.KEY, key))
        places = (_identity(member.key) for member in members if member.kind is Kind.GROUP)
        return Estate(groups={identity: self._kept.estate.groups[identity] for identity in places})

    def wanted_on(self, state: State, host: HostName) -> Wanted:
        """What is wanted on one host; raises RuntimeError before the first look."""
        whole = self._kept.whole
        if whole is None:
            raise RuntimeError("nothing was looked at yet")
        ports = self._kept.census.attached(host)
        return replace(whole, attachments=_some(state.attachments, sorted(ports)))

    def _basis_of(self, state: State, estate: Estate) -> _Basis:
        kept = self._kept
        if kept.basis is not None and kept.state.hosts is state.hosts:
            schemes = kept.basis.schemes
        else:
            schemes = {
                host: (known.scheme, known.out, known.carried in DRIVEN_BY_OVS, _hindrances(known))
                for host, known in state.hosts.items()
            }
        return _Basis(
            state.owner,
            state.underlay_mtu,
            state.site.hosts,
            state.site.networks,
            state.site.policy,
            schemes,
            frozenset(
                (name, *(host.facts.get(fact) for fact in _TOLD)) for name, host in estate.hosts.items()
            ),
            estate.switches,
            estate.appliances,
        )

    # --- taking changes in ------------------------------------------------------------------------------------------

    def _take(self, state: State, estate: Estate, *, everything: bool) -> _Concerned:
        """Note what is new."""
        kept = self._kept
        neighbours, before, seen = kept.neighbours, kept.state, kept.estate
        for card in changed_keys(seen.cards, estate.cards):
            if card in estate.cards:
                neighbours.card(estate.cards[card])
            else:
                neighbours.gone(Kind.CARD, card)
        for identity in changed_keys(seen.groups, estate.groups):
            old, new = seen.groups.get(identity), estate.groups.get(identity)
            if old is not None and (new is None or place_of(new) != place_of(old)):
                neighbours.gone(Kind.GROUP, place_of(old))
            if new is not None:
                neighbours.group(new)
        ports = _changed_ports(before, state)
        tags = changed_keys(before.tags, state.tags)
        for key in tags:
            ports |= kept.census.tag(state, key)
        if everything:
            ports |= state.attachments.keys() | state.site.ports.keys()
        hosts = {host for port in ports for host in self._take_port(state, estate, port)}
        self._take_groups(state, estate, ports)
        hosts |= changed_keys(before.hosts, state.hosts)
        return _Concerned(frozenset(hosts), frozenset(tags))

    def _take_port(self, state: State, estate: Estate, port: PortName) -> set[HostName]:
        hosts, keys = self._kept.census.port(state, port, estate.hosts.keys())
        for key in keys:
            self._kept.neighbours.touch(Kind.KEY, key)
        return hosts

    def _take_groups(self, state: State, estate: Estate, ports: Collection[PortName]) -> None:
        if not ports:
            return
        groups = groups_by_port(self._part_of(_part(state, ports), estate), estate)
        for port in ports:
            macs = _macs(state, port)
            if macs or port in state.site.ports:
                self._kept.neighbours.port(port, macs, groups.get(port))
            else:
                self._kept.neighbours.gone(Kind.PORT, port)

    # --- planning ---------------------------------------------------------------------------------------------------

    def _full(self, state: State, estate: Estate) -> View:
        kept = self._kept
        wanted = self._whole_of(state, estate)
        listed = {place_of(group): (host, group) for host, group in trunks(wanted, estate).items()}
        for place in kept.trunks.keys() - listed.keys():
            kept.neighbours.gone(Kind.TRUNK, place)
        for _, group in listed.values():
            kept.neighbours.trunk(group)
        kept.neighbours.forget_changes()
        kept.trunks, kept.whole = listed, wanted
        kept.frame, kept.proposal = framed(wanted, estate), proposed(wanted, estate)
        nobody_is_out = not any(known.out for known in state.hosts.values())
        kept.at_rest = nobody_is_out and at_rest(wanted, kept.frame, estate)
        return View(
            state=state,
            estate=estate,
            wanted=wanted,
            plan=assembled(kept.frame, kept.proposal, estate),
            hosts=frozenset(wanted.schemes),
            full=True,
        )

    def _partial(self, state: State, estate: Estate, concerned: _Concerned) -> View:
        kept = self._kept
        around = kept.neighbours.around()
        some = replace(
            estate,
            cards={card: estate.cards[card] for card in around.cards},
            groups={identity: estate.groups[identity] for identity in map(_identity, around.groups)},
        )
        trunked = {kept.trunks[place][0] for place in around.places if place in kept.trunks}
        part = _part(state, around.ports, trunked | {card.host for card in some.cards.values()})
        wanted = replace(
            self._part_of(part, some),
            # A trunk is planned with those who are around it.
            schemes=dict.fromkeys(trunked, Scheme.APPLIANCE),
            elsewhere=kept.census.abroad(group.key for group in some.groups.values()),
        )
        _overlay(kept.proposal, proposed(wanted, some), around)
        return View(
            state=part,
            estate=some,
            wanted=wanted,
            plan=assembled(kept.frame, kept.proposal, estate),
            hosts=concerned.hosts | {a.host for a in part.attachments.values()},
            tags=concerned.tags | self._tags_of(around),
            full=False,
        )

    def _tags_of(self, around: Around) -> frozenset[TagKey]:
        """Also of ports that are gone: their names, or their groups, have just been seen to go."""
        gone = {key.removeprefix(_PORT) for key in around.keys if key.startswith(_PORT)}
        networks = {
            network_holder(NetworkName(key.removeprefix(_SHARED)))
            for key in around.keys
            if key.startswith(_SHARED)
        }
        census = self._kept.census
        return frozenset(tag for name in around.names | gone | networks for tag in census.tags_of(name))


def _segments_changed(before: Estate, after: Estate) -> bool:
    changed = changed_keys(before.groups, after.groups)
    both = (held.groups.get(identity) for identity in changed for held in (before, after))
    return any(group is not None and group.entity for group in both)


def _changed_ports(before: State, after: State) -> set[PortName]:
    return (
        changed_keys(before.attachments, after.attachments)
        | changed_keys(before.plugged, after.plugged)
        | changed_keys(before.site.ports, after.site.ports)
        | changed_keys(before.ports, after.ports)
        | changed_keys(before.placements, after.placements)
    )


def _part(state: State, ports: Collection[PortName], others: Collection[HostName] = ()) -> State:
    """The state with these ports alone, and of hosts those that they are attached to, and these others."""
    attachments = _some(state.attachments, ports)
    hosts = {*others, *(a.host for a in attachments.values())}
    site = replace(state.site, hosts=_some(state.site.hosts, hosts), ports=_some(state.site.ports, ports))
    return replace(
        state,
        site=site,
        hosts=_some(state.hosts, hosts),
        ports=_some(state.ports, ports),
        placements=_some(state.placements, ports),
        attachments=attachments,
        plugged=_some(state.plugged, ports),
        tags={},
        moves={},
        conditions={},
    )


def _some(held: Mapping[K, V], keys: Iterable[K]) -> dict[K, V]:
    return {key: value for key in keys if (value := held.get(key)) is not None}


def _macs(state: State, port: PortName) -> set[Mac]:
    """What its vNIC may be found by."""
    attachment, decided = state.attachments.get(port), state.ports.get(port)
    return {known.mac for known in (attachment, decided) if known is not None}


def _hindrances(known: HostState) -> tuple[Condition, ...]:
    """What may hold new vNICs of a host back."""
    return tuple(each for each in known.conditions if not each.true and each.kind in {TRUNK, UNDERLAY})


def _identity(place: Place) -> tuple[SwitchName, str]:
    """As `Group.identity` has it."""
    switch, host, name = place
    return (SwitchName(switch), f"{host}/{name}" if host else name)


def _overlay(held: Proposal, fresh: Proposal, around: Around) -> None:
    """Put what was planned anew in the place of what was planned of the same before."""
    for name in around.names:
        held.problems.pop(name, None)
        for by_port in (held.cards, held.plugged, held.plugging, held.cautions, held.held):
            by_port.pop(PortName(name), None)
    for place in around.places:
        held.making.pop(place, None)
        held.leaving.pop(place, None)
    held.cards.update(fresh.cards)
    held.plugged.update(fresh.plugged)
    held.problems.update(fresh.problems)
    held.cautions.update(fresh.cautions)
    held.held.update(fresh.held)
    held.making.update(fresh.making)
    held.plugging.update(fresh.plugging)
    held.leaving.update(fresh.leaving)
