# SPDX-License-Identifier: Apache-2.0
"""VLAN tags: a tag is a security boundary. Unique per scope, stable per holder, and at rest before it is used again.

Times are whole seconds since the epoch, given by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.kinds import TagPer
from anyvisor.model.names import NetworkName, SwitchName
from anyvisor.model.state import Tag

Tags = Mapping[tuple[str, int], Tag]

FIRST_VLAN = 1
LAST_VLAN = 4094
REST_SECONDS = 300
"""How long a VLAN rests: longer than a learning switch remembers a MAC (IEEE 802.1D ages entries after 300 s)."""
NATIVE_SCOPE = "switch/"
"""Scopes of VLANs on native switches begin with it."""
_NETWORK = "network/"


def physical_scope(physical: str) -> str:
    """The scope of VLANs on a physical network; holders are networks."""
    return f"physical/{physical}"


def switch_scope(where: str, switch: SwitchName) -> str:
    """The scope of VLANs on the inner switch of a host, or of a cluster that shares one; holders are ports, or what
    `network_holder` says.
    """
    return f"{NATIVE_SCOPE}{where}/{switch}"


def network_holder(network: NetworkName) -> str:
    """Who holds the tag that all vNICs of a network share on a native switch. No port has a slash in its name."""
    return f"{_NETWORK}{network}"


def network_of(holder: str) -> NetworkName | None:
    """The network that such a holder is; None for a port."""
    return NetworkName(holder.removeprefix(_NETWORK)) if holder.startswith(_NETWORK) else None


def remedy(scope: str, per: TagPer = TagPer.VNIC) -> str:
    """What makes room in a scope that is full, or nearly. `per` is what gets tags on native switches."""
    if not scope.startswith(NATIVE_SCOPE):
        return "widen policy.vlans, or spread the networks over more physical networks"
    where = scope.removeprefix(NATIVE_SCOPE).partition("/")[0]
    what = "network" if per is TagPer.NETWORK else "vNIC"
    other = (
        ""
        if per is TagPer.NETWORK
        else "; or give out one per network (policy.appliance.tags), and see what escapes"
    )
    return (
        f"each {what} there needs a tag of its own: give some hosts of {where} another `cluster` in the site file, "
        f"so that they get an inner switch with tags of their own, or move VMs to hosts elsewhere{other}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How full a range of VLANs is. `rests_until` is when the next resting one comes free, None if none rests."""

    scope: str
    first: int
    last: int
    held: int
    resting: int
    free: int
    rests_until: int | None = None

    def __str__(self) -> str:
        total = self.last - self.first + 1
        return (
            f"{self.scope}: of the {total} VLANs {self.first}-{self.last}, {self.held} are held, "
            f"{self.resting} rest and {self.free} are free"
        )


def take(
    scope: str,
    holder: str,
    tags: Tags,
    *,
    first: int = FIRST_VLAN,
    last: int = LAST_VLAN,
    now_seconds: int,
    rest_seconds: int,
    reserved: Collection[int] = (),
) -> Tag:
    """A tag for `holder`: the one it has, the one it had and nobody took, or else the lowest that may be taken.

    `reserved` are VLANs that the operator gave away himself. The cost is bounded by the range, not by the fleet; who
    allocates many at once uses a `TagPool`.

    Raises:
        RetryableError: all are held or rest; `after` says when the first one will have rested.
        TerminalError: all are held.
    """
    pool = TagPool(
        scope,
        tags,
        first=first,
        last=last,
        now_seconds=now_seconds,
        rest_seconds=rest_seconds,
        reserved=reserved,
    )
    return pool.take(holder)


def claim(scope: str, holder: str, vlan: int, tags: Tags, *, now_seconds: int, rest_seconds: int) -> Tag:
    """That very VLAN for `holder`, because the operator named it.

    Raises:
        RetryableError: it rests after another holder.
        TerminalError: another holder has it.
    """
    known = tags.get((scope, vlan))
    if known is not None and known.holder != holder:
        if not known.released:
            raise TerminalError(f"{scope}: VLAN {vlan} is wanted by {holder} but held by {known.holder}")
        wait = known.released + rest_seconds - now_seconds
        if wait > 0:
            raise RetryableError(f"{scope}: VLAN {vlan} rests for {wait} s after {known.holder}", after=wait)
    return Tag(scope=scope, vlan=vlan, holder=holder)


def release(tag: Tag, *, now_seconds: int) -> Tag:
    """The tag at rest from now on; one that rests already keeps its time. Only after the detach was seen."""
    return tag if tag.released else replace(tag, released=max(1, now_seconds))


def forecast(
    scope: str,
    tags: Tags,
    *,
    first: int = FIRST_VLAN,
    last: int = LAST_VLAN,
    now_seconds: int,
    rest_seconds: int,
    reserved: Collection[int] = (),
) -> Forecast:
    """How full the range is now; `reserved` VLANs count as held."""
    held = 0
    ends = []
    for vlan in range(first, last + 1):
        tag = tags.get((scope, vlan))
        if vlan in reserved or (tag is not None and not tag.released):
            held += 1
        elif tag is not None and tag.released + rest_seconds > now_seconds:
            ends.append(tag.released + rest_seconds)
    return Forecast(
        scope=scope,
        first=first,
        last=last,
        held=held,
        resting=len(ends),
        free=last - first + 1 - held - len(ends),
        rests_until=min(ends, default=None),
    )


class TagPool:
    """One scope's range, for taking many tags one after the other. Reads `tags` once; keeps what it hands out.

    Made for one moment: what rests when it is made does not become free while it is used.
    """

    def __init__(
        self,
        scope: str,
        tags: Tags,
        *,
        first: int = FIRST_VLAN,
        last: int = LAST_VLAN,
        now_seconds: int,
        rest_seconds: int,
        reserved: Collection[int] = (),
    ) -> None:
        self._scope = scope
        self._tags = tags
        self._range = {"first": first, "last": last, "now_seconds": now_seconds, "rest_seconds": rest_seconds}
        self._reserved = reserved
        self._now = now_seconds
        self._taken: dict[tuple[str, int], Tag] = {}
        self._own: dict[str, Tag] = {}
        self._free: list[int] = []
        for vlan in range(last, first - 1, -1):
            if vlan in reserved:
                continue
            tag = tags.get((scope, vlan))
            if tag is None or (tag.released and tag.released + rest_seconds <= now_seconds):
                self._free.append(vlan)
            if tag is not None:
                self._remember(tag)

    def _remember(self, tag: Tag) -> None:
        """Of several tags of one holder the lowest that it holds counts, then the one it gave back last."""
        known = self._own.get(tag.holder)
        if known is None or not tag.released or (known.released and tag.released > known.released):
            self._own[tag.holder] = tag

    def take(self, holder: str) -> Tag:
        """As the function `take`, in constant time."""
        own = self._own.get(holder)
        if own is not None and (self._scope, own.vlan) not in self._taken:
            return self._hand_out(holder, own.vlan)
        if own is not None and not own.released:
            return own
        while self._free:
            vlan = self._free.pop()
            if (self._scope, vlan) not in self._taken:
                return self._hand_out(holder, vlan)
        raise self._full(TagPer.VNIC if network_of(holder) is None else TagPer.NETWORK)

    def _hand_out(self, holder: str, vlan: int) -> Tag:
        tag = Tag(scope=self._scope, vlan=vlan, holder=holder)
        self._taken[self._scope, vlan] = tag
        self._own[holder] = tag
        return tag

    def _full(self, per: TagPer) -> RetryableError | TerminalError:
        now = forecast(self._scope, {**self._tags, **self._taken}, **self._range, reserved=self._reserved)
        until = now.rests_until
        if until is None:
            return TerminalError(
                f"no VLAN is left in {now}",
                hint=remedy(self._scope, per),
            )
        wait = until - self._now
        return RetryableError(f"no VLAN is left in {now}; the next is free in {wait} s", after=wait)
