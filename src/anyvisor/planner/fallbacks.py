# SPDX-License-Identifier: Apache-2.0
"""What a plan says about the death of an appliance, before it happens: who stands in, and what would escape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Fallback, Scheme
from anyvisor.model.names import NetworkName, PortName
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State
from anyvisor.planner import seats
from anyvisor.planner.facts import traits

_NAMED = 5


def fallen_ports(state: State) -> frozenset[PortName]:
    """The ports that sit behind the native switch of an appliance's host now, because no appliance serves there."""
    served = {name for name, host in state.hosts.items() if (host.carried or host.scheme) is Scheme.APPLIANCE}
    return frozenset(
        port
        for port, attachment in state.attachments.items()
        if attachment.kind is AttachmentKind.EXTERNAL and attachment.host in served
    )


def notes(site: Site, host: Host, ports: Iterable[Port]) -> tuple[str, ...]:
    """Sentences for a host under `appliance` with these ports."""
    if traits.agentless(host):
        return (*_without_agent(site, host, ports),)
    count = len(seats.numbers(site.policy))
    said = [] if count == 1 else [f"{count} appliances share its vNICs."]
    return (*said, *_of_networks(site, host, ports, count))


def card_notes(site: Site, host: Host, ports: Iterable[Port]) -> tuple[str, ...]:
    """Sentences for a host under `nic` with these ports: a card has no fallback."""
    lax = sorted({p.network for p in ports if site.networks[p.network].fallback is not Fallback.CLOSED})
    return tuple(
        f"Note: Network {name} cannot fall back on {host.name}: a vNIC that is a function of a card has no other way. "
        "It is cut off while the card is dead, whatever its fallback says."
        for name in lax
    )


def _of_networks(site: Site, host: Host, ports: Iterable[Port], count: int) -> Iterator[str]:
    by_network: defaultdict[NetworkName, list[PortName]] = defaultdict(list)
    for port in ports:
        by_network[port.network].append(port.name)
    for name, members in sorted(by_network.items()):
        match site.networks[name].fallback:
            case Fallback.STANDBY if count == 1:
                yield (
                    f"Note: Nobody can take network {name} over when the appliance of {host.name} dies: it has one "
                    "only (policy.appliance.count), so the network is cut off."
                )
            case Fallback.STANDBY:
                yield f"When an appliance dies, the other takes its vNICs of network {name} over."
            case Fallback.OPEN:
                yield _open(host, name, sorted(members))
            case _:
                pass


def _without_agent(site: Site, host: Host, ports: Iterable[Port]) -> Iterator[str]:
    yield (
        f"No agent runs in the appliance of {host.name}: its vNICs are OVN child ports. OVN takes longer for each of "
        "their changes, and a migration cannot be staged before the VM arrives."
    )
    for name in sorted({port.network for port in ports}):
        if site.networks[name].fallback is not Fallback.CLOSED:
            yield (
                f"Note: Without an agent nobody tells whether the appliance of {host.name} is alive: network {name} is "
                "cut off while it is dead, whatever its fallback says."
            )


def _open(host: Host, network: NetworkName, members: list[PortName]) -> str:
    native = traits.native_switch(host)
    if native is None:
        return (
            f"Note: Network {network} cannot fall open: {host.name} has no native switch with a way out. "
            "It is cut off while no appliance serves."
        )
    more = f" and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
    named = ", ".join(members[:_NAMED]) + more
    return (
        f"Note: While no appliance of {host.name} serves, network {network} falls open: {named} sit behind "
        f"{native.name}, their rules are not enforced, and what they say to others behind native switches escapes."
    )


def duty_conditions(host: HostState) -> tuple[Condition, ...]:
    """What was found about a host's appliances, or about its card, in the words of conditions."""
    if host.scheme is Scheme.NIC:
        return tuple(
            Condition(kind="Card", true=False, reason=duty.reason, message=duty.message)
            for duty in host.duties.values()
        )
    return tuple(
        Condition(
            kind="Appliance", true=False, reason=duty.reason, message=f"appliance {number}: {duty.message}"
        )
        for number, duty in sorted(host.duties.items())
    )
