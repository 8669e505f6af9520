# SPDX-License-Identifier: Apache-2.0
"""What a vendor's own controller must be able to do for us under the scheme `vendor` (draft section 5, figure 2).

A plain vCenter has no controller beside itself: there the estate driver makes the port groups. A controller beside it
(NSX) is given networks, ports and rules through this contract; the vNICs are still plugged in by the vCenter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from anyvisor.contracts.controller import ControllerPlan
from anyvisor.model.entity import EntityWish
from anyvisor.model.names import NetworkName, PortName


class EntityDriver(Protocol):
    """The adapter to a vendor's total solution: it is given networks and ports and wires them its own way."""

    def plan(self, wish: EntityWish) -> ControllerPlan:
        """What leads to `wish`, which is complete: what is ours and not in it goes. Changes nothing.

        What the vendor cannot express is refused with the reason; so is what stands in the way and is not ours.

        Raises:
            UnreachableError: the controller does not answer; nobody may conclude that anything is gone.
        """

    def apply(self, plan: ControllerPlan) -> None:
        """Carry the plan out, in one transaction where the vendor has them; repeating it is not an error.

        Raises:
            ConflictError: somebody else changed the same object; plan again.
            UnreachableError: the controller does not answer.
            RetryableError: it is busy, or still has something in use that should go.
            TerminalError: it refuses: rights, licence, a limit.
        """

    def places(self) -> Mapping[NetworkName, str]:
        """What the host's manager calls each network of ours that there is: the identity of its segment.

        Raises:
            UnreachableError: the controller does not answer.
        """

    def wired(self) -> frozenset[PortName]:
        """The ports of ours whose vNIC the vendor's controller has found on their network.

        Raises:
            UnreachableError: the controller does not answer.
        """
