# SPDX-License-Identifier: Apache-2.0
"""Answers to ``explain HOST`` (why this scheme, no other) and ``explain PORT`` (what is enforced, seen, escaped)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from anyvisor.model.capacity import Capacity
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import Scheme
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.plan import EscapingPair, HostPlan, Unenforced
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State
from anyvisor.planner.escape import (
    NATIVE,
    OWN_ADDRESSES,
    Station,
    circles,
    entity_enforces,
    escapes_of_port,
    rules_of_port,
    sharers_by_port,
    unenforced_of_port,
)
from anyvisor.planner.fallbacks import duty_conditions, fallen_ports
from anyvisor.planner.paper import host_to_json, pair_to_json, unenforced_to_json
from anyvisor.planner.schemes import SCHEMES, Load, attachment_kind
from anyvisor.planner.sharing import sharing

PAIRS_LISTED = 100

_BLIND = "Nobody: its traffic crosses no switch that the SDN controller programs, and the native switch tells nothing."
_NATIVE_ONLY = (
    "The native switch counts its traffic; the SDN controller sees only what leaves towards ports it manages."
)
_GOVERNED = "The SDN controller: every frame crosses a switch that it programs."
_GOVERNED_IN_PART = (
    "The SDN controller: every frame crosses a switch that it programs, but for what is said between the ports that "
    "share the tag of their network on this host: that the native switch alone carries, and counts."
)
_UNPLACED = "Nobody: the port is not placed on a host that has a scheme."


@dataclass(frozen=True, slots=True, kw_only=True)
class HostExplanation:
    """One host. `carried` is the scheme in force, as its agent says; None until it has spoken."""

    plan: HostPlan
    carried: Scheme | None
    conditions: tuple[Condition, ...] = ()
    capacity: Capacity | None = None

    def to_json(self) -> dict[str, object]:
        """As in ``plan --json``, with what is in force."""
        return {
            **host_to_json(self.plan),
            "carried": self.carried.value if self.carried is not None else None,
            "inner_switch": self.capacity.to_json() if self.capacity is not None else None,
            "conditions": [str(condition) for condition in self.conditions],
        }

    def lines(self) -> tuple[str, ...]:
        """For a person."""
        plan = self.plan
        version = f" {plan.version}" if plan.version else ""
        return (
            f"{plan.host} ({plan.hypervisor}{version}): {plan.scheme or 'no scheme'}",
            f"  in force: {self.carried or 'not reported yet'}",
            *_block("because", plan.because),
            *_block("not", (f"{v.scheme}: {v.reason} [{v.code}; {v.source}]" for v in plan.rejected)),
            f"  predicted at least: {plan.predicts.controlled:.0%} governed, {plan.predicts.observed:.0%} seen",
            *((f"  inner switch: {self.capacity}",) if self.capacity is not None else ()),
            *_block("steps left", (f"{step.do} on {step.on}: {step.what}" for step in plan.steps)),
            *_block("conditions", (str(condition) for condition in self.conditions)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortExplanation:
    """One port. `seen` says in a sentence who sees its traffic; `escapes` lists at most 100 of `escape_count` pairs."""

    port: Port
    scheme: Scheme | None
    kind: str | None
    mac: str | None
    addresses: tuple[str, ...]
    enforced: tuple[str, ...]
    unenforced: tuple[Unenforced, ...]
    seen: str
    escapes: tuple[EscapingPair, ...]
    escape_count: int
    conditions: tuple[Condition, ...] = ()
    moves: tuple[Move, ...] = ()
    """The last migrations of its VM, oldest first."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "port": str(self.port.name),
            "network": str(self.port.network),
            "vm": self.port.vm,
            "host": self.port.host,
            "scheme": self.scheme.value if self.scheme is not None else None,
            "attachment": self.kind,
            "mac": self.mac,
            "addresses": list(self.addresses),
            "enforced": list(self.enforced),
            "unenforced": [unenforced_to_json(rule) for rule in self.unenforced],
            "seen": self.seen,
            "escapes": [pair_to_json(pair) for pair in self.escapes],
            "escape_count": self.escape_count,
            "moves": [move_to_json(move) for move in reversed(self.moves)],
            "conditions": [str(condition) for condition in self.conditions],
        }

    def lines(self) -> tuple[str, ...]:
        """For a person."""
        where = f"on {self.port.host}" if self.port.host else "not placed"
        return (
            f"{self.port.name} in {self.port.network}, {where}: {self.scheme or 'no scheme'}",
            f"  attached as: {self.kind or 'nothing yet'}",
            f"  addresses: {', '.join((self.mac or 'no MAC yet', *self.addresses))}",
            *_block("enforced", self.enforced or ("no rule",)),
            *_block("not enforced", (f"{rule.rule}: {rule.why}" for rule in self.unenforced)),
            f"  seen by: {self.seen}",
            *_block(
                f"escapes ({self.escape_count})", (f"to {pair.target}: {pair.why}" for pair in self.escapes)
            ),
            *_block("moves", (in_words(move) for move in reversed(self.moves))),
            *_block("conditions", (str(condition) for condition in self.conditions)),
        )


def explain_host(plan: HostPlan, state: State, capacity: Capacity | None = None) -> HostExplanation:
    """Why the host has its scheme, with what its agent and the daemon say about it, and its inner switch."""
    host = state.hosts.get(plan.host, HostState())
    conditions = (
        *host.conditions,
        *duty_conditions(host),
        *state.conditions.get(ObjectKey("host", plan.host), ()),
    )
    if capacity is not None and capacity.alarming:
        conditions = (*conditions, capacity.condition())
    return HostExplanation(plan=plan, carried=host.carried, conditions=conditions, capacity=capacity)


def explain_port(
    site: Site, state: State, name: PortName, schemes: Mapping[HostName, Scheme | None]
) -> PortExplanation:
    """What holds for one port under these schemes. Raises KeyError if the site has no such port."""
    port = site.ports[name]
    host = site.hosts.get(port.host) if port.host is not None else None
    scheme = schemes.get(host.name) if host is not None else None
    known = state.ports.get(name)
    attachment = state.attachments.get(name)
    fallen = fallen_ports(state)
    if name in fallen and host is not None:
        scheme = Scheme.SEPARATION  # for as long as no appliance of its host serves, it is as under that
    shared = sharing(site, schemes, fallen, state=state)
    pairs = list(_pairs(site, port, schemes, fallen, shared))
    sharers = sharers_by_port(site, shared).get(name, ())
    return PortExplanation(
        port=port,
        scheme=scheme,
        kind=attachment.kind
        if attachment is not None
        else attachment_kind(scheme, host)
        if scheme is not None and host is not None
        else None,
        mac=known.mac if known is not None else port.mac,
        addresses=known.addresses if known is not None else port.ips,
        enforced=_enforced(site, port, host, scheme),
        unenforced=unenforced_of_port(port, host, scheme, site.security_groups, sharers)
        if host is not None
        else (),
        seen=_seen(host, scheme, alone=len(sharers) < 2),
        escapes=tuple(islice(pairs, PAIRS_LISTED)),
        escape_count=len(pairs),
        conditions=state.conditions.get(ObjectKey("port", name), ()),
        moves=state.moves.get(name, ()),
    )


def move_to_json(move: Move) -> dict[str, object]:
    """Times in milliseconds: `begun` since the epoch, the others since then; null for what was not seen."""
    since = move.since_begun()
    return {
        "from": str(move.origin),
        "to": str(move.target),
        "begun": move.begun,
        **{f"{name}_ms": since.get(name) for name in ("staged", "arrived", "finalised", "returned")},
        "outage_ms": move.outage_ms,
    }


def in_words(move: Move) -> str:
    """One line."""
    when = datetime.fromtimestamp(move.begun / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    seen = "; ".join(f"{name} after {ms / 1000:.2f} s" for name, ms in move.since_begun().items())
    outage = move.outage_ms
    waited = f"; its port was not ready for {outage / 1000:.2f} s" if outage is not None else ""
    return f"{when} {move.origin} → {move.target}: {seen or 'under way'}{waited}"


def _seen(host: Host | None, scheme: Scheme | None, *, alone: bool) -> str:
    if host is None or scheme is None:
        return _UNPLACED
    if scheme not in NATIVE:
        return _GOVERNED if alone else _GOVERNED_IN_PART
    return _NATIVE_ONLY if SCHEMES[scheme].predict(host, Load()).observed else _BLIND


def _enforced(site: Site, port: Port, host: Host | None, scheme: Scheme | None) -> tuple[str, ...]:
    rules = rules_of_port(port, site.security_groups)
    if scheme is None or host is None:
        return ()
    if scheme not in NATIVE:
        return rules
    kept = scheme is Scheme.VENDOR and entity_enforces(host)
    return tuple(rule for rule in rules if rule != OWN_ADDRESSES) if kept else ()


def _pairs(
    site: Site,
    port: Port,
    schemes: Mapping[HostName, Scheme | None],
    fallen: Collection[PortName],
    shared: Collection[PortName],
) -> Iterator[EscapingPair]:
    """Those that it makes with others of its network, behind native switches or on the tag that they share."""
    if port.host is None:
        return
    here = replace(site, ports={n: other for n, other in site.ports.items() if other.network == port.network})
    own = Station(port.name, port.host)
    for circle in circles(here, schemes, fallen, [name for name in shared if name in here.ports]):
        if own in circle.members:
            yield from escapes_of_port(own, circle)


def _block(title: str, rows: Iterable[str]) -> tuple[str, ...]:
    indented = tuple(f"    {row}" for row in rows)
    return (f"  {title}:", *indented) if indented else ()
