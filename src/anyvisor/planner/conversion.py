# SPDX-License-Identifier: Apache-2.0
"""What turning a Linux bridge host into an Open vSwitch host takes, and why it must not be begun.

The operator's bridge is emptied, not removed: definitions of VMs name it, and what a hypervisor puts into it later is
taken over from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import Mac
from anyvisor.planner.chassis import ProviderBridge, bridge_name, provider_bridges


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of the host on a device. Lifetimes in seconds, None: for ever; flags and scope are the kernel's."""

    address: str
    prefix_length: int
    peer: str | None = None
    """The far end of a point-to-point address; the prefix length is then the peer's."""
    scope: int = 0
    flags: int = 0
    broadcast: str | None = None
    label: str = ""
    """What the label has after the device's name, e.g. ``:1``."""
    metric: int | None = None
    """Of the route that the kernel makes for the address's network."""
    valid: int | None = None
    preferred: int | None = None

    @property
    def leased(self) -> bool:
        """Whether it ends unless a program of the host renews it. IPv6 addresses are renewed by the kernel."""
        return self.valid is not None and ":" not in self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route over a device; numbers are the kernel's. `destination` None is the default route."""

    family: int
    destination: str | None
    gateway: str | None = None
    source: str | None = None
    metric: int | None = None
    table: int = 254
    scope: int = 0
    protocol: int = 4
    kind: int = 1
    flags: int = 0
    metrics: tuple[tuple[str, int | str], ...] = ()
    """What the kernel calls so: ``mtu``, ``advmss``, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBridge:
    """A Linux bridge with all that the host has on it. `stacked` are devices made on top of it."""

    name: str
    mac: Mac
    mtu: int
    members: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    stacked: tuple[str, ...] = ()
    shared_routes: int = 0
    """Routes over it that could not be moved as they are: with several next hops, or with rare properties."""
    ipv6: bool = True
    """Whether the host itself may speak IPv6 on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One Linux bridge and the Open vSwitch bridge that takes its place."""

    before: HostBridge
    after: ProviderBridge


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionPlan:
    """The replacements, empty where nothing is left to convert, and what forbids them."""

    replacements: tuple[Replacement, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether there is a bridge to replace."""
        return bool(self.replacements)


def conversion_plan(
    host: Host,
    bridges: Mapping[str, HostBridge],
    *,
    vnics: Collection[str],
    switch_bridges: Collection[str] = (),
    datapath: str = "system",
) -> ConversionPlan:
    """Which of the host's Linux bridges are replaced. `vnics` are the devices of ports that the site has on this host;
    `switch_bridges` the bridges of others that Open vSwitch has already.

    Only bridges that the site lists are touched, and of these only those that lead somewhere the controller must
    reach: over a trunk card to a physical network, or to the tunnel address.
    """
    replacements = tuple(_replacements(host, bridges, datapath))
    problems = tuple(
        problem
        for replacement in replacements
        for problem in _problems(host, replacement, frozenset(vnics), frozenset(switch_bridges))
    )
    names = [replacement.after.name for replacement in replacements]
    doubled = sorted({name for name in names if names.count(name) > 1})
    return ConversionPlan(
        replacements=replacements,
        problems=(*problems, *(f"two bridges of {host.name} would both become {name}" for name in doubled)),
    )


def wanted_bridges(host: Host, replacements: Iterable[Replacement]) -> tuple[ProviderBridge, ...]:
    """The provider bridges of the chassis once these replacements are made: with their MACs and MTUs."""
    replaced = {replacement.after.name: replacement.after for replacement in replacements}
    plain = {bridge.name: bridge for bridge in provider_bridges(host)}
    return tuple((plain | replaced)[name] for name in sorted(plain | replaced))


def _replacements(host: Host, bridges: Mapping[str, HostBridge], datapath: str) -> Iterator[Replacement]:
    trunks = {nic.name: nic.physical for nic in host.nics if nic.physical is not None and nic.vlan is None}
    for switch in host.switches:
        there = bridges.get(switch.name)
        if switch.kind is not SwitchKind.LINUX_BRIDGE or there is None:
            continue
        uplinks = tuple(uplink for uplink in switch.uplinks if uplink in there.members)
        physical = tuple(sorted({trunks[uplink] for uplink in uplinks if uplink in trunks}))
        # Tunnels of a switch in user space need their local address on a bridge of that switch.
        tunnels = datapath == "netdev" and host.tunnel_ip in {a.address for a in there.addresses}
        if uplinks and (physical or tunnels):
            name = bridge_name(physical[0] if physical else uplinks[0])
            after = ProviderBridge(
                name=name, physical=physical, uplinks=uplinks, mac=there.mac, mtu=there.mtu
            )
            yield Replacement(before=there, after=after)


def _problems(
    host: Host, replacement: Replacement, vnics: frozenset[str], switch_bridges: frozenset[str]
) -> Iterator[str]:
    before, after = replacement.before, replacement.after
    unknown = sorted(set(before.members) - set(after.uplinks) - vnics)
    if unknown:
        yield f"{', '.join(unknown)} in {before.name} belong to no port of {host.name} in the site"
    if before.stacked:
        yield f"{', '.join(sorted(before.stacked))} are stacked on {before.name}"
    if before.shared_routes:
        yield f"{before.shared_routes} routes over {before.name} have several next hops or what would be lost"
    leased = sorted(address.address for address in before.addresses if address.leased)
    if leased:
        # Its client goes on asking on the old bridge, where nobody answers: the host would vanish with the lease.
        yield f"{', '.join(leased)} of {before.name} is leased, and nothing would renew it on {after.name}"
    if len(after.uplinks) > 1:
        yield f"{before.name} has several uplinks ({', '.join(after.uplinks)}): that would make a loop without STP"
    if after.name in switch_bridges:
        yield f"Open vSwitch has a bridge {after.name} already"


def replacement_of(document: Mapping[str, Any]) -> Replacement:
    """A replacement from plain data, as `journal_document` writes it."""
    before, after = document["before"], document["after"]
    listed = ("members", "stacked")
    return Replacement(
        before=HostBridge(
            **_known(HostBridge, before)
            | {name: tuple(before.get(name, ())) for name in listed}
            | {
                "addresses": tuple(
                    Address(**_known(Address, entry)) for entry in before.get("addresses", ())
                ),
                "routes": tuple(_route_of(entry) for entry in before.get("routes", ())),
            }
        ),
        after=ProviderBridge(
            **_known(ProviderBridge, after)
            | {name: tuple(after.get(name, ())) for name in ("physical", "uplinks")}
        ),
    )


def _route_of(document: Mapping[str, Any]) -> Route:
    metrics = tuple((name, value) for name, value in document.get("metrics", ()))
    return Route(**_known(Route, document) | {"metrics": metrics})


def _known(kind: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """What this version knows of a document that another one may have written."""
    return {field.name: document[field.name] for field in fields(kind) if field.name in document}


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedVnic:
    """A vNIC that is plugged into Open vSwitch. `bridge` is the Linux bridge that it left, empty for none."""

    port: str
    device: str
    bridge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """How far a conversion has come: written to the disk before each step.

    `phase` is ``""`` (none), ``under way``, ``done`` or ``undone``. `started` are the steps that may have been made,
    in order; each can be undone whether or not it was.
    """

    phase: str = ""
    subject: str = ""
    """What was converted, as the site described it: another description is worth another try."""
    owner: str = ""
    started: tuple[str, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    vnics: tuple[MovedVnic, ...] = ()
    settings: Mapping[str, str] | None = None
    """Open vSwitch's settings before the first of ours was written; None while nothing was."""
    bridges: tuple[str, ...] = ()
    """The bridges that Open vSwitch had then."""
    attempts: int = 0
    reason: str = ""
    """Why it failed; not empty while it is being undone and afterwards."""


def journal_document(journal: Journal) -> dict[str, Any]:
    """A journal as plain data."""
    return asdict(journal)


def journal_of(document: Mapping[str, Any]) -> Journal:
    """The reverse. What is missing is as in the empty journal, and what is not known is passed over."""
    return Journal(
        **_known(Journal, document)
        | {
            "started": tuple(document.get("started", ())),
            "bridges": tuple(document.get("bridges", ())),
            "replacements": tuple(replacement_of(entry) for entry in document.get("replacements", ())),
            "vnics": tuple(MovedVnic(**_known(MovedVnic, entry)) for entry in document.get("vnics", ())),
        }
    )
