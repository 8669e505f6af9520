# SPDX-License-Identifier: Apache-2.0
"""What every scheme's module offers, and which module is which scheme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner.schemes import appliance, baseline, nic, separation, substitution, vendor
from anyvisor.planner.schemes.load import Load


class SchemePlanner(Protocol):
    """One scheme, as a module with these names."""

    SCHEME: Scheme
    ATTACHMENT: AttachmentKind
    """How its vNICs are bound to their logical ports."""

    def judge(self, host: Host) -> Verdict:
        """Whether the scheme is possible on that host, and why."""

    def predict(self, host: Host, load: Load) -> Prediction:
        """What the view will show once the host's VMs are attached that way: lower bounds."""

    def steps(self, host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
        """What apply does on the host to get there from the scheme `carried`; empty if it is there."""


SCHEMES: Mapping[Scheme, SchemePlanner] = {
    Scheme.BASELINE: baseline,
    Scheme.VENDOR: vendor,
    Scheme.SEPARATION: separation,
    Scheme.SUBSTITUTION: substitution,
    Scheme.APPLIANCE: appliance,
    Scheme.NIC: nic,
}


def attachment_kind(scheme: Scheme, host: Host) -> AttachmentKind:
    """How the vNICs of that host are bound under that scheme."""
    if scheme is Scheme.APPLIANCE:
        return appliance.attachment(host)
    if scheme is Scheme.NIC:
        return nic.attachment(host)
    return SCHEMES[scheme].ATTACHMENT
