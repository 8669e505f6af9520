# SPDX-License-Identifier: Apache-2.0
"""What a vendor's own controller is to hold, and what of it the hosts' manager shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from anyvisor.model.attachment import Attachment
from anyvisor.model.entity import EntityWish
from anyvisor.model.estate import Estate, Group
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.logical import LogicalGroup, LogicalNetwork, LogicalPort, Segment
from anyvisor.model.names import GroupName, HostName, NetworkName, PortName
from anyvisor.model.network import Network
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import State
from anyvisor.planner.facts import traits

NSX = "nsx"
"""The driver of managers that are a vendor's own controller."""
ETHERNET_MTU = 1500
_NETWORK = "network/"


def entity_groups(estate: Estate) -> dict[tuple[HostName, NetworkName], Group]:
    """The segment of each network, as it shows on a switch of each host."""
    by_switch: defaultdict[str, list[Group]] = defaultdict(list)
    for group in estate.groups.values():
        if group.entity:
            by_switch[group.switch].append(group)
    if not by_switch:
        return {}
    return {
        (host.name, NetworkName(group.key.removeprefix(_NETWORK))): group
        for host in estate.hosts.values()
        for switch in host.switches
        for group in by_switch.get(switch.name, ())
    }


def kept_by(manager: Manager, site: Site) -> frozenset[HostName]:
    """The hosts whose networks that NSX owns: of the vCenter that it switches, and those that only the site file names
    where there is no other NSX.
    """
    alone = len(_entities(site)) == 1
    return frozenset(name for name, host in site.hosts.items() if _keeps(manager, host, alone=alone))


def kept_somewhere(host: Host, site: Site) -> bool:
    """Whether a manager of the site has the networks of that host. A plain vCenter keeps its own."""
    entities = _entities(site)
    return not traits.owned_by_nsx(host) or any(
        _keeps(each, host, alone=len(entities) == 1) for each in entities
    )


def _entities(site: Site) -> tuple[Manager, ...]:
    return tuple(each for each in site.managers.values() if each.driver == NSX)


def _keeps(manager: Manager, host: Host, *, alone: bool) -> bool:
    if not traits.owned_by_nsx(host):
        return False
    return alone if manager.vcenter is None or host.manager is None else host.manager == manager.vcenter


def entity_wish(state: State, hosts: Collection[HostName]) -> EntityWish:
    """Everything that the controller of these hosts is to hold: what is attached there, and what that names."""
    site = state.site
    kept = [
        a
        for a in state.attachments.values()
        if a.kind is AttachmentKind.ENTITY and a.host in hosts and a.port in site.ports
    ]
    networks = {a.network: a for a in kept if a.network in site.networks and a.vlan is not None}
    groups = {
        name: LogicalGroup(name=name, rules=site.security_groups[name].rules)
        for a in kept
        for name in site.ports[a.port].security_groups
    }
    far = {rule.group for group in groups.values() for rule in group.rules if rule.group is not None}
    return EntityWish(
        networks={name: _network(site.networks[name], a.vlan, site) for name, a in networks.items()},
        ports={a.port: _port(state, a) for a in kept},
        groups=groups,
        members=_members(state, far),
    )


def _network(network: Network, vlan: int | None, site: Site) -> LogicalNetwork:
    pools = list(site.policy.vlans)
    physical = network.physical or (pools[0] if len(pools) == 1 else "")
    return LogicalNetwork(
        name=network.name,
        subnets=network.subnets,
        mtu=network.mtu or ETHERNET_MTU,
        segment=Segment(physical=physical, vlan=vlan),
    )


def _port(state: State, attachment: Attachment) -> LogicalPort:
    groups = state.site.ports[attachment.port].security_groups
    rules = (rule for name in groups for rule in state.site.security_groups[name].rules)
    known = state.ports.get(attachment.port)
    return LogicalPort(
        name=attachment.port,
        network=attachment.network,
        kind=attachment.kind,
        mac=attachment.mac,
        addresses=known.addresses if known is not None else (),
        groups=groups,
        chassis=(attachment.host,),
        filtered_egress=any(rule.direction.value == "egress" for rule in rules),
    )


def _members(state: State, groups: Collection[GroupName]) -> Mapping[GroupName, tuple[str, ...]]:
    found: dict[GroupName, list[str]] = {name: [] for name in groups}
    if found:
        for port in state.site.ports.values():
            known = state.ports.get(port.name)
            for name in port.security_groups if known is not None else ():
                if name in found and known is not None:
                    found[name].extend(known.addresses)
    return {name: tuple(sorted(addresses)) for name, addresses in found.items()}


def unwired(wish: EntityWish, wired: Collection[PortName]) -> Iterable[PortName]:
    """The ports whose vNIC the controller has not found on their network."""
    return sorted(port for port in wish.ports if port not in wired)
