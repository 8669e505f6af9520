# SPDX-License-Identifier: Apache-2.0
"""Hosts that managers report: beside those of the site file, and beneath what the file says of them.

A host that only its manager knows bears the manager's name (`Host.manager`) and is kept as the manager reports it. One
that the file names, too, is the file's: what the file leaves out is taken from the report when the file is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from anyvisor.model.host import Host
from anyvisor.model.names import HostName
from anyvisor.model.site import Site
from anyvisor.model.state import State

Hosts = Mapping[HostName, Host]


def reported_by(manager: str, hosts: Hosts) -> dict[HostName, Host]:
    """The hosts of one manager's picture, with its name on them."""
    return {name: replace(host, manager=manager) for name, host in hosts.items()}


def completed(site: Site, reported: Hosts) -> Site:
    """The site with every host that is reported, and what the file leaves out of its own."""
    hosts = {name: overridden(host, reported.get(name)) for name, host in site.hosts.items()}
    beyond = {name: host for name, host in reported.items() if name not in hosts}
    return site if not reported else replace(site, hosts={**hosts, **beyond})


def overridden(stated: Host, reported: Host | None) -> Host:
    """What the file says weighs more, key by key and fact by fact."""
    if reported is None or reported.hypervisor is not stated.hypervisor:
        return stated
    return replace(
        stated,
        version=stated.version or reported.version,
        cluster=stated.cluster or reported.cluster,
        switches=stated.switches or reported.switches,
        nics=stated.nics or reported.nics,
        facts={**reported.facts, **stated.facts},
    )


def known_hosts(state: State, managers: Iterable[str]) -> dict[HostName, Host]:
    """What these managers reported when they were last asked, as far as it is stored."""
    asked = frozenset(managers)
    return {name: host for name, host in state.site.hosts.items() if host.manager in asked}


def news(manager: str, state: State, hosts: Hosts) -> dict[HostName, Host | None]:
    """What differs between the stored hosts of a manager and what it shows now; None for one that it shows no more.

    A host that still has ports stays, so that nothing of theirs is torn down because a manager lost sight of it.
    """
    shown = reported_by(manager, hosts)
    stored = known_hosts(state, (manager,))
    busy = {attachment.host for attachment in state.attachments.values()}
    changed: dict[HostName, Host | None] = {
        name: host
        for name, host in shown.items()
        if (name not in state.site.hosts or name in stored) and stored.get(name) != host
    }
    return changed | dict.fromkeys(name for name in stored if name not in shown and name not in busy)


def in_use(site: Site, hosts: Iterable[HostName], busy: Iterable[HostName]) -> frozenset[HostName]:
    """Of these hosts those that anything may be built on: the file's; and of the others those with a port on them, or
    in the cluster of one, since its VM may move there. Naming a vCenter does not put appliances on all its hosts.
    """
    occupied = frozenset(busy)
    clusters = {site.hosts[name].cluster for name in occupied if name in site.hosts} - {None}
    return frozenset(
        name
        for name in hosts
        if site.hosts[name].manager is None or name in occupied or site.hosts[name].cluster in clusters
    )
