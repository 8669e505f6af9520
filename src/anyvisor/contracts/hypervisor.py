# SPDX-License-Identifier: Apache-2.0
"""What something that knows hosts, VMs and vNICs must be able to tell us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic


class HypervisorDriver(Protocol):
    """The adapter to a hypervisor or its manager. Reading only; what must be changed goes through a switch driver."""

    def hosts(self) -> Mapping[HostName, Host]:
        """The hosts it reports, with their facts."""

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """The vNICs of the VMs that run on that host now.

        Raises:
            UnreachableError: the hypervisor does not answer; nobody may conclude that there are no vNICs.
        """

    def arriving(self, host: HostName) -> frozenset[str]:
        """The VMs that are being received from another host: their vNICs may not be there yet. Empty where a
        hypervisor does not tell.

        Raises:
            UnreachableError: as `vnics`.
        """

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What the hypervisor counted per vNIC, seen from the VM."""

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Call `notify` (from another thread) when the vNICs of a host may have changed, while the context lasts.

        A hint only: a lost event is made good by the next resync.
        """
