# SPDX-License-Identifier: Apache-2.0
"""Hosts that managers report: beside those of the site file, and beneath what the file says of them.

A host that only its manager knows bears the manager's name (`Host.manager`) and is kept as the manager reports it. One
that the file names, too, is the file's: what the file leaves out is taken from the report when the file is applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from anyvisor.model.host import Fact, Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName
from anyvisor.model.site import Site
from anyvisor.model.state import State

Hosts = Mapping[HostName, Host]

_PASSING = frozenset({"spare_vcpus", "spare_memory_gib", "connection", "maintenance"})
"""Facts that change by the hour. Nothing is written anew for them alone, or no two plans would agree."""


def reported_by(manager: str, hosts: Hosts) -> dict[HostName, Host]:
    """The hosts of one manager's picture, with its name on them."""
    return {name: replace(host, manager=manager) for name, host in hosts.items()}


def completed(site: Site, state: State, reported: Hosts, silent: Collection[str] = ()) -> Site:
    """The site with every host that is reported, and what the file leaves out of its own.

    Of managers that are `silent` now, what they reported before counts.
    """
    before = state.site.hosts
    known = {**known_hosts(state, silent), **reported}
    hosts = {
        name: overridden(host, known.get(name, before.get(name) if silent else None))
        for name, host in site.hosts.items()
    }
    beyond = {name: _settled(host, before.get(name)) for name, host in known.items() if name not in hosts}
    return replace(site, hosts={**hosts, **beyond})


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
        facts={**_lasting(reported), **stated.facts},
    )


def _lasting(host: Host) -> dict[str, Fact]:
    return {name: fact for name, fact in host.facts.items() if name not in _PASSING}


def _settled(fresh: Host, stored: Host | None) -> Host:
    """What is stored, unless more than passing facts differ."""
    if stored is None or replace(fresh, facts=_lasting(fresh)) != replace(stored, facts=_lasting(stored)):
        return fresh
    return stored


def known_hosts(state: State, managers: Collection[str]) -> dict[HostName, Host]:
    """What these managers reported when they were last asked, as far as it is stored."""
    return {name: host for name, host in state.site.hosts.items() if host.manager in managers}


def news(
    manager: str, state: State, hosts: Hosts, *, seen: Hosts | None = None
) -> dict[HostName, Host | None]:
    """What differs between the stored hosts of a manager and what it shows now; None for one that it shows no more.

    A host that still has ports stays, so that nothing of theirs is torn down because a manager lost sight of it.
    `seen` is what it showed when the same stored hosts were compared last: then only what changed since is compared.
    """
    if seen is not None and seen.keys() == hosts.keys():
        hosts = {name: host for name, host in hosts.items() if seen[name] is not host}
        stored = {name: state.site.hosts[name] for name in hosts if name in state.site.hosts}
        state = replace(state, site=replace(state.site, hosts=stored), attachments={})
    shown = reported_by(manager, hosts)
    stored = known_hosts(state, (manager,))
    busy = {attachment.host for attachment in state.attachments.values()}
    changed: dict[HostName, Host | None] = {
        name: host
        for name, host in shown.items()
        if (name not in state.site.hosts or name in stored)
        and _settled(host, stored.get(name)) is not stored.get(name)
    }
    return changed | dict.fromkeys(name for name in stored if name not in shown and name not in busy)


def out_of_sight(site: Site, host: HostName, shown: Collection[HostName]) -> bool:
    """Whether it may be a host of a manager that does not show it now. A KVM host is nobody's but its agent's."""
    known = site.hosts.get(host)
    return host not in shown and (known is None or known.hypervisor is not Hypervisor.KVM)


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
