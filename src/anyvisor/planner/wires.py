# SPDX-License-Identifier: Apache-2.0
"""Which hosts are cabled to which physical network."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from anyvisor.model.host import Host
from anyvisor.model.names import HostName


class Wires:
    """An index over the cards of hosts. One owner."""

    def __init__(self) -> None:
        self._hosts: defaultdict[str, set[HostName]] = defaultdict(set)

    @property
    def names(self) -> Iterator[str]:
        """The physical networks that some host was ever cabled to."""
        return iter(self._hosts)

    def update(self, name: HostName, old: Host | None, new: Host | None) -> None:
        """A host came, changed or went."""
        for nic in old.nics if old is not None else ():
            if nic.physical is not None:
                self._hosts[nic.physical].discard(name)
        for nic in new.nics if new is not None else ():
            # A card with one access VLAN carries no other: it serves its own native bridge, not a provider network.
            if nic.physical is not None and nic.vlan is None:
                self._hosts[nic.physical].add(name)

    def ranked(self, physical: str, seed: str) -> list[HostName]:
        """The hosts on a wire. The order differs by `seed`, so that load spreads, and changes little when a host comes
        or goes (rendezvous hashing)."""
        return sorted(
            self._hosts.get(physical, ()),
            key=lambda host: hashlib.blake2s(f"{seed}/{host}".encode()).digest(),
        )
