# SPDX-License-Identifier: Apache-2.0
"""How many ports there are where: what predictions are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from anyvisor.model.names import HostName, NetworkName
from anyvisor.model.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Ports per network: those of one host, and those that sit behind native switches of other hosts."""

    local: Mapping[NetworkName, int] = field(default_factory=dict)
    beyond: Mapping[NetworkName, int] = field(default_factory=dict)
    shares_tags: bool = False
    """Behind an appliance, the ports of one network share a tag."""

    @property
    def has_neighbours(self) -> bool:
        """True if two ports of the host are on one network."""
        return any(count > 1 for count in self.local.values())

    @property
    def ports(self) -> int:
        """All ports of the host."""
        return sum(self.local.values())

    @property
    def may_escape(self) -> bool:
        """True if, behind its native switch, some port of the host has a neighbour that is behind one too."""
        return any(count > 1 or self.beyond.get(network, 0) for network, count in self.local.items() if count)


def loads(site: Site, native: Collection[HostName] = ()) -> dict[HostName, Load]:
    """The load of every host of the site, where `native` are the hosts under `separation` or `vendor`.

    To judge a choice before it is made, pass all hosts that might come to be: then a prediction is a bound from below
    whatever the others choose.
    """
    local: dict[HostName, Counter[NetworkName]] = {host: Counter() for host in site.hosts}
    total: Counter[NetworkName] = Counter()
    for port in site.ports.values():
        if port.host is None or port.host not in local:
            continue
        local[port.host][port.network] += 1
        if port.host in native:
            total[port.network] += 1
    return {
        host: Load(
            local=counts,
            shares_tags=site.policy.shares_tags,
            beyond={
                network: others
                for network, count in counts.items()
                if (others := total[network] - (count if host in native else 0))
            },
        )
        for host, counts in local.items()
    }
