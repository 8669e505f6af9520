# SPDX-License-Identifier: Apache-2.0
"""Which segment port is whose. NSX makes segment ports when vCenter plugs vNICs in; we only write on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.contracts.controller import Refusal
from anyvisor.drivers.nsx.document import Document
from anyvisor.drivers.nsx.names import EGRESS, FILTERED, GROUP, KEY, OWNER, Json, Names, tag, tagged, theirs
from anyvisor.drivers.nsx.stored import Stored
from anyvisor.model.entity import EntityWish
from anyvisor.model.logical import LogicalPort
from anyvisor.model.names import ObjectKey, PortName

TAGS_AT_MOST = 30
"""On one object of NSX."""

ELSEWHERE = "elsewhere/"
"""Begins the key on a port whose vNIC is still in another segment of ours than it should be."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is to stand on segment ports, and what cannot."""

    documents: tuple[Document, ...]
    refusals: tuple[Refusal, ...]


def marks(wish: EntityWish, stored: Stored, names: Names) -> Marks:
    """A port that NSX does not have yet waits: nothing is said of it. One no longer wanted loses what we wrote."""
    documents: list[Document] = []
    refusals: list[Refusal] = []
    settled: set[str] = set()
    for port in sorted(wish.ports.values(), key=lambda each: each.name):
        found = _found(port, stored, names)
        here = [path for path in found if path.startswith(f"{names.segment(port.network)}/")]
        settled |= found.keys()
        refusal = _refusal(port, [found[path] for path in here], names)
        if refusal is not None:
            refusals.append(refusal)
        elif here:
            documents.append(_mark(port, here[0], str(port.key), names))
        # Still plugged into another network: what filtered it goes on filtering it.
        away = [path for path, held in found.items() if path not in here and names.owns(held)]
        documents.extend(_mark(port, path, f"{ELSEWHERE}{port.name}", names) for path in away)
    for path, held in stored.ports():
        if names.owns(held) and path not in settled:
            documents.append(_release(path, names.key_of(held)))
    return Marks(tuple(documents), tuple(refusals))


def wired(stored: Stored, names: Names) -> frozenset[PortName]:
    """The ports of ours that are where they should be."""
    keys = [
        key
        for _, held in stored.ports()
        if names.owns(held) and _attachment(held)
        for key in tagged(held, KEY)
    ]
    return frozenset(PortName(key.partition("/")[2]) for key in keys if key.startswith("port/"))


def _found(port: LogicalPort, stored: Stored, names: Names) -> Mapping[str, Json]:
    """The segment ports that the port's vNIC is on; where the inventory lacks it, those that carry its name."""
    attachments = set(stored.vifs.get(port.mac.lower(), ()))
    by_mac = {path: held for path, held in stored.ports() if _attachment(held) in attachments}
    if by_mac:
        return by_mac
    others = {each for several in stored.vifs.values() for each in several}
    return {
        path: held
        for path, held in stored.ports()
        if _carries(held, port, names) and _attachment(held) not in others
    }


def _carries(held: Json, port: LogicalPort, names: Names) -> bool:
    keys = {str(port.key), f"{ELSEWHERE}{port.name}"}
    return names.owns(held) and not keys.isdisjoint(tagged(held, KEY))


def _attachment(held: Json) -> str:
    return str((held.get("attachment") or {}).get("id") or "")


def _refusal(port: LogicalPort, here: list[Json], names: Names) -> Refusal | None:
    if len(here) > 1:
        message = f"{len(here)} vNICs with the MAC {port.mac} are in its network"
        return Refusal(key=port.key, reason="AmbiguousMac", message=message)
    for held in here:
        if tagged(held, OWNER) and not names.owns(held):
            message = f"its segment port {held['id']} carries the owner {tagged(held, OWNER)[0]}"
            return Refusal(key=port.key, reason="ForeignObject", message=message)
        room = TAGS_AT_MOST - len(theirs(held)) - len(list(_tags(port, str(port.key), names)))
        if room < 0:
            message = (
                f"its {len(port.groups)} groups do not fit: NSX allows {TAGS_AT_MOST} tags on a segment port"
            )
            if theirs(held):
                message += f", and {len(theirs(held))} are there already"
            return Refusal(key=port.key, reason="TooManyGroups", message=message)
    return None


def _mark(port: LogicalPort, path: str, key: str, names: Names) -> Document:
    bindings: list[dict[str, Any]] = [
        {"ip_address": address, "mac_address": port.mac} for address in sorted(port.addresses)
    ]
    body = {
        "resource_type": "SegmentPort",
        "tags": list(_tags(port, key, names)),
        "address_bindings": bindings or [{"mac_address": port.mac}],
    }
    return Document(kind="SegmentPort", path=path, key=port.key, body=body)


def _tags(port: LogicalPort, key: str, names: Names) -> Iterator[dict[str, str]]:
    yield from names.tags(key)
    if port.groups:
        yield tag(FILTERED, names.owner)
    if port.groups and port.filtered_egress:
        yield tag(EGRESS, names.owner)
    for group in sorted(set(port.groups)):
        yield tag(GROUP, names.identity(group))


def _release(path: str, key: ObjectKey) -> Document:
    body: dict[str, Any] = {"resource_type": "SegmentPort", "tags": [], "address_bindings": []}
    return Document(kind="SegmentPort", path=path, key=key, body=body)
