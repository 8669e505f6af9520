# SPDX-License-Identifier: Apache-2.0
"""The disk of a host, in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anyvisor.testing.faults import Counted, Faults, counted

if TYPE_CHECKING:
    from anyvisor.contracts.host import Memory


class DictMemory(Counted):
    """Documents that outlive whoever wrote them. They go through JSON, as on a disk."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults or Faults())
        self.documents: dict[str, str] = {}

    @counted
    def load(self, name: str) -> Mapping[str, Any]:
        """See `Memory`."""
        return dict(json.loads(self.documents.get(name, "{}")))

    @counted
    def save(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:  # noqa: ARG002
        """See `Memory`."""
        self.documents[name] = json.dumps(document)


if TYPE_CHECKING:
    _memory: type[Memory] = DictMemory
