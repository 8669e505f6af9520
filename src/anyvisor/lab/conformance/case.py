# SPDX-License-Identifier: Apache-2.0
"""The cases: what a tenant may rely on, each as questions about one cell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from anyvisor.lab.checks import Check
from anyvisor.lab.conformance import cast
from anyvisor.lab.conformance.asker import MAIN, Asker
from anyvisor.lab.conformance.cell import Cell
from anyvisor.model.kinds import Protocol

Ask: TypeAlias = Callable[[Asker, Cell], Iterator[Check]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table. `holds` is the sentence that a "yes" stands for."""

    name: str
    title: str
    holds: str
    ask: Ask


def _tcp(asker: Asker, cell: Cell) -> Iterator[Check]:
    yield from _answered(asker, cell, Protocol.TCP, cast.TCP)
    yield from asker.converse(cell.client, cast.SERVER, cast.TCP)
    yield from asker.converse(cast.MEMBER, cell.server, cast.TCP)


def _udp(asker: Asker, cell: Cell) -> Iterator[Check]:
    yield from _answered(asker, cell, Protocol.UDP, cast.UDP)


def _icmp(asker: Asker, cell: Cell) -> Iterator[Check]:
    yield from _answered(asker, cell, Protocol.ICMP, None)


def _answered(asker: Asker, cell: Cell, protocol: Protocol, port: int | None) -> Iterator[Check]:
    """Asked by the client, and unasked: its group admits nothing. And the same with the client far away."""
    yield from asker.reach(cell.client, cast.SERVER, protocol, port)
    yield from asker.reach(cast.SERVER, cell.client, protocol, port)
    yield from asker.reach(cast.MEMBER, cell.server, protocol, port)


def _groups(asker: Asker, cell: Cell) -> Iterator[Check]:
    for protocol, port in MAIN:
        yield from asker.reach(cast.MEMBER, cell.server, protocol, port)
        yield from asker.reach(cast.STRANGER, cell.server, protocol, port)
    yield from asker.reach(cast.STRANGER, cell.server, Protocol.TCP, cast.PUBLIC)


def _same_host(asker: Asker, cell: Cell) -> Iterator[Check]:
    for protocol, port in MAIN:
        yield from asker.reach(cell.client, cell.server, protocol, port)
        yield from asker.reach(cell.server, cell.client, protocol, port)
    yield from asker.reach(cell.client, cell.server, Protocol.TCP, cast.CLOSED)
    yield from asker.reach(cell.client, cell.server, Protocol.UDP, cast.CLOSED_UDP)


def _across_hosts(asker: Asker, cell: Cell) -> Iterator[Check]:
    """Towards the cell alone: what it lets in is its own, and the other direction stands in the other's column."""
    for peer in asker.peers(cell):
        yield from asker.reach(peer.client, cell.server, Protocol.TCP, cast.TCP)
        yield from asker.reach(peer.client, cell.server, Protocol.TCP, cast.CLOSED)
        yield from asker.reach(peer.server, cell.client, Protocol.TCP, cast.TCP)
    for port in cell.tunnelled:
        for other in (cast.INNER, *(far for peer in asker.peers(cell) for far in peer.tunnelled)):
            yield from asker.reach(other, port, Protocol.TCP, cast.PUBLIC)
            yield from asker.reach(other, port, Protocol.TCP, cast.CLOSED)


def _spoofing(asker: Asker, cell: Cell) -> Iterator[Check]:
    yield from asker.forged(cell.client, cast.SERVER, cast.STRANGER)
    yield from asker.forged(cell.client, cell.server, cast.MEMBER)


def _dhcp(asker: Asker, cell: Cell) -> Iterator[Check]:
    for port in cell.ports:
        yield from asker.lease(port)


def _slaac(asker: Asker, cell: Cell) -> Iterator[Check]:
    for port in cell.ports:
        yield from asker.announced(port)


def _router(asker: Asker, cell: Cell) -> Iterator[Check]:
    for protocol, port in MAIN:
        yield from asker.reach(cell.client, cast.FAR, protocol, port)
        yield from asker.reach(cast.FAR, cell.client, protocol, port)
    yield from asker.reach(cast.FAR, cell.server, Protocol.TCP, cast.PUBLIC)
    for tunnelled in cell.tunnelled:
        for protocol, port in MAIN:
            yield from asker.reach(tunnelled, cast.FAR, protocol, port)
            yield from asker.reach(cast.FAR, tunnelled, protocol, port)


def _floating(asker: Asker, cell: Cell) -> Iterator[Check]:
    yield from asker.inward(cell.server, Protocol.TCP, cast.PUBLIC)
    yield from asker.inward(cell.server, Protocol.TCP, cast.TCP)
    yield from asker.inward(cell.server, Protocol.ICMP, None)
    for port in cell.ports:
        yield from asker.outward(port)


def _mtu(asker: Asker, cell: Cell) -> Iterator[Check]:
    for target in (cast.SERVER, cast.FAR):
        yield from asker.sizes(cell.client, target)
    for port in cell.tunnelled:
        for target in (cast.INNER, cast.FAR):
            yield from asker.sizes(port, target)


CASES: tuple[Case, ...] = (
    Case(
        name="tcp",
        title="Stateful TCP",
        holds="an answer comes back through a group that admits nothing, an unasked connection to it does not; "
        "one that stands goes on",
        ask=_tcp,
    ),
    Case(name="udp", title="Stateful UDP", holds="the same for datagrams", ask=_udp),
    Case(name="icmp", title="Stateful ICMP", holds="the same for echo requests", ask=_icmp),
    Case(
        name="groups",
        title="Remote groups",
        holds="a member of the group that a rule names is admitted, who is none is not, and a rule for all is for all",
        ask=_groups,
    ),
    Case(
        name="same-host",
        title="Pair on the host",
        holds="what the rules admit between the host's two VMs passes, everything else does not",
        ask=_same_host,
    ),
    Case(
        name="across-hosts",
        title="Pairs across hosts",
        holds="the same for what comes from the VMs of every other cell; by VLAN, and by tunnel where the scheme "
        "carries overlays",
        ask=_across_hosts,
    ),
    Case(
        name="spoofing",
        title="Anti-spoofing",
        holds="nothing arrives that the VM sends with somebody else's IP address or with a MAC address not its own, "
        "neither far away nor on the host",
        ask=_spoofing,
    ),
    Case(
        name="dhcp",
        title="DHCP",
        holds="the lease has the decided address, the network's MTU and its gateway",
        ask=_dhcp,
    ),
    Case(
        name="slaac",
        title="IPv6 SLAAC",
        holds="the VM has made itself the decided address from router advertisements",
        ask=_slaac,
    ),
    Case(
        name="router",
        title="Router",
        holds="another network is reached, and answers; from there the rules hold as well",
        ask=_router,
    ),
    Case(
        name="floating",
        title="Floating IP",
        holds="from outside what the rules admit gets in, nothing else; outside, the VM is seen as its floating IP, "
        "and one without as its router",
        ask=_floating,
    ),
    Case(
        name="mtu",
        title="MTU",
        holds="the largest packet that the network promises gets to another host, by VLAN, tunnel and router, "
        "unfragmented and back; one byte more is refused or answered, not lost in silence",
        ask=_mtu,
    ),
)
