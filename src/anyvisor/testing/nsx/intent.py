# SPDX-License-Identifier: Apache-2.0
"""What the manager holds: objects by path, and how one transaction changes them."""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from anyvisor.testing.nsx.refusing import in_use, invalid, missing, plugged, stale
from anyvisor.testing.nsx.schemas import CHILDREN
from anyvisor.testing.nsx.validation import check

DOMAIN = "/infra/domains/default"
ZONES = "/infra/sites/default/enforcement-points/default/transport-zones"
COLLECTIONS = {
    "Segment": "segments", "SegmentPort": "ports", "Group": "groups", "SecurityPolicy": "security-policies",
    "Rule": "rules", "Domain": "domains",
}  # fmt: skip
OBJECTS_AT_MOST = 5000

Objects = dict[str, dict[str, Any]]


class Intent:
    """`partial` is the setting of partial patches: off by default, a PATCH then replaces."""

    def __init__(self) -> None:
        self.objects: Objects = {}
        self.partial = False
        self._numbers = itertools.count(1000)
        for name, kind in (("vlans", "VLAN_BACKED"), ("overlay", "OVERLAY_BACKED")):
            path = f"{ZONES}/{name}"
            self.objects[path] = {
                "id": name,
                "resource_type": "PolicyTransportZone",
                "display_name": f"tz-{name}",
                "tz_type": kind,
                "path": path,
            }

    def listed(self, collection: str) -> list[dict[str, Any]]:
        """The objects of a collection, in an order of the server's own."""
        found = [body for path, body in self.objects.items() if path.rpartition("/")[0] == collection]
        return copy.deepcopy(sorted(found, key=lambda body: str(body.get("unique_id", ""))))

    def patch(self, body: Any, *, revisions: bool) -> None:
        """The hierarchical API: all of it or nothing."""
        check("Infra", {"resource_type": body.get("resource_type")} if isinstance(body, Mapping) else body)
        work = _Work(copy.deepcopy(self.objects), self.partial, self._numbers, revisions=revisions)
        work.children("Infra", "/infra", body.get("children", []))
        work.commit()
        self.objects = work.objects

    def put(self, path: str, body: Mapping[str, Any], *, revision: bool = True) -> None:
        """Write one object whole, as PUT does: with the revision that is stored, if there is one."""
        kind = next(word for word, name in COLLECTIONS.items() if path.rsplit("/", 2)[1] == name)
        work = _Work(copy.deepcopy(self.objects), False, self._numbers, revisions=revision)
        work.upsert(kind, path, {"id": path.rpartition("/")[2], **body})
        work.commit()
        self.objects = work.objects

    def delete(self, path: str) -> None:
        """Delete one object with what is below it."""
        work = _Work(copy.deepcopy(self.objects), False, self._numbers, revisions=False)
        work.delete(path, {})
        work.commit()
        self.objects = work.objects


class _Work:
    """One transaction. What is deleted is deleted at the end: the order within a call plays no part."""

    def __init__(self, objects: Objects, partial: bool, numbers: Iterator[int], *, revisions: bool) -> None:  # noqa: FBT001 - private
        self.objects = objects
        self._partial = partial
        self._numbers = numbers
        self._revisions = revisions
        self._gone: list[str] = []
        self._count = 0

    def children(self, kind: str, path: str, nodes: Any) -> None:
        """What stands below an object."""
        if not isinstance(nodes, list):
            raise invalid(f"{path}: children are a list")
        for node in nodes:
            self._count += 1
            word = node.get("resource_type") if isinstance(node, Mapping) else None
            if word not in CHILDREN[kind]:
                raise invalid(f"{path}: {word} is no child of {kind}")
            check(word, node)
            if word == "ChildResourceReference":
                self._reference(path, node)
            else:
                self._child(path, word.removeprefix("Child"), node)
        if self._count > OBJECTS_AT_MOST:
            raise invalid(f"more than {OBJECTS_AT_MOST} objects in one call")

    def upsert(self, kind: str, path: str, body: Mapping[str, Any]) -> None:
        """Make or change one object."""
        held = self.objects.get(path)
        given = {name: value for name, value in body.items() if name != "children"}
        check(kind, given)
        if self._revisions and given.get("_revision") != (None if held is None else held["_revision"]):
            raise stale(path)
        parent = path.rsplit("/", 2)[0]
        if kind in {"SegmentPort", "Rule"} and parent not in self.objects:
            raise missing(parent)
        base = _server_set(path, next(self._numbers)) if held is None else held
        kept = base if self._partial else {name: base[name] for name in base if name in _SERVER_SET}
        fresh = {
            **kept,
            **{name: copy.deepcopy(value) for name, value in given.items() if name not in _SERVER_SET},
        }
        check(kind, fresh)
        fresh.setdefault("display_name", fresh["id"])
        fresh["_revision"] = 0 if held is None else held["_revision"] + 1
        _adorn(kind, fresh, held)
        self.objects[path] = fresh

    def delete(self, path: str, body: Mapping[str, Any]) -> None:
        """Mark one object, with all below it."""
        held = self.objects.get(path)
        if held is None:
            raise missing(path)
        if self._revisions and body.get("_revision") != held["_revision"]:
            raise stale(path)
        self._gone.append(path)

    def commit(self) -> None:
        """Delete, and see that what is left fits together."""
        for path in self._gone:
            ports = sum(each.startswith(f"{path}/ports/") for each in self.objects)
            if ports:
                raise plugged(path, ports)
            for each in [each for each in self.objects if each == path or each.startswith(f"{path}/")]:
                del self.objects[each]
        for path, body in self.objects.items():
            for name in _references(body):
                if name not in self.objects:
                    raise in_use(name, path) if name in self._gone else invalid(f"{path}: there is no {name}")
            self._fits(path, body)

    def _fits(self, path: str, body: Mapping[str, Any]) -> None:
        if body["resource_type"] == "Segment":
            zone = self.objects.get(str(body.get("transport_zone_path")))
            if zone is None or "tz_type" not in zone:
                raise invalid(f"{path}: there is no transport zone {body.get('transport_zone_path')}")
            if zone["tz_type"] == "VLAN_BACKED" and not body.get("vlan_ids"):
                raise invalid(f"{path}: a segment in a VLAN transport zone needs vlan_ids")

    def _reference(self, parent: str, node: Mapping[str, Any]) -> None:
        kind = node["target_type"]
        path = f"{parent}/{COLLECTIONS[kind]}/{node['id']}"
        if kind not in CHILDREN or (path not in self.objects and path != DOMAIN):
            raise missing(path)
        if kind == "Domain" and parent != "/infra":
            raise invalid(f"{parent}: no domain there")
        self.children(kind, path, node.get("children", []))

    def _child(self, parent: str, kind: str, node: Mapping[str, Any]) -> None:
        body = node[kind]
        if not isinstance(body, Mapping) or not isinstance(body.get("id"), str):
            raise invalid(f"{parent}: {kind} without an id")
        path = f"{parent}/{COLLECTIONS[kind]}/{body['id']}"
        if node.get("marked_for_delete"):
            if body.get("resource_type") != kind:
                raise invalid(f"{path}: resource_type {kind} is missing")
            self.delete(path, body)
            return
        self.upsert(kind, path, body)
        self.children(kind, path, body.get("children", []))


_SERVER_SET = frozenset({
    "path", "relative_path", "parent_path", "unique_id", "realization_id", "owner_id", "marked_for_delete",
    "overridden",
    "_create_time", "_create_user", "_last_modified_time", "_last_modified_user", "_system_owned", "_protection",
    "_revision", "rule_id", "is_default", "type",
})  # fmt: skip


def _server_set(path: str, number: int) -> dict[str, Any]:
    return {
        "path": path,
        "relative_path": path.rpartition("/")[2],
        "parent_path": path.rsplit("/", 2)[0],
        "unique_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number}")),
        "marked_for_delete": False,
        "overridden": False,
        "_create_time": number,
        "_create_user": "somebody",
        "_system_owned": False,
        "_protection": "NOT_PROTECTED",
        "_revision": 0,
    }


def _adorn(kind: str, body: dict[str, Any], held: Mapping[str, Any] | None) -> None:
    """What the server adds by itself to what it was given."""
    body["_last_modified_time"] = body["_create_time"] + body["_revision"]
    if kind == "Segment":
        body["type"] = "DISCONNECTED"
        if body.get("transport_zone_path") != (held or body).get("transport_zone_path"):
            raise invalid(f"{body['path']}: the transport zone of a segment cannot be changed")
    if kind == "Rule":
        body["rule_id"] = int(body["unique_id"][:6], 16)
        body["is_default"] = False
    for name in ("expression", "service_entries"):
        for number, entry in enumerate(body.get(name, ())):
            entry.update(
                {"id": f"{number}", "marked_for_delete": False, "overridden": False, "_protection": "UNKNOWN"}
            )


def _references(body: Mapping[str, Any]) -> Iterator[str]:
    for name in ("scope", "source_groups", "destination_groups"):
        yield from (text for text in body.get(name, ()) if text.startswith("/"))
    for expression in body.get("expression", ()):
        yield from expression.get("paths", ())
