# SPDX-License-Identifier: Apache-2.0
"""Security groups as objects of NSX: who is in them, what they let pass, and what drops the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyvisor.contracts.controller import Refusal
from anyvisor.drivers.nsx import rules
from anyvisor.drivers.nsx.document import Document
from anyvisor.drivers.nsx.names import (
    ADMISSION,
    EGRESS,
    FILTERED,
    GROUP,
    GROUPS,
    GUARD,
    GUARD_EGRESS,
    OWNER,
    POLICIES,
    SEGMENTS,
    Names,
    digest,
)
from anyvisor.drivers.nsx.stored import Stored
from anyvisor.model.entity import EntityWish
from anyvisor.model.kinds import Direction
from anyvisor.model.logical import LogicalGroup
from anyvisor.model.names import GroupName, ObjectKey
from anyvisor.model.security import Rule

ADDRESSES_AT_MOST = 4000
"""In one IPAddressExpression, and a group should have only one of them."""

_ALLOWS = 500_000
_GUARDS = 999_000
_ADMITS = 999_500
"""Sequence numbers of policies: the guards come after all that lets something pass, and who is admitted last of all."""

_DHCP = {
    Direction.EGRESS: (("68", "67"), ("546", "547")),
    Direction.INGRESS: (("67", "68"), ("547", "546")),
}
_NEIGHBOURS = {Direction.EGRESS: (131, 132, 133, 135, 136, 143), Direction.INGRESS: (130, 134, 135, 136)}
"""ICMPv6 types: router and neighbour discovery (RFC 4861), and the multicast listeners that switches ask after for
its sake (RFC 2710, RFC 3810)."""


def refusals(wish: EntityWish) -> Iterator[Refusal]:
    """The groups whose rules NSX cannot express: a far side of theirs has too many addresses."""
    for group in sorted(wish.groups.values(), key=lambda each: each.name):
        for far in sorted({rule.group for rule in group.rules if rule.group is not None}):
            count = len(set(wish.members.get(far, ())))
            if count > ADDRESSES_AT_MOST:
                message = (
                    f"its rules name group {far}, which has {count} addresses, and a group of NSX takes "
                    f"{ADDRESSES_AT_MOST}; what NSX holds of it stays as it is"
                )
                yield Refusal(key=group.key, reason="TooManyAddresses", message=message)
                break


def documents(wish: EntityWish, stored: Stored, names: Names) -> Iterator[Document]:
    """All groups, policies and rules. A far side without a group in NSX has no rules: they would let nothing pass."""
    far_sides = {
        rule.group for group in wish.groups.values() for rule in group.rules if rule.group is not None
    }
    fitting = {far: tuple(sorted(set(wish.members.get(far, ())))) for far in sorted(far_sides)}
    nameable = {
        far
        for far, addresses in fitting.items()
        if 0 < len(addresses) <= ADDRESSES_AT_MOST
        or (addresses and names.owns(stored.objects.get(names.far_side(far), {})))
    }
    for group in wish.groups.values():
        yield _tagged_ports(names.members(group.name), group.key, GROUP, names.identity(group.name), names)
        yield from _policy(group, names, nameable)
    for far in nameable:
        if len(fitting[far]) <= ADDRESSES_AT_MOST:
            yield _far_side(far, fitting[far], names)
    if any(port.groups for port in wish.ports.values()):
        yield from _guards(names)
    if wish.networks or _inhabited(stored, names):
        yield from _admission(names)


def _inhabited(stored: Stored, names: Names) -> bool:
    """Whether vNICs are on segments of ours, wanted or not."""
    return any(
        names.owns(held) and any(True for _ in stored.below(path))
        for path, held in stored.objects.items()
        if path.rpartition("/")[0] == SEGMENTS
    )


def _tagged_ports(
    path: str, key: ObjectKey, scope: str, value: str, names: Names, *, member: str = "SegmentPort"
) -> Document:
    """The segment ports that carry the tag, whichever ports those are: a new member changes no group. With another
    kind of `member` those that are in it.
    """
    condition = {
        "resource_type": "Condition",
        "member_type": member,
        "key": "Tag",
        "operator": "EQUALS",
        "value": f"{scope}|{value}",
    }
    return _group(path, key, condition, names)


def _far_side(group: GroupName, addresses: tuple[str, ...], names: Names) -> Document:
    expression = {"resource_type": "IPAddressExpression", "ip_addresses": list(addresses)}
    return _group(names.far_side(group), ObjectKey("group", group), expression, names)


def _group(path: str, key: ObjectKey, expression: dict[str, Any], names: Names) -> Document:
    body = {
        "resource_type": "Group",
        "display_name": path.rpartition("/")[2],
        "tags": list(names.tags(key)),
        "expression": [expression],
    }
    return Document(kind="Group", path=path, key=key, body=body)


def _policy(group: LogicalGroup, names: Names, nameable: set[GroupName]) -> Iterator[Document]:
    path = names.path(POLICIES, group.key)
    yield _section(path, group.key, _ALLOWS, [names.members(group.name)], names)
    for rule in dict.fromkeys(group.rules):
        for body in rules.bodies(rule, names, nameable):
            yield _rule(path, group.key, body, names)


def _section(path: str, key: ObjectKey, number: int, scope: list[str], names: Names) -> Document:
    body = {
        "resource_type": "SecurityPolicy",
        "display_name": path.rpartition("/")[2],
        "tags": list(names.tags(key)),
        "category": "Application",
        "sequence_number": number,
        "scope": scope,
        "stateful": True,
    }
    return Document(kind="SecurityPolicy", path=path, key=key, body=body)


def _rule(policy: str, key: ObjectKey, body: dict[str, Any], names: Names) -> Document:
    """Its id says what it says, so a rule is never changed into another one."""
    path = f"{policy}/rules/anyvisor-{digest(body)}"
    return Document(kind="Rule", path=path, key=key, body={**body, "tags": list(names.tags(key))})


def _guards(names: Names) -> Iterator[Document]:
    """What makes `deny` the default for the ports that are in some group, as the guards in OVN do."""
    filtered = names.path(GROUPS, GUARD, "guard")
    egress = names.path(GROUPS, GUARD_EGRESS, "guard")
    path = names.path(POLICIES, GUARD, "guard")
    yield _tagged_ports(filtered, GUARD, FILTERED, names.owner, names)
    yield _tagged_ports(egress, GUARD_EGRESS, EGRESS, names.owner, names)
    yield _section(path, GUARD, _GUARDS, ["ANY"], names)
    for number, (body, scope) in enumerate(_guard_rules(filtered, egress), start=1):
        yield _rule(path, GUARD, {**body, "scope": [scope], "sequence_number": number * 10}, names)


def _guard_rules(filtered: str, egress: str) -> Iterator[tuple[dict[str, Any], str]]:
    for direction in Direction:
        leases = tuple(rules.ports("UDP", (to,), source=(source,)) for source, to in _DHCP[direction])
        yield rules.body(direction, leases, None, name=f"{direction} DHCP"), filtered
        found = tuple(rules.icmp(6, kind) for kind in _NEIGHBOURS[direction])
        yield rules.body(direction, found, 6, name=f"{direction} neighbour discovery"), filtered
    yield rules.body(Direction.INGRESS, (), None, name="ingress: nothing else", action="DROP"), filtered
    yield rules.body(Direction.EGRESS, (), None, name="egress: nothing else", action="DROP"), egress
    # Whatever the rules below say: it may send, and the answer finds its way back.
    yield rules.body(Direction.EGRESS, (), None, name=str(Rule(direction=Direction.EGRESS))), filtered


def _admission(names: Names) -> Iterator[Document]:
    """On a segment of ours nothing passes at a port without our tags. vCenter plugs a vNIC in before it can have any,
    and takes it out after they are gone: in between it is cut off, not unfiltered.
    """
    admitted = names.path(GROUPS, ADMISSION, "ports")
    everybody = names.path(GROUPS, ADMISSION, "segments")
    path = names.path(POLICIES, ADMISSION, "guard")
    yield _tagged_ports(admitted, ADMISSION, OWNER, names.owner, names)
    yield _tagged_ports(everybody, ADMISSION, OWNER, names.owner, names, member="Segment")
    yield _section(path, ADMISSION, _ADMITS, ["ANY"], names)
    number = 0
    for action, scope, said in (("ALLOW", admitted, "anything"), ("DROP", everybody, "nothing")):
        for direction in Direction:
            number += 10
            body = rules.body(direction, (), None, name=f"{direction}: {said}", action=action)
            yield _rule(path, ADMISSION, {**body, "scope": [scope], "sequence_number": number}, names)
