# SPDX-License-Identifier: Apache-2.0
"""What a virtual switch must be able to do for us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from anyvisor.model.attachment import Plug, PlugStep
from anyvisor.model.names import PortName
from anyvisor.model.vnic import Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchCapabilities:
    """Data that deciding code reads, instead of asking what class a driver is."""

    vlan_filtering: bool = False
    """One bridge can carry several VLANs."""
    vlan_devices: bool = False
    """The kernel can make a VLAN device on an uplink."""
    programmed_by_controller: bool = False
    """The SDN controller programs this switch."""


class SwitchDriver(Protocol):
    """The adapter to one virtual switch of one host."""

    @property
    def capabilities(self) -> SwitchCapabilities:
        """What this switch can do here, found by trying, not by version."""

    def observe(self) -> Mapping[PortName, Plug]:
        """What is plugged and is ours. Changes nothing."""

    def apply(self, steps: Iterable[PlugStep]) -> None:
        """Carry the steps out, in order, in one transaction where the switch has them. A step that already holds is
        not an error.

        Raises:
            UnreachableError: the switch does not answer.
            ForeignObjectError: a device is plugged elsewhere by somebody else.
        """

    def counters(self) -> Mapping[PortName, Counters]:
        """What the switch itself counted per port of ours, seen from the VM."""
