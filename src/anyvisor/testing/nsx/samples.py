# SPDX-License-Identifier: Apache-2.0
"""Small wishes to try an entity driver with."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.model.entity import EntityWish
from anyvisor.model.kinds import AttachmentKind, Direction, Protocol
from anyvisor.model.logical import LogicalGroup, LogicalNetwork, LogicalPort, Segment
from anyvisor.model.names import GroupName, Mac, NetworkName, PortName
from anyvisor.model.security import PortRange, Rule


def network(name: str, vlan: int | None = 7) -> LogicalNetwork:
    """On that VLAN."""
    return LogicalNetwork(
        name=NetworkName(name), subnets=(), mtu=1500, segment=Segment(physical="fabric", vlan=vlan)
    )


def port(
    name: str,
    net: str = "red",
    *,
    number: int = 1,
    groups: Iterable[str] = (),
    egress: bool = False,
    addresses: tuple[str, ...] = ("10.0.0.1", "fd00::1"),
) -> LogicalPort:
    """`number` makes its MAC; `egress` says that a group of it has an egress rule."""
    return LogicalPort(
        name=PortName(name),
        network=NetworkName(net),
        kind=AttachmentKind.ENTITY,
        mac=mac(number),
        addresses=addresses,
        groups=tuple(map(GroupName, groups)),
        filtered_egress=egress,
    )


def mac(number: int) -> Mac:
    """The MAC of the port with that number."""
    return Mac(f"52:54:00:00:{number // 256:02x}:{number % 256:02x}")


def group(name: str, *rules: Rule) -> LogicalGroup:
    """A group with those rules."""
    return LogicalGroup(name=GroupName(name), rules=rules)


def ingress(
    protocol: Protocol = Protocol.ANY, *ports: int, cidr: str | None = None, group: str | None = None
) -> Rule:
    """A rule that lets something in."""
    return _rule(Direction.INGRESS, protocol, ports, cidr, group)


def egress(
    protocol: Protocol = Protocol.ANY, *ports: int, cidr: str | None = None, group: str | None = None
) -> Rule:
    """A rule that lets something out."""
    return _rule(Direction.EGRESS, protocol, ports, cidr, group)


def wish(
    networks: Iterable[LogicalNetwork] = (),
    ports: Iterable[LogicalPort] = (),
    groups: Iterable[LogicalGroup] = (),
    **members: tuple[str, ...],
) -> EntityWish:
    """All of it by name."""
    return EntityWish(
        networks={each.name: each for each in networks},
        ports={each.name: each for each in ports},
        groups={each.name: each for each in groups},
        members={GroupName(name): addresses for name, addresses in members.items()},
    )


def web() -> EntityWish:
    """A network, a port in a group, and a group that lets its own members ping each other."""
    return wish(
        [network("red")],
        [port("p1", groups=("web",))],
        [group("web", ingress(Protocol.TCP, 80, 443), ingress(Protocol.ICMP, group="web"))],
        web=("10.0.0.1", "fd00::1"),
    )


def _rule(
    direction: Direction, protocol: Protocol, ports: tuple[int, ...], cidr: str | None, group: str | None
) -> Rule:
    return Rule(
        direction=direction,
        protocol=protocol,
        ports=tuple(PortRange(first=each, last=each) for each in ports),
        cidr=cidr,
        group=None if group is None else GroupName(group),
    )
