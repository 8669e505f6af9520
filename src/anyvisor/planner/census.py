# SPDX-License-Identifier: Apache-2.0
"""Who is on which host, and which tags who holds, kept up to date port by port. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from anyvisor.model.names import HostName, PortName
from anyvisor.model.state import State
from anyvisor.planner.found import out_of_sight
from anyvisor.planner.inner import keys_of

K = TypeVar("K")
M = TypeVar("M")
TagKey: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of a port: the host that it is attached to, the one its VM may move to, the one where its VM runs;
    and what its groups would be for if it is attached where the manager shows no host.
    """

    attached: HostName | None = None
    staged: HostName | None = None
    runs: HostName | None = None
    abroad: tuple[str, ...] = ()


_NOBODY = _Entry()


class Census:
    """One owner."""

    def __init__(self) -> None:
        self._entries: dict[PortName, _Entry] = {}
        self._attached: defaultdict[HostName, set[PortName]] = defaultdict(set)
        self._running: defaultdict[HostName, set[PortName]] = defaultdict(set)
        self._busy: Counter[HostName] = Counter()
        self._abroad: Counter[str] = Counter()
        self._tags_of: defaultdict[str, set[TagKey]] = defaultdict(set)
        self._tags_in: defaultdict[str, set[TagKey]] = defaultdict(set)
        self._holders: dict[TagKey, str] = {}

    @property
    def busy(self) -> frozenset[HostName]:
        """Hosts that a port is attached to, or may move to."""
        return frozenset(self._busy)

    def attached(self, host: HostName) -> Collection[PortName]:
        """The ports that are attached to a host."""
        return self._attached.get(host, ())

    def running(self, host: HostName) -> Collection[PortName]:
        """The ports whose VMs run there, or shall."""
        return self._running.get(host, ())

    def abroad(self, keys: Iterable[str]) -> frozenset[str]:
        """Of these keys of groups those of ports that are attached where the manager shows no host."""
        return frozenset(key for key in keys if key in self._abroad)

    def tags_of(self, holder: str) -> Collection[TagKey]:
        """The tags that a holder has or had last."""
        return self._tags_of.get(holder, ())

    def tags_in(self, scope: str) -> Collection[TagKey]:
        """All tags of a scope."""
        return self._tags_in.get(scope, ())

    def port(
        self, state: State, name: PortName, shown: Collection[HostName]
    ) -> tuple[set[HostName], set[str]]:
        """Take a port as it is now; `shown` are the hosts of the manager.

        Returns the hosts that this concerns, and the keys that are abroad now and were not, or the other way round.
        """
        old, new = self._entries.get(name, _NOBODY), _entry(state, name, shown)
        if new == _NOBODY:
            self._entries.pop(name, None)
        else:
            self._entries[name] = new
        _moved(self._attached, name, old.attached, new.attached)
        _moved(self._running, name, old.runs, new.runs)
        _counted(self._busy, (old.attached, old.staged), (new.attached, new.staged))
        before = {key for key in old.abroad + new.abroad if key in self._abroad}
        _counted(self._abroad, old.abroad, new.abroad)
        after = {key for key in old.abroad + new.abroad if key in self._abroad}
        hosts = {old.attached, old.runs, new.attached, new.runs}
        return {host for host in hosts if host is not None}, before ^ after

    def tag(self, state: State, key: TagKey) -> set[PortName]:
        """Take a tag as it is now; the ports that this concerns."""
        tag = state.tags.get(key)
        old = self._holders.pop(key, None)
        _moved(self._tags_of, key, old, None if tag is None else tag.holder)
        _moved(self._tags_in, key, None if old is None else key[0], None if tag is None else key[0])
        if tag is not None:
            self._holders[key] = tag.holder
        return {PortName(holder) for holder in (old, self._holders.get(key)) if holder is not None}


def _entry(state: State, name: PortName, shown: Collection[HostName]) -> _Entry:
    attachment, port, place = (
        state.attachments.get(name),
        state.site.ports.get(name),
        state.placements.get(name),
    )
    runs = None
    if port is not None:
        runs = place.host if place is not None else port.host
    if attachment is None:
        return _Entry(runs=runs)
    here = not out_of_sight(state.site, attachment.host, shown)
    abroad = () if here else keys_of(attachment)
    return _Entry(attachment.host, attachment.staged, runs, abroad)


def _moved(index: defaultdict[K, set[M]], member: M, old: K | None, new: K | None) -> None:
    if old == new:
        return
    if old is not None:
        index[old].discard(member)
        if not index[old]:
            del index[old]
    if new is not None:
        index[new].add(member)


def _counted(counter: Counter[K], old: Iterable[K | None], new: Iterable[K | None]) -> None:
    counter.update(key for key in new if key is not None)
    for key in old:
        if key is None:
            continue
        counter[key] -= 1
        if not counter[key]:
            del counter[key]
