# SPDX-License-Identifier: Apache-2.0
"""The tags of vNICs on inner switches, at one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from anyvisor.model.host import Host
from anyvisor.model.state import Tag
from anyvisor.planner.allocate import REST_SECONDS, TagPool
from anyvisor.planner.inner import FIRST_TAG, LAST_TAG, InnerPlace, inner_place


class AccessTags:
    """Tags for vNICs on inner switches, taken at one moment: each switch's range is read once, not once per vNIC."""

    def __init__(self, tags: Mapping[tuple[str, int], Tag], owner: str, now_seconds: int) -> None:
        self._tags = tags
        self._owner = owner
        self._now = now_seconds
        self._pools: dict[str, TagPool] = {}

    def place(self, host: Host) -> InnerPlace:
        """The inner switch of a host."""
        return inner_place(host, self._owner)

    def take(self, host: Host, holder: str) -> tuple[InnerPlace, Tag]:
        """The tag of a vNIC, or of its network, on the inner switch of its host: the one it holds, or a free one.

        Raises:
            RetryableError: all that are free rest.
            TerminalError: all are held.
        """
        place = self.place(host)
        pool = self._pools.get(place.scope)
        if pool is None:
            pool = self._pools[place.scope] = TagPool(
                place.scope,
                self._tags,
                first=FIRST_TAG,
                last=LAST_TAG,
                now_seconds=self._now,
                rest_seconds=REST_SECONDS,
            )
        return place, pool.take(holder)

    def unused(self, host: Host, seen: Collection[int]) -> Iterator[Tag]:
        """The tags held on the inner switch of that host that no device there is on; `seen` are those that some is."""
        scope = self.place(host).scope
        for vlan in range(FIRST_TAG, LAST_TAG + 1):
            tag = self._tags.get((scope, vlan))
            if tag is not None and not tag.released and vlan not in seen:
                yield tag
