# SPDX-License-Identifier: Apache-2.0
"""Whether frames went from one vNIC of an ESXi host to another without passing the host's appliance. Pure.

Computed from what was sent and what captures on every card saw; nothing that the product says of itself is believed,
but for which tag each vNIC is kept on and which pairs it names as escapes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from anyvisor.lab.capture import Sighting
from anyvisor.lab.frame import TO_ALL, TO_ONE, Kind

VNIC, TAP, APPLIANCE_END, UPLINK = "eth0", "tap-", "nic-", "vmnic"
"""What cards are called: in a VM; the host's end of it; the host's end of an appliance's; the host's way out."""
Heard = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A frame that was sent, from one vNIC, aimed at another."""

    token: int
    kind: Kind
    sender: str
    victim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """How things lay while the frames were under way. vNICs bear the names of their VMs; sets, since they move."""

    networks: Mapping[str, str]
    """The network of each vNIC."""
    hosts: Mapping[str, frozenset[str]]
    """The hosts that each was on."""
    tags: Mapping[str, frozenset[int]]
    """The VLANs that each was kept on."""
    appliances: Mapping[str, str]
    """The host of each appliance, by the appliance's part."""
    trunk: str = "trunk0"
    """What an appliance calls its card with all the tags."""
    ways_out: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """By which VLANs frames of a vNIC may leave by the uplink as they are: those of its place on a native switch."""
    escapes: frozenset[frozenset[str]] = frozenset()
    """Pairs that the product itself says to talk past it."""
    unsteady: frozenset[str] = frozenset()
    """vNICs from or to which frames may be lost: they move, or are plugged anew, or are cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it, a sentence for each thing that should not be."""

    leaks: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    pairs: frozenset[tuple[str, str]] = frozenset()
    """Who heard whom: (sender, hearer)."""
    sent: int = 0
    heard: int = 0
    through: int = 0
    """Frames that came out of where all have to pass."""
    gates: str = "the appliances' trunks"
    """What that is called."""

    def __str__(self) -> str:
        return (
            f"{self.sent} sent, {self.heard} heard, {self.through} out of {self.gates}; "
            f"{len(self.leaks)} leaks, {len(self.duplicates)} duplicates, {len(self.losses)} lost"
        )


def judge(sent: Iterable[Sent], sightings: Iterable[Sighting], ground: Ground) -> Verdict:
    """Hold what was seen against what may be."""
    frames = {one.token: one for one in sent}
    seen: defaultdict[int, list[Sighting]] = defaultdict(list)
    for sighting in sightings:
        if sighting.token in frames:
            seen[sighting.token].append(sighting)
    leaks: list[str] = []
    duplicates: list[str] = []
    losses: list[str] = []
    pairs: set[tuple[str, str]] = set()
    heard = through = 0
    for token, one in frames.items():
        here = seen[token]
        hearers = _hearers(here, ground)
        trunk = _Trunk(here, ground)
        for hearer, times in sorted(hearers.items()):
            pairs.add((one.sender, hearer))
            leaks += _leaks(one, hearer, times, trunk, ground)
            if times > 1 or hearer == one.sender:
                duplicates.append(f"{words(one)} was heard {times} times at {hearer}")
        leaks += _outside(one, here, ground)
        losses += [f"{words(one)} did not reach {name}" for name in sorted(due(one, ground) - hearers.keys())]
        heard += sum(hearers.values())
        through += trunk.out.total()
    return Verdict(
        leaks=tuple(leaks),
        duplicates=tuple(duplicates),
        losses=tuple(losses),
        pairs=frozenset(pairs),
        sent=len(frames),
        heard=heard,
        through=through,
    )


def entitled(one: Sent, ground: Ground) -> frozenset[str]:
    """The vNICs that may hear a frame at all."""
    network = ground.networks[one.sender]
    others = {name for name, own in ground.networks.items() if own == network} - {one.sender}
    if one.kind in TO_ALL:
        return frozenset(others)
    return frozenset(others & {one.victim}) if one.kind in TO_ONE else frozenset()


def due(one: Sent, ground: Ground) -> frozenset[str]:
    """Those that have to hear it."""
    if one.sender in ground.unsteady or one.kind is Kind.OTHER:
        return frozenset()
    return entitled(one, ground) - ground.unsteady


class _Trunk:
    """How often a frame passed the appliances' trunks, by host and tag: what both ends of the card have seen."""

    def __init__(self, sightings: Iterable[Sighting], ground: Ground) -> None:
        inside = {True: Counter[tuple[str, int]](), False: Counter[tuple[str, int]]()}
        outside = {True: Counter[tuple[str, int]](), False: Counter[tuple[str, int]]()}
        for one in sightings:
            tag = one.tags[0] if one.tags else 0
            if one.part in ground.appliances and one.card == ground.trunk:
                inside[one.outgoing][ground.appliances[one.part], tag] += 1
            elif one.card.startswith(APPLIANCE_END):
                outside[not one.outgoing][one.part, tag] += 1
        self.out = inside[True] & outside[True]
        """What came out of appliances."""
        self.into = inside[False] & outside[False]


def _hearers(sightings: Iterable[Sighting], ground: Ground) -> dict[str, int]:
    """How often each vNIC heard the frame: in the VM, and at the host's end of its card."""
    inside: Counter[str] = Counter()
    ends: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in sightings:
        if one.part in ground.networks and one.card == VNIC and not one.outgoing:
            inside[one.part] += 1
        elif one.card.startswith(TAP) and one.outgoing:
            ends[one.card.removeprefix(TAP)][one.part] += 1
    return {name: max(inside[name], *ends[name].values(), 0) for name in inside.keys() | ends.keys()}


def _leaks(one: Sent, hearer: str, times: int, trunk: _Trunk, ground: Ground) -> Iterator[str]:
    """A frame may be heard where it is meant for its hearer, and came to it through the appliance."""
    if hearer == one.sender:
        return
    if hearer not in entitled(one, ground):
        yield f"{words(one)} was heard at {hearer}, which it is not for"
    if frozenset((one.sender, hearer)) in ground.escapes:
        return
    into = _count(trunk.into, one.sender, ground)
    out = _count(trunk.out, hearer, ground)
    if not into:
        yield f"{words(one)} was heard at {hearer}, but never went into the trunk with its sender's tag"
    if out < times:
        yield f"{words(one)} was heard {times} times at {hearer}, but {out} times came out of the trunk for it"


def _count(passed: Counter[tuple[str, int]], vnic: str, ground: Ground) -> int:
    tags, hosts = ground.tags.get(vnic, frozenset()), ground.hosts.get(vnic, frozenset())
    return sum(times for (host, tag), times in passed.items() if tag in tags and host in hosts)


def _outside(one: Sent, sightings: Iterable[Sighting], ground: Ground) -> Iterator[str]:
    """What is on an inner VLAN never leaves its host but in a tunnel."""
    allowed = ground.ways_out.get(one.sender, frozenset())
    for sighting in sightings:
        if sighting.card.startswith(UPLINK) and not (len(sighting.tags) == 1 and sighting.tags[0] in allowed):
            direction = "left" if sighting.outgoing else "came in"
            yield f"{words(one)} {direction} by {sighting.card} of {sighting.part} with the tags {sighting.tags}"


def words(one: Sent) -> str:
    """What a frame is called in a verdict."""
    return f"frame {one.token} ({one.kind}, {one.sender} at {one.victim})"
