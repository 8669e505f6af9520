# SPDX-License-Identifier: Apache-2.0
"""The pool's database: objects by class and reference, and what changed when."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from anyvisor.testing.xapi.refusing import RefusedError

NULL = "OpaqueRef:NULL"
Record = dict[str, Any]
CLASSES = (
    "pool", "host", "host_metrics", "network", "PIF", "PIF_metrics", "VLAN", "Bond", "VM", "VIF", "SDN_controller",
)  # fmt: skip
_BY_LOWER = {name.lower(): name for name in CLASSES}


class Records:
    """All values as XML-RPC carries them: XAPI writes whole numbers as text. To be used with `lock` held."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._held: dict[str, dict[str, Record]] = {name: {} for name in CLASSES}
        self._created: dict[str, int] = {}
        self._modified: dict[str, int] = {}
        self._deleted: list[tuple[int, int, str, str]] = []
        self.generation = 1
        self.forgotten = 0
        """Tokens up to this one are too old."""

    def add(self, kind: str, record: Record) -> str:
        """A new object; its reference."""
        ref = f"OpaqueRef:{uuid.uuid4()}"
        with self.lock:
            self._held[kind][ref] = {"uuid": str(uuid.uuid4()), **record}
            self._created[ref] = self._tick()
            self._modified[ref] = self.generation
        return ref

    def change(self, kind: str, ref: str, **values: Any) -> None:
        """Some fields of an object."""
        with self.lock:
            self.row(kind, ref).update(values)
            self._modified[ref] = self._tick()

    def remove(self, kind: str, ref: str) -> None:
        """The object is no more."""
        with self.lock:
            self.row(kind, ref)
            del self._held[kind][ref]
            self._deleted.append((self._tick(), self._created.pop(ref), kind, ref))
            del self._modified[ref]

    def row(self, kind: str, ref: str) -> Record:
        """What is stored of an object, or ``HANDLE_INVALID``."""
        if ref not in self._held[kind]:
            raise RefusedError("HANDLE_INVALID", kind, ref)
        return self._held[kind][ref]

    def rows(self, kind: str) -> dict[str, Record]:
        """All of a class."""
        return self._held[kind]

    def shown(self, kind: str, ref: str) -> Record:
        """An object with the references that point back to it, which are not stored."""
        return {**deepcopy(self.row(kind, ref)), **dict(self._back(kind, ref))}

    def _back(self, kind: str, ref: str) -> Iterator[tuple[str, Any]]:
        match kind:
            case "network":
                yield "VIFs", self.where("VIF", network=ref)
                yield "PIFs", self.where("PIF", network=ref)
            case "VM":
                yield "VIFs", self.where("VIF", VM=ref)
            case "host":
                yield "PIFs", self.where("PIF", host=ref)
                yield "resident_VMs", self.where("VM", resident_on=ref)
            case "PIF":
                yield "VLAN_slave_of", self.where("VLAN", tagged_PIF=ref)
            case _:
                return

    def where(self, kind: str, **values: Any) -> list[str]:
        """The objects of a class whose fields are these."""
        return [
            ref
            for ref, row in self._held[kind].items()
            if all(row[name] == value for name, value in values.items())
        ]

    def since(self, classes: list[str], token: str, seconds: float) -> Record:
        """``event.from``: everything with an empty token; else what changed after it, waited for. The operations are
        ``add``, ``mod`` and ``del``; one object is told of once, with what it is now.
        """
        kinds = self._kinds(classes)
        start = self._start(token)
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                if start and start <= self.forgotten:
                    raise RefusedError("EVENTS_LOST")
                events = list(self._events(kinds, start))
                left = deadline - time.monotonic()
                if events or left <= 0:
                    return {
                        "events": events,
                        "token": f"{self.generation:020},0",
                        "valid_ref_counts": {kind.lower(): str(len(self._held[kind])) for kind in CLASSES},
                    }
                self._changed.wait(left)

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _kinds(self, classes: list[str]) -> list[str]:
        if "*" in classes:
            return list(CLASSES)
        return [_BY_LOWER[name.lower()] for name in classes if name.lower() in _BY_LOWER]

    def _start(self, token: str) -> int:
        if not token:
            return 0
        generation, _, messages = token.partition(",")
        if not (generation.isdigit() and messages.isdigit()):
            raise RefusedError("EVENT_FROM_TOKEN_PARSE_FAILURE", token)
        return int(generation)

    def _events(self, kinds: list[str], start: int) -> Iterator[Record]:
        for kind in kinds:
            for ref in self._held[kind]:
                if self._created[ref] > start:
                    yield self._event("add", kind, ref, self._created[ref])
                elif self._modified[ref] > start:
                    yield self._event("mod", kind, ref, self._modified[ref])
        for when, created, kind, ref in self._deleted:
            if kind in kinds and created <= start < when:
                yield {
                    "id": str(when),
                    "timestamp": "0.0",
                    "class": kind.lower(),
                    "operation": "del",
                    "ref": ref,
                }

    def _event(self, operation: str, kind: str, ref: str, when: int) -> Record:
        return {
            "id": str(when),
            "timestamp": "0.0",
            "class": kind.lower(),
            "operation": operation,
            "ref": ref,
            "snapshot": self.shown(kind, ref),
        }

    def _tick(self) -> int:
        self.generation += 1
        self._changed.notify_all()
        return self.generation
