# SPDX-License-Identifier: Apache-2.0
"""Holding a body against its schema, and against what a schema cannot say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from anyvisor.testing.nsx.refusing import invalid
from anyvisor.testing.nsx.schemas import SCHEMAS, Field

PORTS_AT_MOST = 15
_FORMS = {"text": "str", "whole": "int", "truth": "bool", "list": "list", "object": "dict"}


def check(kind: str, body: Any, place: str = "") -> None:
    """Raise RefusedError for the first thing that is wrong with `body`."""
    where = place or kind
    if not isinstance(body, Mapping):
        raise invalid(f"{where}: an object is expected")
    schema = SCHEMAS[kind]
    for name, value in body.items():
        if name not in schema:
            raise invalid(f'{where}: Unrecognized field "{name}"')
        _field(schema[name], value, f"{where}.{name}")
    for name, field in schema.items():
        if field.required and name not in body:
            raise invalid(f"{where}: required property {name} is missing")
    _BEYOND.get(kind, _nothing)(body, where)


def addresses(text: str) -> tuple[int, int, int]:
    """IP version, first and last address of an address, a prefix or a range. Raises ValueError."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = ip_address(first), ip_address(last)
        return low.version, int(low), int(high)
    prefix = ip_network(text)
    return prefix.version, int(prefix.network_address), int(prefix.broadcast_address)


def _field(field: Field, value: Any, place: str) -> None:
    if field.readonly or field.form == "anything":
        return
    if type(value).__name__ != _FORMS[field.form]:
        raise invalid(f"{place}: {field.form} is expected, not {value!r}")
    match field.form:
        case "text":
            _text(field, value, place)
        case "whole" if not field.least <= value <= field.most:
            raise invalid(f"{place}: {value} is not between {field.least} and {field.most}")
        case "list":
            _list(field, value, place)
        case "object":
            check(field.items[0], value, place)


def _text(field: Field, value: str, place: str) -> None:
    if field.words and value not in field.words:
        raise invalid(f"{place}: {value!r} is none of {', '.join(field.words)}")
    if len(value) > field.longest:
        raise invalid(f"{place}: longer than {field.longest}")
    if field.pattern and not re.fullmatch(field.pattern, value):
        raise invalid(f"{place}: {value!r} is not of the form {field.pattern}")


def _list(field: Field, value: list[Any], place: str) -> None:
    if not field.least <= len(value) <= field.most:
        raise invalid(f"{place}: {len(value)} items, and {field.least} to {field.most} are allowed")
    for number, item in enumerate(value):
        where = f"{place}[{number}]"
        if not field.items:
            if not isinstance(item, str):
                raise invalid(f"{where}: text is expected")
            _text(field, item, where)
        elif len(field.items) == 1:
            check(field.items[0], item, where)
        else:
            kind = item.get("resource_type") if isinstance(item, Mapping) else None
            if kind not in field.items:
                raise invalid(f"{where}: {kind} is none of {', '.join(field.items)}")
            check(kind, item, where)


def _nothing(body: Mapping[str, Any], place: str) -> None:
    del body, place


def _addresses(body: Mapping[str, Any], place: str) -> None:
    for text in body["ip_addresses"]:
        _address(text, place)


def _address(text: str, place: str) -> None:
    try:
        addresses(text)
    except ValueError as error:
        raise invalid(f"{place}: {text} is no address, prefix or range") from error


def _binding(body: Mapping[str, Any], place: str) -> None:
    if "ip_address" in body:
        _address(str(body["ip_address"]), place)


def _port_sets(body: Mapping[str, Any], place: str) -> None:
    for name in ("source_ports", "destination_ports"):
        values = [tuple(map(int, text.split("-"))) for text in body.get(name, ())]
        if sum(map(len, values)) > PORTS_AT_MOST:
            raise invalid(f"{place}.{name}: more than {PORTS_AT_MOST} values, and ranges count as 2")
        if any(not 0 <= ends[0] <= ends[-1] <= 65535 for ends in values):
            raise invalid(f"{place}.{name}: no range of ports")


def _rule(body: Mapping[str, Any], place: str) -> None:
    for name in ("source_groups", "destination_groups", "services", "scope", "profiles"):
        values = body.get(name, ())
        if "ANY" in values and len(values) > 1:
            raise invalid(f"{place}.{name}: ANY must be the only element")
    version = {"IPV4": 4, "IPV6": 6}.get(body.get("ip_protocol", ""))
    for name in ("source_groups", "destination_groups"):
        for text in body[name]:
            if text == "ANY" or text.startswith("/"):
                continue
            _address(text, f"{place}.{name}")
            if version not in {None, addresses(text)[0]}:
                raise invalid(f"{place}.{name}: {text} is not of {body['ip_protocol']}")
    for entry in body.get("service_entries", ()):
        wrong = {"ICMPv4": "IPV6", "ICMPv6": "IPV4"}.get(entry.get("protocol", ""))
        if wrong is not None and body.get("ip_protocol", wrong) in {wrong, "IPV4_IPV6"}:
            raise invalid(f"{place}: {entry['protocol']} does not go with {body.get('ip_protocol')}")


def _vlans(body: Mapping[str, Any], place: str) -> None:
    if any(int(end) > 4094 for text in body.get("vlan_ids", ()) for end in text.split("-")):
        raise invalid(f"{place}.vlan_ids: VLANs are 0 to 4094")


_BEYOND = {
    "IPAddressExpression": _addresses,
    "PortAddressBindingEntry": _binding,
    "L4PortSetServiceEntry": _port_sets,
    "Rule": _rule,
    "Segment": _vlans,
}
