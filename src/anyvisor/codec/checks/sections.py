# SPDX-License-Identifier: Apache-2.0
"""The top-level lists of a site by name, as the checks see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from anyvisor.codec.addresses import Address, Prefix
from anyvisor.codec.document import Spot
from anyvisor.codec.reading import Draft, Listed, suggestion


@dataclass(frozen=True, slots=True)
class Section:
    """One list, e.g. ``networks``. `certain` is False where names may be missing because of other mistakes."""

    what: str
    drafts: tuple[Draft, ...]
    by_name: dict[str, Draft]
    names: frozenset[str]
    certain: bool

    def check_reference(self, spot: Spot, name: str) -> Draft | None:
        """The draft of that name; a fault at `spot` where there is none."""
        if name not in self.names and self.certain:
            spot.blame(f"there is no {self.what} {name!r}{suggestion(name, self.names)}")
        return self.by_name.get(name)


@dataclass(frozen=True, slots=True)
class Net:
    """The prefixes of a network. `certain` is False where some of them could not be read."""

    prefixes: tuple[Prefix, ...]
    certain: bool

    def holds(self, address: Address) -> bool:
        """Whether some prefix contains the address."""
        return any(address in prefix for prefix in self.prefixes)

    def lacks(self, address: Address) -> bool:
        """Whether surely no prefix contains the address."""
        return self.certain and not self.holds(address)


@dataclass(frozen=True, slots=True)
class Sections:
    """All that the checks of one site share."""

    site: Draft
    managers: Section
    hosts: Section
    networks: Section
    routers: Section
    groups: Section
    ports: Section
    nets: dict[str, Net]
    taken: dict[tuple[str, Address], str] = field(default_factory=dict)
    """Who has an address of a network: what checks before have seen."""

    @property
    def is_reported(self) -> bool:
        """Whether managers report hosts that need not stand in the file."""
        return bool(self.managers.drafts) or not self.managers.certain

    def take(self, network: str, address: Address, who: str) -> str | None:
        """Give the address to `who`; whoever has it already where it is taken."""
        holder = self.taken.setdefault((network, address), who)
        return None if holder == who else holder


def sections(site: Draft) -> Sections:
    """Index the site by names; duplicate names are noted."""
    networks = _section(site, "networks", "network")
    return Sections(
        site=site,
        managers=_section(site, "managers", "manager"),
        hosts=_section(site, "hosts", "host"),
        networks=networks,
        routers=_section(site, "routers", "router"),
        groups=_section(site, "security_groups", "security group"),
        ports=_section(site, "ports", "port"),
        nets={name: _net(draft) for name, draft in networks.by_name.items()},
    )


def items(draft: Draft, key: str) -> Iterator[tuple[Spot, Any]]:
    """The usable items of a list or table, with their places."""
    listed: Listed[Any] | None = draft.get(key)
    return iter(listed or ())


def first_and_last(prefix: Prefix) -> tuple[Address, ...]:
    """The addresses of an IPv4 prefix that no machine can have."""
    if isinstance(prefix, IPv4Network) and prefix.prefixlen < 31:
        return (prefix.network_address, prefix.broadcast_address)
    return ()


def _section(site: Draft, key: str, what: str) -> Section:
    listed: Listed[Draft] | None = site.get(key)
    drafts = listed.values if listed else ()
    by_name: dict[str, Draft] = {}
    for draft in drafts:
        name = draft.get("name")
        if name is None:
            continue
        first = by_name.setdefault(name, draft)
        if first is not draft:
            draft.blame("name", f"{name} is already the name of {first.spot.path}")
    written = frozenset(draft.spots["name"].raw for draft in drafts if "name" in draft.spots)
    all_read = key not in site.broken and (listed is None or len(drafts) == len(site.spots[key].node.value))
    return Section(what, drafts, by_name, written, all_read and all("name" in d.spots for d in drafts))


def _net(draft: Draft) -> Net:
    subnets: Listed[Draft] | None = draft.get("subnets")
    if subnets is None:
        return Net((), draft.lacks("subnets"))
    prefixes = tuple(subnet.get("cidr") for _, subnet in subnets if subnet.get("cidr") is not None)
    return Net(prefixes, len(prefixes) == len(draft.spots["subnets"].node.value))
