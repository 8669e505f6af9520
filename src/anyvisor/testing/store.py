# SPDX-License-Identifier: Apache-2.0
"""A store that keeps everything in memory, with the rules of the real one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import AnyvisorError, ConflictError, TerminalError
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, ObjectKey, ObjectKind, PortName
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, Placement, Plugged, PortState, State, Tag
from anyvisor.planner.moves import with_move

if TYPE_CHECKING:
    from anyvisor.contracts.store import Store

GLOBAL_KEY = ObjectKey("policy", "site")
_PARTS: Mapping[ObjectKind, str] = {
    "manager": "managers",
    "host": "hosts",
    "network": "networks",
    "router": "routers",
    "group": "security_groups",
    "port": "ports",
}


class FakeDatabase:
    """What several fake stores share: one for anyvisord, one per agent."""

    def __init__(self) -> None:
        self.state = State(owner="fake-owner")
        self.changed = threading.Condition(threading.RLock())
        self.stores: list[FakeStore] = []

    def become(self, state: State) -> None:
        """Take over another state and tell every store what that means to it."""
        with self.changed:
            before, self.state = self.state, state
            for store in self.stores:
                store.hear(before, state)
            self.changed.notify_all()


class FakeStore:
    """Implements `anyvisor.contracts.store.Store`. With `host` it is the store of that host's agent.

    `has_lock` can be taken away. `fail` makes the next write raise.
    """

    def __init__(self, database: FakeDatabase | None = None, *, host: HostName | None = None) -> None:
        self.database = database or FakeDatabase()
        self.has_lock = True
        self._host = host
        self._failures: list[AnyvisorError] = []
        with self.database.changed:
            self._pending = set(_every_key(self.snapshot()))
            self.database.stores.append(self)

    # --- the contract -----------------------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """See `Store`."""
        state = self.database.state
        return state if self._host is None else _seen_by_agent(state, self._host)

    def changed(self, timeout_seconds: float) -> frozenset[ObjectKey]:
        """See `Store`."""
        with self.database.changed:
            self.database.changed.wait_for(lambda: self._pending, timeout_seconds)
            keys = frozenset(self._pending)
            self._pending.clear()
            return keys

    def write_site(self, site: Site) -> tuple[ObjectKey, ...]:
        """See `Store`."""
        with self.database.changed:
            self._may_fail()
            state = self.database.state
            reported = {n: h for n, h in state.site.hosts.items() if h.manager in site.managers}
            site = replace(site, hosts={**reported, **site.hosts})
            keys = tuple(_site_differences(state.site, site))
            if keys:
                self.database.become(_with_site(state, site))
            return keys

    def decide(self, decision: Decision) -> None:
        """See `Store`."""
        with self.database.changed:
            self._may_fail()
            if not self.has_lock:
                raise ConflictError("another process holds the lock")
            self.database.become(_decided(self.database.state, decision))

    def report(self, report: HostReport) -> None:
        """See `Store`."""
        with self.database.changed:
            self._may_fail()
            state = self.database.state
            if report.host not in state.site.hosts:
                raise TerminalError(f"the intent has no host {report.host}")
            said = state.hosts[report.host]
            if not report.partial:
                said = replace(said, carried=report.carried, conditions=report.conditions)
            if report.inner_vlans is not None:
                said = replace(said, inner_vlans=report.inner_vlans)
            if report.sighted is not None:
                said = replace(said, sighted=report.sighted)
            plugged = {
                port: replace(each, card=state.plugged.get(port, Plugged()).card)
                for port, each in report.plugged.items()
                if port in state.attachments
            }
            everything = {**state.plugged, **plugged}
            self.database.become(
                replace(
                    state,
                    hosts={**state.hosts, report.host: said},
                    plugged={port: each for port, each in everything.items() if each != Plugged()},
                )
            )

    def forget(self, keys: Iterable[ObjectKey]) -> None:
        """See `Store`."""
        with self.database.changed:
            self._may_fail()
            state = self.database.state
            ports = {key.name for key in keys if key.kind == "port" and key.name not in state.site.ports}
            networks = {
                key.name for key in keys if key.kind == "network" and key.name not in state.site.networks
            }

            def held_by_the_forgotten(tag: Tag) -> bool:
                return not tag.released and tag.holder in networks and tag.scope.startswith("physical/")

            self.database.become(
                replace(
                    state,
                    attachments=_kept(state.attachments, lambda port, _: port not in ports),
                    plugged=_kept(state.plugged, lambda port, _: port not in ports),
                    tags=_kept(state.tags, lambda _, tag: not held_by_the_forgotten(tag)),
                    moves=_kept(state.moves, lambda port, _: port not in ports),
                )
            )

    # --- for tests --------------------------------------------------------------------------------------------------

    def wait_for_lock(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - as the real one has it
        """Whether the lock is held; it never waits."""
        return self.has_lock

    def fail(self, error: AnyvisorError, times: int = 1) -> None:
        """Let the next writes raise that."""
        self._failures.extend([error] * times)

    def set_host(self, host: HostName, state: HostState) -> None:
        """What was decided for a host and what its agent says, as if they had done so."""
        with self.database.changed:
            before = self.database.state
            self.database.become(replace(before, hosts={**before.hosts, host: state}))

    def adopt(self, state: State) -> None:
        """Everything that was decided in `state`, as if it had been decided here."""
        site = self.database.state.site
        self.decide(
            Decision(
                schemes={host: each.scheme for host, each in state.hosts.items() if host in site.hosts},
                ports={port: each for port, each in state.ports.items() if port in site.ports},
                attachments=state.attachments,
                tags=state.tags,
            )
        )

    def hear(self, before: State, after: State) -> None:
        """Note what changed in the eyes of this store; the database calls it."""
        if self._host is None:
            self._pending.update(_differences_for_anyvisord(before, after))
        else:
            seen = (_seen_by_agent(before, self._host), _seen_by_agent(after, self._host))
            self._pending.update(_differences_for_agent(*seen))

    def _may_fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)


# --- what a write makes of a state ----------------------------------------------------------------------------------


def _with_site(state: State, site: Site) -> State:
    conditions = {
        key: said
        for key, said in state.conditions.items()
        if key == GLOBAL_KEY or key.name in getattr(site, _PARTS[key.kind])
    }
    return replace(
        state,
        site=site,
        generation=state.generation + 1,
        hosts={name: state.hosts.get(name, HostState()) for name in site.hosts},
        ports=_kept(state.ports, lambda port, _: port in site.ports),
        placements=_kept(state.placements, lambda port, _: port in site.ports),
        conditions=conditions,
    )


def _with_found(state: State, found: Mapping[HostName, Host | None]) -> State:
    hosts = dict(state.site.hosts)
    for name, host in found.items():
        if name in hosts and hosts[name].manager is None:
            continue
        if host is None:
            hosts.pop(name, None)
        else:
            hosts[name] = host
    states = {name: state.hosts.get(name, HostState()) for name in hosts}
    return replace(state, site=replace(state.site, hosts=hosts), hosts=states)


def _decided(state: State, decision: Decision) -> State:
    if decision.found:
        state = _with_found(state, decision.found)
    hosts = dict(state.hosts)
    for host, scheme in decision.schemes.items():
        if host in hosts:
            hosts[host] = replace(hosts[host], scheme=scheme)
        elif scheme is not None:
            raise ConflictError(f"host {host} has been removed from the intent")
    for host, duties in decision.duties.items():
        if host in hosts:
            hosts[host] = replace(hosts[host], duties=duties)
    attachments, plugged = _attached(state, decision.attachments)
    for port, card in decision.cards.items():
        if port in attachments:
            plugged = {**plugged, port: replace(plugged.get(port, Plugged()), card=card)}
    plugged = {port: each for port, each in plugged.items() if each != Plugged()}
    return replace(
        state,
        hosts=hosts,
        ports=_with_ports(state, decision.ports),
        placements=_with_placements(state, decision.placements),
        attachments=attachments,
        plugged=plugged,
        tags=_with_tags(state.tags, decision.tags),
        moves=_with_moves(state.moves, decision.moves),
        conditions=_with_conditions(state, decision.conditions),
        applied=state.applied if decision.applied is None else decision.applied,
        underlay_mtu=state.underlay_mtu if decision.underlay_mtu is None else decision.underlay_mtu,
    )


def _with_ports(state: State, decided: Mapping[PortName, PortState | None]) -> Mapping[PortName, PortState]:
    for port, each in decided.items():
        if port not in state.site.ports and each is not None:
            raise ConflictError(f"port {port} has been removed from the intent")
    return {port: each for port, each in {**state.ports, **decided}.items() if each is not None}


def _with_placements(
    state: State, decided: Mapping[PortName, Placement | None]
) -> Mapping[PortName, Placement]:
    for port, each in decided.items():
        if port not in state.site.ports and each is not None:
            raise ConflictError(f"port {port} has been removed from the intent")
    merged = {**state.placements, **decided}
    return {port: each for port, each in merged.items() if each is not None}


def _attached(
    state: State, decided: Mapping[PortName, Attachment | None]
) -> tuple[Mapping[PortName, Attachment], Mapping[PortName, Plugged]]:
    plugged = dict(state.plugged)
    for port, attachment in decided.items():
        before = state.attachments.get(port)
        if attachment is None or (before is not None and before.host != attachment.host):
            plugged.pop(port, None)
    merged = {**state.attachments, **decided}
    return {port: each for port, each in merged.items() if each is not None}, plugged


def _with_tags(
    held: Mapping[tuple[str, int], Tag], decided: Mapping[tuple[str, int], Tag | None]
) -> Mapping[tuple[str, int], Tag]:
    for key, tag in decided.items():
        holder = held.get(key)
        if tag is not None and holder is not None and not holder.released and holder.holder != tag.holder:
            raise ConflictError(f"VLAN {tag.vlan} of {tag.scope} is held by {holder.holder}")
    return {key: tag for key, tag in {**held, **decided}.items() if tag is not None}


def _with_moves(
    held: Mapping[PortName, tuple[Move, ...]], decided: Mapping[tuple[PortName, int], Move | None]
) -> Mapping[PortName, tuple[Move, ...]]:
    moves = dict(held)
    for (port, begun), move in decided.items():
        before = next((each for each in moves.get(port, ()) if each.begun == begun), None)
        if move is not None and before is not None:
            stays = {name: when for name, when in asdict(before).items() if when is not None}
            move = replace(move, **stays)  # noqa: PLW2901 - a time that is stored stays
        moves[port] = with_move(moves.get(port, ()), begun, move)
    return {port: each for port, each in moves.items() if each}


def _with_conditions(
    state: State, decided: Mapping[ObjectKey, tuple[Condition, ...]]
) -> Mapping[ObjectKey, tuple[Condition, ...]]:
    known = {
        key: said
        for key, said in decided.items()
        if key.kind == "policy" or key.name in getattr(state.site, _PARTS[key.kind])
    }
    return {key: said for key, said in {**state.conditions, **known}.items() if said}


def _kept(mapping: Mapping[Any, Any], keep: Callable[[Any, Any], bool]) -> dict[Any, Any]:
    return {key: value for key, value in mapping.items() if keep(key, value)}


# --- what a store sees ----------------------------------------------------------------------------------------------


def _seen_by_agent(state: State, host: HostName) -> State:
    site = state.site
    attachments = _kept(
        state.attachments,
        lambda _, each: host in {each.host, each.staged} or each.kind.is_station,
    )
    networks = {key: said for key, said in state.conditions.items() if key.kind in {"network", "policy"}}
    own = ObjectKey("host", host)
    return replace(
        state,
        site=Site(
            controller=site.controller,
            policy=site.policy,
            hosts=_kept(site.hosts, lambda name, _: name == host),
            networks=site.networks,
        ),
        hosts=_kept(state.hosts, lambda name, _: name == host),
        ports={},
        placements={},
        attachments=attachments,
        plugged=_kept(state.plugged, lambda port, _: port in attachments),
        tags={},
        moves={},
        conditions={**networks, **({own: state.conditions[own]} if own in state.conditions else {})},
    )


def _every_key(state: State) -> Iterator[ObjectKey]:
    for kind, part in _PARTS.items():
        yield from (ObjectKey(kind, name) for name in getattr(state.site, part))
    yield from (ObjectKey("port", port) for port in state.attachments)
    for tag in state.tags.values():
        yield ObjectKey("network" if tag.scope.startswith("physical/") else "port", tag.holder)
    yield GLOBAL_KEY


def _site_differences(before: Site, after: Site) -> Iterator[ObjectKey]:
    for kind, part in _PARTS.items():
        old, new = getattr(before, part), getattr(after, part)
        yield from (ObjectKey(kind, name) for name in sorted(_different(old, new)))
    if (before.controller, before.policy) != (after.controller, after.policy):
        yield GLOBAL_KEY


def _different(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> set[Any]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _differences_for_anyvisord(before: State, after: State) -> Iterator[ObjectKey]:
    yield from _site_differences(before.site, after.site)
    for host in before.hosts.keys() & after.hosts.keys():
        old, new = before.hosts[host], after.hosts[host]
        if (old.carried, old.conditions) != (new.carried, new.conditions):
            yield ObjectKey("host", host)
    there = before.attachments.keys() & after.attachments.keys()
    yield from (ObjectKey("port", port) for port in _different(before.plugged, after.plugged) & there)


def _differences_for_agent(before: State, after: State) -> Iterator[ObjectKey]:
    yield from _site_differences(before.site, after.site)
    if before.underlay_mtu != after.underlay_mtu:
        yield GLOBAL_KEY
    for host in before.hosts.keys() & after.hosts.keys():
        if before.hosts[host].scheme != after.hosts[host].scheme:
            yield ObjectKey("host", host)
    yield from (ObjectKey("port", port) for port in _different(before.attachments, after.attachments))


if TYPE_CHECKING:
    _conforms: type[Store] = FakeStore
