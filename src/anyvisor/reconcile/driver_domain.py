# SPDX-License-Identifier: Apache-2.0
"""A network driver domain: an appliance that serves its host's vNICs itself, so no switch stands before it.

Runs inside that domain. Its cards are not the host's: what they are stands in the agent's settings (`Ground`).

Source: Xen, docs/man/xl.cfg.5 (driver_domain), xl-network-configuration.5 (backend); xl.1 (devd).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.state import State
from anyvisor.reconcile.integration import Integrated, Integration
from anyvisor.reconcile.trunking import Ground


class DriverDomain:
    """Brings the Open vSwitch of that domain to what its host's attachments say. One thread."""

    def __init__(
        self, integration: Integration, ground: Ground, *, fault_of: Callable[[str], str | None]
    ) -> None:
        """`fault_of` says what keeps a card from carrying what vifs receive."""
        self._integration = integration
        self._ground = ground
        self._fault_of = fault_of

    def carry_out(self, state: State, host: Host, attachments: Iterable[Attachment]) -> Integrated:
        """Configure and plug; returns what is plugged, and what is wrong.

        Raises:
            ForeignObjectError: another controller has this switch.
            UnreachableError: Open vSwitch or xenstored does not answer.
        """
        problems, mappings = self._integration.configure(state, self._ground.chassis(host))
        if (fault := self._fault_of(self._ground.uplink)) is not None:
            problems = (*problems, fault)
        done = self._integration.plug(host, attachments, take_from_bridges=False)
        return self._integration.integrated(done, mappings, problems)
