# SPDX-License-Identifier: Apache-2.0
"""Whether the underlay carries what tunnels need: what to probe, whom, with what sizes, what the answers mean. Pure.

Sizes are those of the outer IP packet, in bytes. A probe is an echo request that must not be fragmented; its answer
has its size.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from anyvisor.model.condition import Condition
from anyvisor.model.kinds import NetworkKind
from anyvisor.model.names import HostName, NetworkName
from anyvisor.model.network import Network
from anyvisor.planner.fleet import ETHERNET_MTU
from anyvisor.planner.logical import GENEVE_OVERHEAD

UNDERLAY, TRUNK = "Underlay", "Trunk"
TOO_SMALL, TOO_SMALL_FOR_SOME = "TooSmall", "TooSmallForSome"
"""Most of those that answer get less than is needed: it is this host's way. Or only some do: it is rather theirs."""
PROBING = "Probing"
"""Nothing has been found yet; never for long."""
OVERHEAD = {4: GENEVE_OVERHEAD, 6: GENEVE_OVERHEAD + 20}
"""By the IP version of the tunnel: the header of IPv6 is longer by twenty bytes."""
VLAN_BYTES = 4
SMALLEST = {4: 68, 6: 1280}
"""What every link carries (RFC 791, RFC 8200): one that does not answer to it does not answer at all."""
_LEAST = re.compile(r"underlay_mtu: (\d+)")
_ADDRESS = re.compile(r"\(([0-9a-fA-F.:]+)\) gets \d")
_CARD = re.compile(r"has an MTU of (\d+)")
_ALL_OF, _PER_DOUBLING = 8, 4
_RUNGS = 16
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be known: does a packet of `size` bytes get from `source` to each of the peers and back?"""

    host: HostName
    source: str
    size: int
    peers: Mapping[HostName, str] = field(default_factory=dict)
    """The tunnel addresses of other chassis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one peer answered to: the largest size, at most the one asked for; None if it did not answer at all."""

    peer: HostName
    address: str
    passed: int | None


def tunnel_size(networks: Iterable[Network], underlay_mtu: int, version: int) -> int:
    """The largest tunnel packet that the networks' MTUs make, over IP of that version.

    `underlay_mtu` is what networks without an MTU of their own are laid out for. That layout counts on IPv4: over IPv6
    the same frames make larger packets.
    """
    default = min(ETHERNET_MTU, underlay_mtu - OVERHEAD[4])
    overlay = [network for network in networks if network.kind is NetworkKind.OVERLAY]
    return max((network.mtu or default for network in overlay), default=default) + OVERHEAD[version]


def trunk_size(networks: Iterable[Network], underlay_mtu: int) -> int:
    """What the trunk of an appliance must carry, in bytes of MTU: the largest packet of a vNIC, and its VLAN tag."""
    overlay = min(ETHERNET_MTU, underlay_mtu - OVERHEAD[4])
    vlan = min(ETHERNET_MTU, underlay_mtu)
    sizes = (n.mtu or (overlay if n.kind is NetworkKind.OVERLAY else vlan) for n in networks)
    return max(sizes, default=overlay) + VLAN_BYTES


def sample_size(count: int) -> int:
    """How many of so many peers are asked: all of a few, four more for each doubling beyond."""
    if count <= _ALL_OF:
        return count
    return min(count, _ALL_OF + math.ceil(_PER_DOUBLING * math.log2(count / _ALL_OF)))


def sample(
    peers: Collection[HostName], mine: HostName, turn: int, keep: Collection[HostName] = ()
) -> tuple[HostName, ...]:
    """Whom to ask this time: other peers each turn, different ones on each host, and those in `keep` again."""
    ranked = sorted(peers, key=lambda peer: hashlib.blake2s(f"{mine}/{peer}".encode()).digest())
    size = sample_size(len(ranked))
    if not ranked:
        return ()
    start = turn * size % len(ranked)
    chosen = (ranked + ranked)[start : start + size]
    return tuple(sorted({*chosen, *(peer for peer in keep if peer in set(peers))}))


def rungs(passed: int, failed: int) -> tuple[int, ...]:
    """Sizes to try between one that passed and one that did not; none once they are neighbours."""
    span = failed - passed
    if span <= 1:
        return ()
    count = min(_RUNGS, span - 1)
    return tuple(
        sorted({passed + round(span * step / (count + 1)) for step in range(1, count + 1)} - {passed, failed})
    )


def between(passed: int, failed: int, answered: Collection[int]) -> tuple[int, int]:
    """What is known once these sizes of `rungs` were answered. The ends draw closer whatever was lost."""
    best = max((size for size in answered if passed < size < failed), default=passed)
    return best, min((size for size in (*rungs(passed, failed), failed) if size > best), default=failed)


def smallest(address: str) -> int:
    """The size that says whether a peer answers at all."""
    return SMALLEST[ip_address(address).version]


def underlay_condition(question: Question, findings: Sequence[Finding]) -> Condition:
    """What the findings say of the host's underlay.

    Peers that do not answer at all are named, but prove nothing while others do: they may be off.
    """
    total = len(question.peers)
    small = [f for f in findings if f.passed is not None and f.passed < question.size]
    silent = [f for f in findings if f.passed is None]
    good = len(findings) - len(small) - len(silent)
    asked = f"{total} chassis" if len(findings) == total else f"{len(findings)} chassis asked, of {total}"
    quiet = f"; no answer of any size from {_named(silent)}" if silent else ""
    if small:
        least = min(f.passed or 0 for f in small)
        return _said(
            TOO_SMALL if len(small) > good else TOO_SMALL_FOR_SOME,
            f"tunnels need packets of {question.size} bytes; {_named(small)}{quiet}. Raise the MTU along that way to "
            f"{question.size}, or state underlay_mtu: {least} among the facts of a host",
        )
    if findings and not good:
        return _said(
            "NoAnswer",
            f"none of {asked} answers to probes from {question.source}: is the underlay there, "
            "and does it pass ICMP echo?",
        )
    carried = (
        f"carries {question.size} bytes to {good} of {asked}" if findings else "there is no other chassis yet"
    )
    return Condition(
        kind=UNDERLAY, true=True, reason="Carries" if findings else "Alone", message=carried + quiet
    )


def trunk_condition(device: str, mtu: int, size: int) -> Condition:
    """Whether the card that carries a VLAN per vNIC is large enough."""
    if mtu >= size:
        return Condition(kind=TRUNK, true=True, reason="Carries", message=f"{device} carries {size} bytes")
    message = (
        f"{device} has an MTU of {mtu}, and frames of vNICs need {size} with their VLAN tag: raise the MTU of the "
        "inner switch and of this card"
    )
    return Condition(kind=TRUNK, true=False, reason=TOO_SMALL, message=message)


def probing_condition(question: Question) -> Condition:
    """Before the first answer to that question."""
    return _said(PROBING, f"whether packets of {question.size} bytes get to other chassis is being asked")


def tunnel_carried(condition: Condition) -> tuple[int, int] | None:
    """What `underlay_condition` has found too small: the largest packet that gets to all who answer, in bytes, and the
    IP version; None if it names no size."""
    least, address = _LEAST.search(condition.message), _ADDRESS.search(condition.message)
    return (int(least[1]), ip_address(address[1]).version) if least and address else None


def trunk_carried(condition: Condition) -> int | None:
    """The MTU that `trunk_condition` has found too small; None if it names none."""
    found = _CARD.search(condition.message)
    return int(found[1]) if found else None


def networks_of(
    names: Collection[NetworkName], networks: Mapping[NetworkName, Network]
) -> tuple[Network, ...]:
    """Those of the networks that are there."""
    return tuple(networks[name] for name in sorted(set(names)) if name in networks)


def _said(reason: str, message: str) -> Condition:
    return Condition(kind=UNDERLAY, true=False, reason=reason, message=message)


def _named(findings: Sequence[Finding]) -> str:
    listed = [
        f"{f.peer} ({f.address})" + (f" gets {f.passed}" if f.passed is not None else "")
        for f in sorted(findings, key=lambda f: f.peer)
    ]
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
