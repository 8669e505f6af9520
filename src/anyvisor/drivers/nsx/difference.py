# SPDX-License-Identifier: Apache-2.0
"""From a wish and what NSX holds to the writes between them. Pure; the order of what is given plays no part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anyvisor.contracts.controller import Change, ControllerPlan, Refusal
from anyvisor.drivers.nsx import filtering, ports, segments
from anyvisor.drivers.nsx.document import ORDER, Document, Kind, is_met, merged, rank, references
from anyvisor.drivers.nsx.names import GROUPS, POLICIES, SEGMENTS, Names
from anyvisor.drivers.nsx.stored import Stored
from anyvisor.model.entity import EntityWish
from anyvisor.model.names import ObjectKey

_COLLECTIONS: Mapping[str, Kind] = {SEGMENTS: "Segment", GROUPS: "Group", POLICIES: "SecurityPolicy"}
_WORDS = {
    "Segment": "segment",
    "Group": "group",
    "SecurityPolicy": "policy",
    "Rule": "rule",
    "SegmentPort": "port",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One object to write. `body` is None for one to remove."""

    kind: Kind
    path: str
    label: str
    body: Mapping[str, Any] | None = None
    revision: int | None = None
    document: Document | None = None
    """What `body` was made from."""
    waits: bool = False
    """It cannot be removed while vNICs are plugged into it."""


def plan(wish: EntityWish, stored: Stored, names: Names, zone: str) -> ControllerPlan:
    """What leads to `wish`; `zone` is the path of the transport zone."""
    unfit = tuple(segments.refusals(wish, stored, names, zone))
    refused = frozenset(each.key for each in unfit)
    marked = ports.marks(wish, stored, names)
    wanted = {
        document.path: document
        for document in (
            *segments.documents(wish, names, zone),
            *filtering.documents(wish, stored, names),
            *marked.documents,
        )
    }
    usable, hindered = _usable(wanted.values(), stored, names, refused)
    strangers = tuple(_strange_rules(stored, names))
    writes = [
        *(write for document in usable for write in _written(document, stored)),
        *_removals(wanted, stored, names, refused),
    ]
    return ControllerPlan(
        changes=tuple(_change(key, write) for key, write in writes),
        refusals=tuple(
            sorted((*unfit, *filtering.refusals(wish), *marked.refusals, *hindered, *strangers), key=_by_key)
        ),
    )


def is_settled(write: Write, stored: Stored) -> bool:
    """Whether NSX holds already what the write would bring."""
    held = stored.objects.get(write.path)
    if write.document is None:
        return held is None
    return held is not None and is_met(write.document, held)


def _by_key(refusal: Refusal) -> tuple[str, str]:
    return str(refusal.key), refusal.reason


def _usable(
    wanted: Iterable[Document], stored: Stored, names: Names, refused: frozenset[ObjectKey]
) -> tuple[list[Document], list[Refusal]]:
    """What can be written, and why the rest cannot: something foreign is there, or was named by it."""
    usable: list[Document] = []
    refusals: dict[ObjectKey, Refusal] = {}
    blocked: set[str] = set()
    shown = _shown(stored)
    for document in sorted(wanted, key=rank):
        hindrance = _hindrance(document, stored, names, shown)
        needs = (
            *document.names,
            document.path.rpartition("/ports/")[0],
            document.path.rpartition("/rules/")[0],
        )
        if hindrance is None and not blocked.isdisjoint(needs):
            hindrance = Refusal(
                key=document.key, reason="WaitsFor", message="what it needs cannot be made: see its refusal"
            )
        if hindrance is not None:
            blocked.add(document.path)
            refusals.setdefault(document.key, hindrance)
        elif document.kind == "Segment" and document.key in refused:
            continue
        else:
            usable.append(document)
    return usable, list(refusals.values())


def _shown(stored: Stored) -> dict[tuple[str, str], str]:
    """Where each display name is, by collection."""
    return {
        (path.rpartition("/")[0], str(held.get("display_name", ""))): path
        for path, held in sorted(stored.objects.items())
        if path.rpartition("/")[0] in _COLLECTIONS
    }


def _hindrance(
    document: Document, stored: Stored, names: Names, shown: Mapping[tuple[str, str], str]
) -> Refusal | None:
    if document.kind == "SegmentPort":
        return None  # made by NSX; whether it is somebody else's was looked at before
    held = stored.objects.get(document.path)
    where = document.path
    if held is None:
        collection = document.path.rpartition("/")[0]
        where = shown.get((collection, str(document.body.get("display_name", ""))), "")
        held = stored.objects.get(where)
    if held is None or names.owns(held):
        return None
    message = f"{where} is called {held.get('display_name')} and is not ours"
    return Refusal(key=document.key, reason="ForeignObject", message=message)


def _written(document: Document, stored: Stored) -> Iterator[tuple[ObjectKey, Write]]:
    held = stored.objects.get(document.path)
    if held is None:
        body: Mapping[str, Any] = {**document.body, "id": document.identity}
    elif is_met(document, held):
        return
    else:
        body = merged(document, held)
    write = Write(
        kind=document.kind,
        path=document.path,
        label=str(body.get("display_name") or document.identity),
        body=body,
        revision=body.get("_revision"),
        document=document,
    )
    yield document.key, write


def _strange_rules(stored: Stored, names: Names) -> Iterator[Refusal]:
    """Rules that somebody else put into policies of ours: they stay, and so does the policy."""
    for path, held in sorted(stored.objects.items()):
        policy, found, _ = path.rpartition("/rules/")
        if found and not names.owns(held):
            yield Refusal(
                key=names.key_of(stored.objects[policy]),
                reason="ForeignRule",
                message=f"somebody put the rule {held.get('display_name')} into {policy}; it stays",
            )


def _removals(
    wanted: Mapping[str, Document], stored: Stored, names: Names, kept: frozenset[ObjectKey]
) -> Iterator[tuple[ObjectKey, Write]]:
    """What is ours and no longer wanted; what stays may name it, and then it stays as well."""
    shielded = {
        path.rpartition("/rules/")[0]
        for path, held in stored.objects.items()
        if "/rules/" in path and not names.owns(held)
    }
    surplus = {
        path: held
        for path, held in stored.objects.items()
        if path not in wanted.keys() | shielded and "/ports/" not in path
        if names.owns(held) and names.key_of(held) not in kept
    }
    needed = {name for path in shielded - wanted.keys() for name in references(stored.objects[path])}
    needed |= {name for document in wanted.values() for name in document.names}
    for path, held in sorted(surplus.items(), key=lambda item: (-ORDER[_kind(item[0])], item[0])):
        if path in needed or path.rpartition("/rules/")[0] in surplus:
            continue
        kind = _kind(path)
        waits = kind == "Segment" and any(True for _ in stored.below(path))
        label = str(held.get("display_name") or held["id"])
        write = Write(kind=kind, path=path, label=label, revision=held.get("_revision"), waits=waits)
        yield names.key_of(held), write


def _kind(path: str) -> Kind:
    if "/rules/" in path:
        return "Rule"
    return _COLLECTIONS[path.rpartition("/")[0]]


def _change(key: ObjectKey, write: Write) -> Change:
    do = "delete" if write.body is None else "create" if write.revision is None else "update"
    what = f"{key}: {_WORDS[write.kind]} {write.label}"
    if write.waits:
        what += ", once no vNIC is plugged into it"
    return Change(key=key, do=do, what=what, payload=write)


def writes_of(plan: ControllerPlan) -> list[Write]:
    """The payloads of the changes."""
    return [change.payload for change in plan.changes if isinstance(change.payload, Write)]
