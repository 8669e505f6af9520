# SPDX-License-Identifier: Apache-2.0
"""Whether frames went from one function of a network card to another past the card's switch. Pure.

As in `anyvisor.lab.leak`, nothing is believed but what captures on every card saw: in the VMs, on the representors, on
the card's cable and on its host.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from anyvisor.lab import leak
from anyvisor.lab.capture import Sighting
from anyvisor.lab.leak import VNIC, Ground, Sent, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CardGround:
    """How things lie. vNICs bear the names of their VMs; `representors` has those of VMs with a function, each with the
    part (a DPU) and the device there. `hosts` are the parts behind DPUs, which must hear nothing.
    """

    networks: Mapping[str, str]
    representors: Mapping[str, tuple[str, str]]
    hosts: frozenset[str] = frozenset()
    unsteady: frozenset[str] = frozenset()
    """vNICs from or to which frames may be lost: they are cut off, or their card is dead."""

    @property
    def as_ground(self) -> Ground:
        """What says who may hear what."""
        return Ground(networks=self.networks, hosts={}, tags={}, appliances={}, unsteady=self.unsteady)


def judge(sent: Iterable[Sent], sightings: Iterable[Sighting], ground: CardGround) -> Verdict:
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
        hearers = Counter(
            s.part for s in here if s.part in ground.networks and s.card == VNIC and not s.outgoing
        )
        ways = Counter((s.part, s.card, s.outgoing) for s in here)
        for hearer, times in sorted(hearers.items()):
            pairs.add((one.sender, hearer))
            leaks += _leaks(one, hearer, times, ways, ground)
            if times > 1 or hearer == one.sender:
                duplicates.append(f"{leak.words(one)} was heard {times} times at {hearer}")
        leaks += _outside(one, here, ground)
        missing = leak.due(one, ground.as_ground) - hearers.keys()
        losses += [f"{leak.words(one)} did not reach {name}" for name in sorted(missing)]
        heard += hearers.total()
        through += sum(ways[part, device, True] for part, device in ground.representors.values())
    return Verdict(
        leaks=tuple(leaks),
        duplicates=tuple(duplicates),
        losses=tuple(losses),
        pairs=frozenset(pairs),
        sent=len(frames),
        heard=heard,
        through=through,
        gates="the cards' representors",
    )


def _leaks(
    one: Sent, hearer: str, times: int, ways: Counter[tuple[str, str, bool]], ground: CardGround
) -> Iterator[str]:
    if hearer == one.sender:
        return
    if hearer not in leak.entitled(one, ground.as_ground):
        yield f"{leak.words(one)} was heard at {hearer}, which it is not for"
    if one.sender in ground.representors and not ways[(*ground.representors[one.sender], False)]:
        yield f"{leak.words(one)} was heard at {hearer}, but never came in by its sender's representor"
    if hearer in ground.representors and ways[(*ground.representors[hearer], True)] < times:
        yield f"{leak.words(one)} was heard at {hearer}, but not as often sent to its representor"


def _outside(one: Sent, sightings: Iterable[Sighting], ground: CardGround) -> Iterator[str]:
    """What a VM sends leaves a card in a tunnel or to another function; the host behind the card never hears it."""
    cards = {part for part, _ in ground.representors.values()}
    known = set(ground.representors.values())
    for s in sightings:
        if s.part in ground.hosts or (s.part in cards and (s.part, s.card) not in known):
            direction = "left" if s.outgoing else "came in"
            yield f"{leak.words(one)} {direction} by {s.card} of {s.part}"
