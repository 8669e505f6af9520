# SPDX-License-Identifier: Apache-2.0
"""What a vendor's own controller must be able to do for us under the scheme `vendor` (draft section 5, figure 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from anyvisor.contracts.controller import ControllerPlan
from anyvisor.model.logical import LogicalObject
from anyvisor.model.names import ObjectKey, PortName


class EntityDriver(Protocol):
    """The adapter to a vendor's total solution: it is given networks and ports and wires them its own way."""

    def plan(self, wanted: Iterable[LogicalObject], unwanted: Iterable[ObjectKey]) -> ControllerPlan:
        """As for a controller driver; what the vendor cannot express is refused with the reason."""

    def apply(self, plan: ControllerPlan) -> None:
        """Carry the plan out; repeating it is not an error."""

    def owned(self) -> frozenset[ObjectKey]:
        """The keys of all objects of ours that it holds."""

    def unenforced(self, wanted: Iterable[LogicalObject]) -> Mapping[PortName, tuple[str, ...]]:
        """Per port the rules that the vendor's controller does not enforce, each in words."""
