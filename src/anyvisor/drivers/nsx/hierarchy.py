# SPDX-License-Identifier: Apache-2.0
"""Writes as one tree for the hierarchical API: PATCH of /infra with children."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from anyvisor.drivers.nsx.difference import Write
from anyvisor.drivers.nsx.document import ORDER

OBJECTS_AT_MOST = 5000
"""In one PATCH (method PatchInfra)."""

_PARENTS = {"Rule": "SecurityPolicy", "SegmentPort": "Segment"}


def trees(writes: Iterable[Write]) -> Iterator[dict[str, Any]]:
    """Bodies for PATCH: one, as long as NSX takes all of it at once. What is named comes before what names it."""
    ordered = sorted(writes, key=_turn)
    for start in range(0, len(ordered), OBJECTS_AT_MOST):
        yield _tree(ordered[start : start + OBJECTS_AT_MOST])


def _turn(write: Write) -> tuple[bool, int, str]:
    removes = write.body is None
    order = ORDER[write.kind]
    return removes, -order if removes else order, write.path


def _tree(writes: list[Write]) -> dict[str, Any]:
    below: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    top: dict[str, Write] = {}
    for write in writes:
        if write.kind in _PARENTS:
            below[_parent(write.path)].append(_child(write, []))
        else:
            top[write.path] = write
    nodes: dict[str, dict[str, Any]] = {path: _child(write, below[path]) for path, write in top.items()}
    for path, children in below.items():
        if path not in top:
            nodes[path] = _reference(path, "Segment" if "/segments/" in path else "SecurityPolicy", children)
    children = [node for path, node in nodes.items() if "/domains/" not in path]
    inside = [node for path, node in nodes.items() if "/domains/" in path]
    if inside:
        children.append(_reference("/infra/domains/default", "Domain", inside))
    return {"resource_type": "Infra", "children": children}


def _parent(path: str) -> str:
    return path.rsplit("/", 2)[0]


def _child(write: Write, children: list[dict[str, Any]]) -> dict[str, Any]:
    if write.body is None:
        gone: dict[str, Any] = {"resource_type": write.kind, "id": write.path.rpartition("/")[2]}
        if write.revision is not None:
            gone["_revision"] = write.revision
        return {"resource_type": f"Child{write.kind}", "marked_for_delete": True, write.kind: gone}
    body = {**write.body, "children": children} if children else dict(write.body)
    return {"resource_type": f"Child{write.kind}", "marked_for_delete": False, write.kind: body}


def _reference(path: str, kind: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes below an object without writing it."""
    return {
        "resource_type": "ChildResourceReference",
        "id": path.rpartition("/")[2],
        "target_type": kind,
        "children": children,
    }
