# SPDX-License-Identifier: Apache-2.0
"""What bodies may hold, as data: written down from the public NSX REST API reference (types of the same names)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["text", "whole", "truth", "list", "object", "anything"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. `items` are the schemas that an object, or each object of a list, may have; none: plain texts."""

    form: Form = "text"
    required: bool = False
    readonly: bool = False
    words: tuple[str, ...] = ()
    pattern: str = ""
    longest: int = 1024
    least: int = 0
    most: int = 1_000_000
    items: tuple[str, ...] = ()


Schema: TypeAlias = dict[str, Field]

IDENTITY = r"[A-Za-z0-9_.:-]{1,255}"
MAC = r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}"
PORT = r"[0-9]{1,5}(-[0-9]{1,5})?"
VLAN = r"[0-9]{1,4}(-[0-9]{1,4})?"

_TEXT = Field()
_SERVERS = Field(form="anything", readonly=True)


def _flag() -> Field:
    return Field(form="truth")


def _number(least: int, most: int) -> Field:
    return Field(form="whole", least=least, most=most)


def _texts(most: int, *, pattern: str = "", least: int = 0, required: bool = False) -> Field:
    return Field(form="list", most=most, least=least, pattern=pattern, required=required)


def _objects(most: int, *items: str, least: int = 0, required: bool = False) -> Field:
    return Field(form="list", most=most, least=least, items=items, required=required)


def _type(word: str) -> Field:
    return Field(words=(word,), required=True)


def _word(*words: str, required: bool = False) -> Field:
    return Field(words=words, required=required)


RESOURCE: Schema = {
    "id": Field(pattern=IDENTITY),
    "display_name": Field(longest=255),
    "description": Field(longest=1024),
    "tags": _objects(30, "Tag"),
    "_revision": _number(0, 2**31),
} | dict.fromkeys(
    (
        "path", "parent_path", "relative_path", "remote_path", "unique_id", "realization_id", "owner_id",
        "origin_site_id", "marked_for_delete", "overridden", "status", "_create_time", "_create_user",
        "_last_modified_time", "_last_modified_user", "_system_owned", "_protection",
    ),
    _SERVERS,
)  # fmt: skip
"""PolicyConfigResource: what every object has."""

SCHEMAS: Mapping[str, Schema] = {
    "Tag": {"scope": Field(longest=128), "tag": Field(longest=256)},
    "Segment": RESOURCE
    | {
        "resource_type": _type("Segment"),
        "vlan_ids": _texts(1000, pattern=VLAN),
        "transport_zone_path": _TEXT,
        "admin_state": _word("UP", "DOWN"),
        "advanced_config": Field(form="anything"),
        "replication_mode": _word("MTEP", "SOURCE"),
        "type": _SERVERS,
        "children": _objects(5000, "ChildSegmentPort"),
    },
    "SegmentPort": RESOURCE
    | {
        "resource_type": _type("SegmentPort"),
        "attachment": Field(form="object", items=("PortAttachment",)),
        "address_bindings": _objects(512, "PortAddressBindingEntry"),
        "admin_state": _word("UP", "DOWN"),
    },
    "PortAttachment": {
        "id": Field(longest=255),
        "type": _word("PARENT", "CHILD", "INDEPENDENT", "STATIC"),
        "traffic_tag": _number(0, 4094),
        "hyperbus_mode": _word("ENABLE", "DISABLE"),
        "app_id": _TEXT,
        "context_id": _TEXT,
        "allocate_addresses": _word("IP_POOL", "MAC_POOL", "BOTH", "NONE", "DHCP"),
    },
    "PortAddressBindingEntry": {
        "ip_address": Field(longest=64),
        "mac_address": Field(pattern=MAC),
        "vlan_id": _number(0, 4094),
    },
    "Group": RESOURCE
    | {
        "resource_type": _type("Group"),
        "expression": _objects(
            9, "Condition", "IPAddressExpression", "PathExpression", "ConjunctionOperator"
        ),
        "group_type": _texts(1),
    },
    "Condition": RESOURCE
    | {
        "resource_type": _type("Condition"),
        "member_type": _word("VirtualMachine", "Segment", "SegmentPort", "IPSet", required=True),
        "key": _word("Tag", "Name", "OSName", "ComputerName", required=True),
        "operator": _word("EQUALS", "CONTAINS", "STARTSWITH", "ENDSWITH", "NOTEQUALS"),
        "scope_operator": _word("EQUALS", "NOTEQUALS"),
        "value": Field(required=True),
    },
    "IPAddressExpression": RESOURCE
    | {
        "resource_type": _type("IPAddressExpression"),
        "ip_addresses": _texts(4000, least=1, required=True),
    },
    "PathExpression": RESOURCE
    | {
        "resource_type": _type("PathExpression"),
        "paths": _texts(500, least=1, required=True),
    },
    "ConjunctionOperator": RESOURCE
    | {
        "resource_type": _type("ConjunctionOperator"),
        "conjunction_operator": _word("OR", "AND", required=True),
    },
    "SecurityPolicy": RESOURCE
    | {
        "resource_type": _type("SecurityPolicy"),
        "category": _word(
            "Ethernet", "Emergency", "Infrastructure", "Environment", "Application", required=True
        ),
        "sequence_number": _number(0, 999_999),
        "internal_sequence_number": _SERVERS,
        "scope": _texts(128),
        "stateful": _flag(),
        "tcp_strict": _flag(),
        "locked": _flag(),
        "comments": _TEXT,
        "is_default": _SERVERS,
        "children": _objects(1000, "ChildRule"),
    },
    "Rule": RESOURCE
    | {
        "resource_type": _type("Rule"),
        "action": _word("ALLOW", "DROP", "REJECT", "JUMP_TO_APPLICATION", required=True),
        "direction": _word("IN", "OUT", "IN_OUT"),
        "ip_protocol": _word("IPV4", "IPV6", "IPV4_IPV6"),
        "source_groups": _texts(128, least=1, required=True),
        "destination_groups": _texts(128, least=1, required=True),
        "sources_excluded": _flag(),
        "destinations_excluded": _flag(),
        "services": _texts(128, least=1, required=True),
        "service_entries": _objects(
            128, "L4PortSetServiceEntry", "ICMPTypeServiceEntry", "IPProtocolServiceEntry"
        ),
        "profiles": _texts(128),
        "scope": _texts(128),
        "sequence_number": _number(0, 2**31 - 1),
        "disabled": _flag(),
        "logged": _flag(),
        "notes": Field(longest=2048),
        "tag": Field(longest=32),
        "rule_id": _SERVERS,
        "is_default": _SERVERS,
    },
    "L4PortSetServiceEntry": RESOURCE
    | {
        "resource_type": _type("L4PortSetServiceEntry"),
        "l4_protocol": _word("TCP", "UDP", required=True),
        "destination_ports": _texts(15, pattern=PORT),
        "source_ports": _texts(15, pattern=PORT),
    },
    "ICMPTypeServiceEntry": RESOURCE
    | {
        "resource_type": _type("ICMPTypeServiceEntry"),
        "protocol": _word("ICMPv4", "ICMPv6", required=True),
        "icmp_type": _number(0, 255),
        "icmp_code": _number(0, 255),
    },
    "IPProtocolServiceEntry": RESOURCE
    | {
        "resource_type": _type("IPProtocolServiceEntry"),
        "protocol_number": Field(form="whole", required=True, most=255),
    },
    "Infra": {
        "resource_type": _type("Infra"),
        "children": _objects(5000, "ChildSegment", "ChildResourceReference"),
    },
    "ChildResourceReference": {
        "resource_type": _type("ChildResourceReference"),
        "id": Field(pattern=IDENTITY, required=True),
        "target_type": _word("Domain", "Segment", "SecurityPolicy", required=True),
        "marked_for_delete": _flag(),
        "children": Field(form="anything"),
    },
    **{
        f"Child{kind}": {
            "resource_type": _type(f"Child{kind}"),
            "marked_for_delete": _flag(),
            kind: Field(form="anything", required=True),
        }
        for kind in ("Segment", "SegmentPort", "Group", "SecurityPolicy", "Rule")
    },
}

CHILDREN: Mapping[str, tuple[str, ...]] = {
    "Infra": ("ChildSegment", "ChildResourceReference"),
    "Domain": ("ChildGroup", "ChildSecurityPolicy", "ChildResourceReference"),
    "Segment": ("ChildSegmentPort",),
    "SecurityPolicy": ("ChildRule",),
    "Group": (),
    "Rule": (),
    "SegmentPort": (),
}
"""What may stand below what in the hierarchical API."""
