# SPDX-License-Identifier: Apache-2.0
"""What a host's cluster adds to the facts that its verdicts rest on: how many hosts its VMs might move to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName
from anyvisor.planner.facts import traits


class Clusters:
    """The clusters that these hosts make up, at one moment."""

    def __init__(self, hosts: Mapping[HostName, Host]) -> None:
        self.hosts = hosts
        self._sizes = Counter(
            host.cluster
            for host in hosts.values()
            if host.cluster is not None and host.hypervisor is Hypervisor.ESXI
        )

    def placed(self, host: Host) -> Host:
        """The host, with how many its cluster has among its facts; a number that is stated there weighs more."""
        size = self._sizes[host.cluster or ""] if host.hypervisor is Hypervisor.ESXI else 0
        if not size or traits.CLUSTER_HOSTS in host.facts:
            return host
        return replace(host, facts={**host.facts, traits.CLUSTER_HOSTS: size})

    def changed(self, before: Clusters) -> frozenset[HostName]:
        """Hosts whose clusters have another number of hosts than before."""
        sizes = self._sizes.keys() | before._sizes.keys()
        different = {cluster for cluster in sizes if self._sizes[cluster] != before._sizes[cluster]}
        if not different:
            return frozenset()
        return frozenset(name for name, host in self.hosts.items() if host.cluster in different)
