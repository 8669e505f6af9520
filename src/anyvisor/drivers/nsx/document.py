# SPDX-License-Identifier: Apache-2.0
"""One object as it should stand in NSX, and how it is held against what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any, Literal, TypeAlias

from anyvisor.drivers.nsx.names import Json, theirs
from anyvisor.model.names import ObjectKey

Kind: TypeAlias = Literal["Segment", "Group", "SecurityPolicy", "Rule", "SegmentPort"]

ORDER: Mapping[str, int] = {"Segment": 0, "Group": 1, "SecurityPolicy": 2, "Rule": 3, "SegmentPort": 4}
"""In which order objects are made: none before what it names. Ports come last, when their rules stand."""

_SERVERS = frozenset({
    "children", "marked_for_delete", "origin_site_id", "overridden", "owner_id", "parent_path", "path",
    "realization_id", "relative_path", "remote_path", "rule_id", "rules", "status", "unique_id",
})  # fmt: skip
"""What the server sets, apart from everything that begins with ``_``."""

_NARROWING = frozenset({"icmp_code", "icmp_type", "source_ports", "destination_ports"})
"""What is meant to be empty where we do not say it: else a rule would match less than it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`body` is all that we say about the object; `body` has our tags alone."""

    kind: Kind
    path: str
    key: ObjectKey
    body: Json

    @property
    def identity(self) -> str:
        """The id in its collection."""
        return self.path.rpartition("/")[2]

    @property
    def names(self) -> Iterator[str]:
        """The paths of other objects of ours that this one needs."""
        return references(self.body)


def references(body: Json) -> Iterator[str]:
    """The groups that a policy or a rule names."""
    for field in ("scope", "source_groups", "destination_groups"):
        yield from (path for path in body.get(field) or () if str(path).startswith("/"))


def rank(document: Document) -> tuple[int, str]:
    """To sort by."""
    return ORDER[document.kind], document.path


def merged(document: Document, held: Json) -> dict[str, Any]:
    """What to write over `held`: our words, and all that others said about it.

    It is whole, since a PATCH replaces unless an administrator switched partial patches on.
    """
    kept = {name: value for name, value in held.items() if name not in _SERVERS and not name.startswith("_")}
    body = {**kept, **document.body, "id": held["id"], "tags": [*theirs(held), *document.body["tags"]]}
    if "_revision" in held:
        body["_revision"] = held["_revision"]
    return body


def is_met(document: Document, held: Json) -> bool:
    """Whether `held` says all that the document says. What it says beyond is not our business."""
    ours = {**held, "tags": [each for each in held.get("tags") or () if each not in theirs(held)]}
    return _same(document.body, ours)


def _same(wanted: Any, held: Any) -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(held, Mapping):
            return False
        names = wanted.keys() | (held.keys() & _NARROWING)
        return all(_same(wanted.get(name), held.get(name)) for name in names)
    if isinstance(wanted, (list, tuple)) or isinstance(held, (list, tuple)):
        return _same_items(wanted or (), held or ())
    return _plain(wanted) == _plain(held)


def _same_items(wanted: Sequence[Any], held: Sequence[Any]) -> bool:
    """In any order: NSX gives lists back in an order of its own."""
    if len(wanted) != len(held):
        return False
    if not any(isinstance(each, Mapping) for each in wanted):
        return sorted(map(_plain, wanted)) == sorted(map(_plain, held))
    left = list(held)
    for each in wanted:
        found = next((other for other in left if _same(each, other)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _plain(value: Any) -> str:
    """One spelling for one meaning: addresses, MACs, and what is as good as not said."""
    if value is None or value is False:
        return ""
    text = str(value)
    if "." in text or ":" in text:
        try:
            return str(ip_interface(text))
        except ValueError:
            return text.lower() if text.count(":") == 5 else text
    return text
