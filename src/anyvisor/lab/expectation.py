# SPDX-License-Identifier: Apache-2.0
"""What real packets should do: the policy, corrected by what the schemes in force are known not to enforce.

Behind a native switch nobody asks a port's own rules: what it receives and what it sends passes unfiltered, while the
rules of programmed ports hold against it as against any other. Between ports that share a tag no rule holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from anyvisor.model.kinds import Direction, Protocol, Scheme
from anyvisor.model.names import HostName, PortName
from anyvisor.model.security import Rule
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.planner import escape, reach
from anyvisor.planner.fallbacks import fallen_ports
from anyvisor.planner.placement import site_in_place
from anyvisor.planner.sharing import sharing

Ask: TypeAlias = Callable[[Site], reach.Reach]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is in force: the intent, the scheme of each host, the addresses of each port."""

    site: Site
    schemes: Mapping[HostName, Scheme | None]
    addresses: Mapping[PortName, tuple[str, ...]]
    fallen: frozenset[PortName] = frozenset()
    """Ports behind a native switch for as long as no appliance of their host serves."""
    shared: frozenset[PortName] = frozenset()
    """Ports behind appliances that share a tag with their network's others on their host."""


def picture_of(state: State) -> Picture:
    """The picture that the Anyvisor database gives."""
    site, fallen = site_in_place(state), fallen_ports(state)
    schemes = {name: host.carried or host.scheme for name, host in state.hosts.items()}
    return Picture(
        site=site,
        schemes=schemes,
        addresses={name: port.addresses for name, port in state.ports.items()},
        fallen=fallen,
        shared=sharing(site, schemes, fallen, state=state),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`allow` is what should be seen. `escape`: the two talk around the controller. `unenforced`: the policy says
    otherwise, but nobody is there to enforce it. Not `certain`: it is nobody's duty, but a native switch may do it by
    itself, so that what should pass may be stopped.
    """

    allow: bool
    why: str
    escape: bool = False
    unenforced: bool = False
    certain: bool = True

    @property
    def policy(self) -> bool:
        """Whether the policy allows it, whatever happens."""
        return self.allow != self.unenforced


class Expectation:
    """Answers for one picture."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        members = escape.stations(picture.site, picture.schemes, picture.fallen)
        self._native = frozenset(station.port for stations in members.values() for station in stations)
        self._sharers = escape.sharers_by_port(picture.site, picture.shared)
        self._as_enforced = {
            (egress, ingress): enforced(picture.site, egress=egress, ingress=ingress)
            for egress in (True, False)
            for ingress in (True, False)
        }
        self._network = {station.port: name for name, stations in members.items() for station in stations}

    @property
    def native(self) -> frozenset[PortName]:
        """The ports behind native switches."""
        return self._native

    def between(
        self, source: PortName, target: PortName, *, protocol: Protocol, port: int | None, version: int
    ) -> Expected:
        """Whether `source` will reach `target` at its own address."""

        def ask(site: Site) -> reach.Reach:
            return reach.allowed(
                site,
                source,
                target,
                protocol=protocol,
                port=port,
                version=version,
                addresses=self._picture.addresses,
            )

        if source != target and target in self._sharers.get(source, ()):
            return replace(self._around(ask), escape=True)
        escapes = source in self._native and self._network.get(target) == self._network[source]
        found = self._expected(ask, sender=source, receiver=target)
        return replace(found, escape=escapes)

    def from_outside(
        self, target: PortName, *, address: str, protocol: Protocol, port: int | None
    ) -> Expected:
        """Whether a host outside, with that address, will reach `target` (at its floating IP)."""

        def ask(site: Site) -> reach.Reach:
            return reach.allowed_from_outside(site, target, address=address, protocol=protocol, port=port)

        return self._expected(ask, receiver=target)

    def to_outside(self, source: PortName, *, address: str, protocol: Protocol, port: int | None) -> Expected:
        """Whether `source` will reach a host outside with that address."""

        def ask(site: Site) -> reach.Reach:
            return reach.allowed_to_outside(site, source, address=address, protocol=protocol, port=port)

        return self._expected(ask, sender=source)

    def forged(self, liar: PortName, target: PortName, *, claim: str, by_mac: bool) -> Expected:
        """Whether what `liar` sends to a port of its network under another address reaches it, as far as nothing but
        port security can stop it. A native switch knows no IP addresses; some hold a vNIC to its MAC address.
        """
        around = liar != target and target in self._sharers.get(liar, ())
        if not around and liar not in self._native:
            return Expected(allow=False, why=f"port security: {liar} does not own {claim}")
        return Expected(
            allow=True,
            why=f"the policy forbids it ({liar} does not own {claim}), but nobody enforces that",
            escape=around or self._network.get(target) == self._network.get(liar),
            unenforced=True,
            certain=not by_mac,
        )

    def _expected(
        self, ask: Ask, *, sender: PortName | None = None, receiver: PortName | None = None
    ) -> Expected:
        return self._held_against(
            ask, ask(self._as_enforced[sender not in self._native, receiver not in self._native])
        )

    def _around(self, ask: Ask) -> Expected:
        """Two that share a tag on one host: no rule of either holds."""
        return self._held_against(ask, ask(self._as_enforced[False, False]))

    def _held_against(self, ask: Ask, real: reach.Reach) -> Expected:
        policy = ask(self._picture.site)
        unenforced = real.allow != policy.allow
        why = f"the policy forbids it ({policy.why}), but nobody enforces that" if unenforced else real.why
        return Expected(allow=real.allow, why=why, unenforced=unenforced)


def enforced(site: Site, *, egress: bool, ingress: bool) -> Site:
    """The site as far as it is enforced: rules of a direction that nobody enforces let everything pass.

    Groups keep their members, since rules elsewhere may name them.
    """
    lax = [d for d, kept in ((Direction.EGRESS, egress), (Direction.INGRESS, ingress)) if not kept]
    anything = tuple(Rule(direction=direction, protocol=Protocol.ANY) for direction in lax)
    groups = {
        name: replace(group, rules=(*group.rules, *anything)) for name, group in site.security_groups.items()
    }
    return replace(site, security_groups=groups)
