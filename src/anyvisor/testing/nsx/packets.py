# SPDX-License-Identifier: Apache-2.0
"""Whether the distributed firewall lets the first packet of a connection pass at a segment port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

from anyvisor.testing.nsx.intent import DOMAIN, Intent
from anyvisor.testing.nsx.validation import addresses

_BY_TAG = ["Condition", "Tag"]
_CATEGORIES = ("Emergency", "Infrastructure", "Environment", "Application")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """`protocol` is TCP, UDP, ICMPv4 or ICMPv6. Ports count for TCP and UDP, `kind` for ICMP."""

    protocol: Literal["TCP", "UDP", "ICMPv4", "ICMPv6"]
    source: str
    target: str
    source_port: int = 40000
    target_port: int = 0
    kind: int = 8


class Firewall:
    """The distributed firewall at one moment. The default rule, below all policies, allows."""

    def __init__(self, intent: Intent) -> None:
        self._objects = intent.objects
        self._rules = list(_rules(intent))
        self._members: dict[tuple[str, str], bool] = {}
        self._inside: dict[str, list[str]] = {}

    def passes(self, port: str, packet: Packet, direction: Literal["IN", "OUT"]) -> bool:
        """`direction` as NSX says it: IN is what the VM at the segment port `port` receives."""
        for scope, rule in self._rules:
            if scope != ["ANY"] and not any(self._has(group, port) for group in scope):
                continue
            if rule.get("direction", "IN_OUT") in {direction, "IN_OUT"} and self._matches(rule, packet):
                return bool(rule["action"] == "ALLOW")
        return True

    def _matches(self, rule: Mapping[str, Any], packet: Packet) -> bool:
        version = ip_address(packet.source).version
        return (
            str(version) in rule.get("ip_protocol", "IPV4_IPV6")
            and _service(rule, packet)
            and self._side(rule["source_groups"], packet.source) != rule.get("sources_excluded", False)
            and self._side(rule["destination_groups"], packet.target)
            != rule.get("destinations_excluded", False)
        )

    def _side(self, groups: list[str], address: str) -> bool:
        texts = [
            text for group in groups for text in (self._texts(group) if group.startswith("/") else [group])
        ]
        return any(text == "ANY" or _within(address, text) for text in texts)

    def _texts(self, group: str) -> list[str]:
        """The addresses of a group: its own, and those bound to its segment ports."""
        if group not in self._inside:
            texts: list[str] = []
            for expression in self._objects[group]["expression"]:
                if expression["resource_type"] == "IPAddressExpression":
                    texts += expression["ip_addresses"]
            for path, held in self._objects.items():
                if "/ports/" in path and self._has(group, path):
                    texts += [
                        each["ip_address"]
                        for each in held.get("address_bindings", ())
                        if "ip_address" in each
                    ]
            self._inside[group] = texts
        return self._inside[group]

    def _has(self, group: str, port: str) -> bool:
        known = self._members.get((group, port))
        if known is None:
            segment = self._objects[port.partition("/ports/")[0]]
            known = _is_member(self._objects[group], self._objects[port], segment)
            self._members[group, port] = known
        return known


def _is_member(group: Mapping[str, Any], port: Mapping[str, Any], segment: Mapping[str, Any]) -> bool:
    """By its own tags, or by those of its segment. Tags are compared without regard to case."""
    for expression in group["expression"]:
        if expression["resource_type"] == "IPAddressExpression":
            continue
        held = {"SegmentPort": port, "Segment": segment}.get(str(expression.get("member_type")))
        if held is None or [expression.get(name) for name in ("resource_type", "key")] != _BY_TAG:
            raise NotImplementedError(str(expression))
        tags = {f"{each['scope']}|{each['tag']}".lower() for each in held.get("tags", ())}
        if expression["value"].lower() in tags:
            return True
    return False


def _rules(intent: Intent) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """With their scopes, in the order in which they are tried."""
    policies = [path for path in intent.objects if path.rpartition("/")[0] == f"{DOMAIN}/security-policies"]
    for path in sorted(policies, key=lambda path: _turn(intent.objects[path])):
        policy = intent.objects[path]
        if not policy.get("stateful", True):
            raise NotImplementedError("a stateless policy")
        wide = policy.get("scope", ["ANY"])
        for rule in sorted(
            intent.listed(f"{path}/rules"), key=lambda rule: int(rule.get("sequence_number", 0))
        ):
            if not rule.get("disabled"):
                yield (wide if wide != ["ANY"] else rule.get("scope", ["ANY"])), rule


def _turn(policy: Mapping[str, Any]) -> tuple[int, int]:
    return _CATEGORIES.index(policy["category"]), policy.get("sequence_number", 0)


def _within(address: str, text: str) -> bool:
    version, first, last = addresses(text)
    value = ip_address(address)
    return value.version == version and first <= int(value) <= last


def _service(rule: Mapping[str, Any], packet: Packet) -> bool:
    if rule["services"] != ["ANY"]:
        raise NotImplementedError("named services")
    entries = rule.get("service_entries") or ()
    return not entries or any(_entry(entry, packet) for entry in entries)


def _entry(entry: Mapping[str, Any], packet: Packet) -> bool:
    if entry["resource_type"] == "ICMPTypeServiceEntry":
        return bool(
            entry["protocol"] == packet.protocol and entry.get("icmp_type", packet.kind) == packet.kind
        )
    if entry["resource_type"] != "L4PortSetServiceEntry":
        raise NotImplementedError(str(entry))
    return (
        entry["l4_protocol"] == packet.protocol
        and _port(entry.get("source_ports"), packet.source_port)
        and _port(entry.get("destination_ports"), packet.target_port)
    )


def _port(texts: list[str] | None, port: int) -> bool:
    ranges = [[int(end) for end in text.split("-")] for text in texts or ()]
    return not ranges or any(ends[0] <= port <= ends[-1] for ends in ranges)
