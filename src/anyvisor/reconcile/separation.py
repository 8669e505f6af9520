# SPDX-License-Identifier: Apache-2.0
"""A host whose Linux bridges stay (`separation`): the bridges that its networks need, and what is plugged in them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from anyvisor.contracts.host import NativeSwitchDriver
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.names import NetworkName, PortName
from anyvisor.model.network import Network
from anyvisor.planner.plugs import found_devices, plug_steps
from anyvisor.planner.segments import layout
from anyvisor.reconcile.plugging import carry_out

log = logging.getLogger(__name__)


class Separation:
    """Brings the Linux bridges of one host to what its attachments say. One thread."""

    def __init__(self, switch: NativeSwitchDriver, hypervisor: HypervisorDriver) -> None:
        self.switch = switch
        self._hypervisor = hypervisor

    def carry_out(
        self, host: Host, attachments: Iterable[Attachment], networks: Mapping[NetworkName, Network]
    ) -> tuple[Mapping[PortName, str], tuple[str, ...]]:
        """Make bridges, plug, remove bridges; returns what is plugged, and what is wrong.

        Raises:
            ForeignObjectError: a card that a network needs is in somebody else's bridge.
        """
        listed = tuple(attachments)
        held = {port: plug.device for port, plug in self.switch.observe().items()}
        found = found_devices(listed, self._hypervisor.vnics(host.name), held)
        capabilities = self.switch.capabilities
        wanted = layout(
            host,
            listed,
            networks,
            found.by_port,
            vlan_filtering=capabilities.vlan_filtering,
            vlan_devices=capabilities.vlan_devices,
        )
        self.switch.shape(wanted.bridges)
        steps = plug_steps(wanted.plugs, self.switch.observe())
        problems = carry_out(self.switch, steps)
        if steps:
            self.switch.shape(wanted.bridges)  # what has been emptied can go now
        plugged = {port: plug.device for port, plug in self.switch.observe().items()}
        return plugged, (*wanted.problems.values(), *problems, *found.doubts)

    def dismantle(self) -> None:
        """Take everything of ours out of the Linux bridges and remove those that we made."""
        carry_out(self.switch, plug_steps({}, self.switch.observe()))
        self.switch.shape(())
