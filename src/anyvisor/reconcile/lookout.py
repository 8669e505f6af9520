# SPDX-License-Identifier: Apache-2.0
"""What the agent of a host tells of VMs whose ports are attached elsewhere: that is how a migration is noticed where
no manager tells of it."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.model.attachment import Attachment
from anyvisor.model.names import HostName
from anyvisor.model.sighting import Sighting


def sighted(hypervisor: HypervisorDriver, host: HostName, mine: Iterable[Attachment]) -> tuple[Sighting, ...]:
    """Every vNIC on the host that no attachment of it has, and every VM on its way here that has none yet.

    Raises:
        UnreachableError: the hypervisor does not answer.
    """
    attached = {a.mac for a in mine}
    arriving = hypervisor.arriving(host)  # first: one that has arrived in between shows its vNICs
    vnics = hypervisor.vnics(host)
    seen = {
        Sighting(vm=vnic.vm, mac=vnic.mac, arriving=vnic.arriving)
        for vnic in vnics
        if vnic.mac not in attached
    }
    early = {Sighting(vm=vm, arriving=True) for vm in arriving - {vnic.vm for vnic in vnics}}
    return tuple(sorted(seen | early, key=lambda each: (each.vm or "", each.mac or "", each.arriving)))
