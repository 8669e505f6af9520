# SPDX-License-Identifier: Apache-2.0
"""What NSX holds, as far as we need to know it, and the few requests that tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from anyvisor.drivers.nsx.names import GROUPS, POLICIES, SEGMENTS, Json, Names

POLICY_API = "/policy/api/v1"
VIFS = "/api/v1/fabric/vifs"


class Reader(Protocol):
    """The part of the client that asks."""

    def pages(self, place: str, doing: str) -> Iterable[dict[str, Any]]:
        """All objects of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """`objects` by their policy paths: all segments, groups and policies, the rules of ours, the ports of ours.

    `vifs` are the attachments of each MAC, in lower case: what a segment port of NSX names as its `attachment.id`.
    """

    objects: Mapping[str, Json] = field(default_factory=dict)
    vifs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ports(self) -> Iterator[tuple[str, Json]]:
        """The segment ports, with their paths, in a fixed order."""
        return ((path, held) for path, held in sorted(self.objects.items()) if "/ports/" in path)

    def below(self, path: str) -> Iterator[tuple[str, Json]]:
        """The children of an object."""
        return ((each, held) for each, held in self.objects.items() if each.startswith(f"{path}/"))


def read_all(client: Reader, names: Names, *, vifs: bool) -> Stored:
    """Everything. Three lists, one more for `vifs`, and one for each segment and each policy of ours."""
    objects: dict[str, Json] = {}
    for collection, part in ((SEGMENTS, "ports"), (GROUPS, ""), (POLICIES, "rules")):
        held = _listed(client, collection)
        objects |= held
        for path in [path for path, each in held.items() if part and names.owns(each)]:
            objects |= _listed(client, f"{path}/{part}")
    return Stored(objects=objects, vifs=_vifs(client) if vifs else {})


def read_segments(client: Reader) -> Stored:
    """The segments alone: one list."""
    return Stored(objects=_listed(client, SEGMENTS))


def read_ports(client: Reader, names: Names) -> Stored:
    """The segments, and the ports of ours: one list, and one for each segment of ours."""
    segments = _listed(client, SEGMENTS)
    objects = dict(segments)
    for path in [path for path, each in segments.items() if names.owns(each)]:
        objects |= _listed(client, f"{path}/ports")
    return Stored(objects=objects)


def _listed(client: Reader, collection: str) -> dict[str, Json]:
    found = client.pages(f"{POLICY_API}{quote(collection)}", f"reading {collection}")
    return {f"{collection}/{each['id']}": each for each in found}


def _vifs(client: Reader) -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for vif in client.pages(VIFS, "reading the inventory of vNICs"):
        if vif.get("mac_address") and vif.get("lport_attachment_id"):
            found[str(vif["mac_address"]).lower()].add(str(vif["lport_attachment_id"]))
    return {mac: tuple(sorted(attachments)) for mac, attachments in found.items()}
