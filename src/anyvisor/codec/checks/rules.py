# SPDX-License-Identifier: Apache-2.0
"""Rules of security groups: which of their keys go together."""

from __future__ import annotations

from anyvisor.codec.checks.sections import Sections, items
from anyvisor.codec.reading import Draft
from anyvisor.model.kinds import Direction, Protocol

WRONG_SIDE = {
    Direction.INGRESS: ("to", "an ingress rule says where packets come from: use `from`"),
    Direction.EGRESS: ("from", "an egress rule says where packets go to: use `to`"),
}


def check(site: Sections) -> None:
    """Note all faults of rules."""
    for group in site.groups.drafts:
        for _, rule in items(group, "rules"):
            _check_side(rule)
            _check_ports(rule)
            for key in ("from", "to"):
                _check_group(site, rule, key)


def _check_side(rule: Draft) -> None:
    direction = rule.get("direction")
    if direction is None:
        return
    key, message = WRONG_SIDE[direction]
    if key in rule.spots:
        rule.blame(key, message)


def _check_ports(rule: Draft) -> None:
    has_ports = {Protocol.TCP, Protocol.UDP}
    if "protocol" in rule.broken or rule.get("ports") is None:
        return
    protocol = rule.get("protocol", Protocol.ANY)
    if protocol not in has_ports:
        rule.blame("ports", f"protocol {protocol} has no ports; only tcp and udp have")


def _check_group(site: Sections, rule: Draft, key: str) -> None:
    kind, name = rule.get(key, ("any", None))
    if kind == "group" and name is not None:
        place = rule.spots[key]
        site.groups.check_reference(place.child(place.node, ".group"), name)
