# SPDX-License-Identifier: Apache-2.0
"""What the hosts of one manager should look like, by what was decided for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Estate
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Fallback, Hypervisor, Scheme
from anyvisor.model.names import HostName, NetworkName, PortName
from anyvisor.model.state import HostState, Plugged, State
from anyvisor.planner.admission import Held, held_back
from anyvisor.planner.appliances import ApplianceWish, appliance_key
from anyvisor.planner.facts import traits
from anyvisor.planner.fleet import ETHERNET_MTU
from anyvisor.planner.found import in_use, out_of_sight
from anyvisor.planner.inner import keys_of
from anyvisor.planner.schemes.parts import DRIVEN_BY_OVS

Wishes: TypeAlias = Callable[[State, Iterable[HostName]], Mapping[str, ApplianceWish]]
"""How the appliances of these hosts are made, by `appliance_key`; none where the operator makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the hosts of one manager should look like. `ready` are the ports whose far side is laid."""

    owner: str
    hosts: Mapping[HostName, Host]
    schemes: Mapping[HostName, Scheme]
    attachments: Mapping[PortName, Attachment]
    vms: Mapping[PortName, str | None]
    """The VM that the site names per port, where two cards have one MAC."""
    ready: frozenset[PortName]
    appliances: Mapping[str, ApplianceWish] = field(default_factory=dict)
    """By `appliance_key`; none where the operator makes them."""
    held: Mapping[PortName, Held] = field(default_factory=dict)
    """Ports whose vNIC is not plugged in anew, with why; one that is in a group of ours already may be moved."""
    out: frozenset[str] = frozenset()
    """Appliances that do not serve: one that comes back stays fenced until it does."""
    elsewhere: frozenset[str] = frozenset()
    """Keys of groups of attachments on hosts that the manager does not show now: nobody touches those."""
    missing: tuple[HostName, ...] = ()
    """Hosts of the site that should be the manager's, and that it does not show."""
    addresses: Mapping[PortName, tuple[str, ...]] = field(default_factory=dict)
    """What was decided for each port."""
    physicals: Mapping[NetworkName, str] = field(default_factory=dict)
    """The physical network that each network uses outside the overlay."""


def wanted_of(state: State, estate: Estate, wishes: Wishes) -> Wanted:
    """What was decided for the hosts of that estate."""
    hosts = {
        name: host
        for name, host in state.site.hosts.items()
        if name in estate.hosts and host.hypervisor is not Hypervisor.KVM
    }
    schemes = {
        name: known.scheme
        for name, known in state.hosts.items()
        if name in hosts and known.scheme is not None
    }
    attachments = {port: a for port, a in state.attachments.items() if a.host in hosts}
    busy = {a.host for a in attachments.values()} | {a.staged for a in attachments.values() if a.staged}
    used = in_use(state.site, hosts, busy)
    schemes = {name: scheme for name, scheme in schemes.items() if name in used}
    ready = frozenset(port for port, a in attachments.items() if _way_is_laid(state, port, a))
    served = [
        name
        for name, scheme in schemes.items()
        if scheme is Scheme.APPLIANCE and not traits.inner_by_agent(hosts[name])
    ]
    return Wanted(
        owner=state.owner,
        hosts=hosts,
        schemes=schemes,
        attachments=attachments,
        vms={port: state.site.ports[port].vm for port in attachments if port in state.site.ports},
        ready=ready,
        held=dict(_held(state, attachments.values())),
        appliances=wishes(state, served),
        out=_fenced(state, served, attachments.values()),
        elsewhere=frozenset(
            key
            for a in state.attachments.values()
            if out_of_sight(state.site, a.host, estate.hosts)
            for key in keys_of(a)
        ),
        missing=tuple(_missing(state, estate)),
        addresses={port: state.ports[port].addresses for port in attachments if port in state.ports},
        physicals=dict(_physicals(state, attachments.values())),
    )


def _fenced(state: State, served: Iterable[HostName], attachments: Iterable[Attachment]) -> frozenset[str]:
    """The appliances that may not come back before their time: somebody else may have taken what they served.

    Where all networks fail closed nobody has, and the sooner they come back the better.
    """
    networks = state.site.networks
    shared = {
        a.host
        for a in attachments
        if a.network in networks and networks[a.network].fallback is not Fallback.CLOSED
    }
    return frozenset(
        appliance_key(host, number) for host in served if host in shared for number in state.hosts[host].out
    )


def _physicals(state: State, attachments: Iterable[Attachment]) -> Iterator[tuple[NetworkName, str]]:
    """What a network names; else the only one that has VLANs to give."""
    pools = list(state.site.policy.vlans)
    for name in sorted({a.network for a in attachments}):
        network = state.site.networks.get(name)
        physical = network.physical if network is not None else None
        if physical is None and len(pools) == 1:
            physical = pools[0]
        if physical is not None:
            yield name, physical


def _missing(state: State, estate: Estate) -> Iterator[HostName]:
    """A vCenter should show every ESXi host; the one pool of a site every host that XAPI manages. Of several pools it
    cannot be told whose a host is that none of them shows.
    """
    pool = any(host.hypervisor is Hypervisor.XEN for host in estate.hosts.values())
    if pool and sum(manager.driver == "xapi" for manager in state.site.managers.values()) > 1:
        return
    for name, host in sorted(state.site.hosts.items()):
        belongs = traits.in_pool(host) if pool else host.hypervisor is Hypervisor.ESXI
        if belongs and name not in estate.hosts:
            yield name


def _way_is_laid(state: State, port: PortName, attachment: Attachment) -> bool:
    """Behind an appliance the card follows its patch pair; until ovn-controller has flows for that nothing passes.

    Into the integration bridge it goes once the agent has made that.
    """
    kind = attachment.kind
    if kind is AttachmentKind.VIF:
        return state.hosts.get(attachment.host, HostState()).carried in DRIVEN_BY_OVS
    if kind is not AttachmentKind.VLAN_ACCESS:
        return True
    return state.plugged.get(port, Plugged()).device is not None


def _held(state: State, attachments: Iterable[Attachment]) -> Iterator[tuple[PortName, Held]]:
    """Vnics that no way through is known for; only on hosts that say something is wrong."""
    ailing = {name: known for name, known in state.hosts.items() if any(not c.true for c in known.conditions)}
    for attachment in attachments:
        network = state.site.networks.get(attachment.network)
        if (
            attachment.kind is AttachmentKind.VLAN_ACCESS
            and attachment.host in ailing
            and network is not None
        ):
            held = held_back(ailing[attachment.host], network, state.underlay_mtu or ETHERNET_MTU)
            if held is not None:
                yield attachment.port, held
