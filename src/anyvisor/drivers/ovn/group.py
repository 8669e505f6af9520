# SPDX-License-Identifier: Apache-2.0
"""A security group as rows: one port group, one ACL per rule, whatever the number of its ports.

Rules that name a group match the address sets ``<group>_ip4`` and ``<group>_ip6`` that northd keeps for every port
group (ovn-nb(5), Address_Set), so a new member costs one mutation and no ACL. Rules with prefixes of one shape share
one ACL through an address set of our own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_network

from anyvisor.drivers.ovn.row import ACL, ADDRESS_SET, PORT_GROUP, Child, Ref, RowSpec, identifier
from anyvisor.model.kinds import Direction, Protocol
from anyvisor.model.logical import LogicalGroup
from anyvisor.model.names import ObjectKey
from anyvisor.model.security import PortRange, Rule

ALLOW = 1002
DENY = 1001
COMMIT = 1000

DHCP_REQUESTS = "(ip4 && udp.src == 68 && udp.dst == 67) || (ip6 && udp.src == 546 && udp.dst == 547)"
"""What a port asks for its addresses with (RFC 2131, RFC 8415)."""

FILTERED = ObjectKey("policy", "filtered")
"""All ports that are in some group: what no rule lets in is dropped."""
FILTERED_EGRESS = ObjectKey("policy", "filtered-egress")
"""Those with an egress rule: what no rule lets out is dropped."""


def group_ref(key: ObjectKey) -> Ref:
    """The port group of a security group."""
    return Ref(PORT_GROUP, key)


def group_name(key: ObjectKey) -> str:
    """Its name in OVN."""
    return identifier(key.name)


def rows(group: LogicalGroup) -> Iterator[RowSpec]:
    """The port group, its ACLs and its address sets."""
    here = group_ref(group.key)
    name = group_name(group.key)
    yield RowSpec(ref=here, columns={"name": name}, unique=name)
    by_shape: defaultdict[tuple[Direction, Protocol, tuple[PortRange, ...], int], set[str]] = defaultdict(set)
    for rule in dict.fromkeys(group.rules):
        if rule.cidr is not None:
            prefix = ip_network(rule.cidr)
            by_shape[rule.direction, rule.protocol, rule.ports, prefix.version].add(str(prefix))
            continue
        yield _acl(here, name, rule, _remote(rule), part=str(rule))
    for (direction, protocol, ports, version), prefixes in sorted(by_shape.items()):
        shape = Rule(direction=direction, protocol=protocol, ports=ports)
        part = f"{shape} cidr{version}"
        set_name = identifier(f"{group.name}/{part}")
        yield RowSpec(
            ref=Ref(ADDRESS_SET, group.key, part),
            columns={"name": set_name, "addresses": tuple(sorted(prefixes))},
            unique=set_name,
        )
        yield _acl(here, name, shape, f"ip{version}.{_side(direction)} == ${set_name}", part=part)


def guards() -> Iterator[RowSpec]:
    """The two port groups that make `deny` the default for filtered ports. They exist once, whatever the site."""
    name = "av..filtered"
    here = group_ref(FILTERED)
    yield RowSpec(ref=here, columns={"name": name}, unique=name)
    yield _guard(here, "to-lport", DENY, f"outport == @{name} && ip", "drop")
    # What a filtered port sends is committed to connection tracking, so that the answer finds its way back.
    yield _guard(here, "from-lport", COMMIT, f"inport == @{name} && ip", "allow-related")
    name = "av..filtered_egress"
    here = group_ref(FILTERED_EGRESS)
    yield RowSpec(ref=here, columns={"name": name}, unique=name)
    yield _guard(here, "from-lport", DENY, f"inport == @{name} && ip", "drop")
    # Without its lease a port could not send what its rules do allow. OVN lets neighbour discovery pass by itself.
    yield _guard(here, "from-lport", ALLOW, f"inport == @{name} && ({DHCP_REQUESTS})", "allow", part="dhcp")


def _guard(
    group: Ref, direction: str, priority: int, match: str, action: str, *, part: str | None = None
) -> RowSpec:
    return RowSpec(
        ref=Ref(ACL, group.key, part or direction),
        columns={"direction": direction, "priority": priority, "match": match, "action": action},
        child_of=Child(parent=group, column="acls"),
    )


def _acl(group: Ref, name: str, rule: Rule, remote: str, *, part: str) -> RowSpec:
    ingress = rule.direction is Direction.INGRESS
    terms = [f"{'outport' if ingress else 'inport'} == @{name}", remote, _protocol(rule)]
    return RowSpec(
        ref=Ref(ACL, group.key, part),
        columns={
            "direction": "to-lport" if ingress else "from-lport",
            "priority": ALLOW,
            "match": " && ".join(term for term in terms if term),
            "action": "allow-related",
        },
        child_of=Child(parent=group, column="acls"),
    )


def _side(direction: Direction) -> str:
    return "src" if direction is Direction.INGRESS else "dst"


def _remote(rule: Rule) -> str:
    if rule.group is None:
        return "ip"
    side = _side(rule.direction)
    other = identifier(rule.group)
    return f"(ip4.{side} == ${other}_ip4 || ip6.{side} == ${other}_ip6)"


def _protocol(rule: Rule) -> str:
    match rule.protocol:
        case Protocol.ANY:
            return ""
        case Protocol.ICMP:
            return "(icmp4 || icmp6)"
        case Protocol.TCP | Protocol.UDP:
            if not rule.ports:
                return str(rule.protocol)
            spans = [
                f"{rule.protocol}.dst == {span.first}"
                if span.first == span.last
                else f"({span.first} <= {rule.protocol}.dst <= {span.last})"
                for span in rule.ports
            ]
            return spans[0] if len(spans) == 1 else "(" + " || ".join(spans) + ")"
