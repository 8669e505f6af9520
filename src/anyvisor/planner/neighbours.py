# SPDX-License-Identifier: Apache-2.0
"""Which vNICs, cards and groups hang together: by MAC address, by the group they share, by the VLAN they want. Pure.

Everybody is at some *points*; who meets at a point may decide about each other. What a change concerns is whoever can
be reached from its points, and no more than that has to be planned anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from anyvisor.model.estate import Card, CardId, Group
from anyvisor.model.names import Mac, PortName
from anyvisor.planner.inner import port_key
from anyvisor.planner.proposal import Place, place_of, wire_of


class Kind(IntEnum):
    """What somebody is, or what a point is made of."""

    PORT = 0
    CARD = 1
    GROUP = 2
    """One that is there."""
    TRUNK = 3
    """One that is wanted, of no vNIC."""
    MAC = 4
    PLACE = 5
    WIRE = 6
    NAME = 7
    """Of a port or a VM: problems are told by it."""
    KEY = 8
    """What a group is for."""


class Point(NamedTuple):
    """Where some meet."""

    kind: Kind
    value: Any


class Member(NamedTuple):
    """Who is at points."""

    kind: Kind
    key: Any


@dataclass(slots=True, kw_only=True)
class Around:
    """Whom a change concerns. All that was planned for these, and at these places and names, is to be planned anew."""

    ports: set[PortName] = field(default_factory=set)
    cards: set[CardId] = field(default_factory=set)
    groups: set[Place] = field(default_factory=set)
    places: set[Place] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


class Neighbours:
    """Kept up to date member by member. One owner."""

    def __init__(self) -> None:
        self._points: dict[Member, tuple[Point, ...]] = {}
        self._members: defaultdict[Point, set[Member]] = defaultdict(set)
        self._anchored: defaultdict[Point, int] = defaultdict(int)
        """How many that are no card are at a point. Cards alone do not concern each other there."""
        self._touched: set[Point] = set()

    def port(self, name: PortName, macs: Iterable[Mac], group: Group | None) -> None:
        """A port with the MACs its vNIC may be found by, and the group that it belongs into."""
        points = [Point(Kind.MAC, mac) for mac in macs]
        if group is not None:
            points += (Point(Kind.PLACE, place_of(group)), Point(Kind.WIRE, wire_of(group)))
        points += (Point(Kind.NAME, name), Point(Kind.KEY, port_key(name)))
        self._put(Member(Kind.PORT, name), points)

    def card(self, card: Card) -> None:
        """A card, in the group that it is in."""
        points = [Point(Kind.MAC, card.mac), Point(Kind.NAME, card.vm)]
        if card.backing is not None:
            switch, group = card.backing.switch, card.backing.group
            points += [Point(Kind.PLACE, (switch, host, group)) for host in ("", card.host)]
        self._put(Member(Kind.CARD, card.id), points)

    def group(self, group: Group) -> None:
        """A group that is there."""
        place = place_of(group)
        points = (Point(Kind.PLACE, place), Point(Kind.WIRE, wire_of(group)), Point(Kind.KEY, group.key))
        self._put(Member(Kind.GROUP, place), points)

    def trunk(self, group: Group) -> None:
        """A trunk that is wanted."""
        place = place_of(group)
        self._put(Member(Kind.TRUNK, place), (Point(Kind.PLACE, place), Point(Kind.WIRE, wire_of(group))))

    def gone(self, kind: Kind, key: object) -> None:
        """A port, card, group or trunk is no more."""
        self._put(Member(kind, key), ())

    def touch(self, kind: Kind, value: object) -> None:
        """Something else changed about what is at that point."""
        self._touched.add(Point(kind, value))

    def at(self, kind: Kind, value: object) -> Iterable[Member]:
        """Who is at a point."""
        return self._members.get(Point(kind, value), ())

    def around(self) -> Around:
        """Whom the changes since the last call concern."""
        found = Around()
        seen: set[Member] = set()
        waiting, points = list(self._touched), set(self._touched)
        self._touched = set()
        while waiting:
            point = waiting.pop()
            _note_point(found, point)
            for member in self._members.get(point, ()):
                if member in seen:
                    continue
                seen.add(member)
                _note_member(found, member)
                for further in self._points[member]:
                    if further not in points and self._joins(further):
                        points.add(further)
                        waiting.append(further)
        return found

    def forget_changes(self) -> None:
        """Everything has been planned anew."""
        self._touched = set()

    def _joins(self, point: Point) -> bool:
        return point.kind is not Kind.PLACE or self._anchored.get(point, 0) > 0

    def _put(self, member: Member, points: Iterable[Point]) -> None:
        old, new = self._points.get(member, ()), tuple(points)
        self._touched |= {point for point in old if self._joins(point)}
        step = 0 if member.kind is Kind.CARD else 1
        for point in old:
            self._members[point].discard(member)
            self._count(point, -step)
            if not self._members[point]:
                del self._members[point]
        for point in new:
            self._members[point].add(member)
            self._count(point, step)
        if new:
            self._points[member] = new
        else:
            self._points.pop(member, None)
        self._touched |= {point for point in new if self._joins(point)}

    def _count(self, point: Point, step: int) -> None:
        if step and point.kind is Kind.PLACE:
            self._anchored[point] += step
            if not self._anchored[point]:
                del self._anchored[point]


def _note_point(found: Around, point: Point) -> None:
    if point.kind is Kind.PLACE:
        found.places.add(point.value)
    elif point.kind is Kind.NAME:
        found.names.add(point.value)
    elif point.kind is Kind.KEY:
        found.keys.add(point.value)


def _note_member(found: Around, member: Member) -> None:
    match member.kind:
        case Kind.PORT:
            found.ports.add(member.key)
        case Kind.CARD:
            found.cards.add(member.key)
        case Kind.GROUP:
            found.groups.add(member.key)
        case _:
            pass
