# SPDX-License-Identifier: Apache-2.0
"""Words and bounds that several schemes share, so that the same step reads the same everywhere."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.plan import PlanStep
from anyvisor.planner import availability
from anyvisor.planner.facts import traits

DRIVEN_BY_OVS = frozenset({Scheme.BASELINE, Scheme.SUBSTITUTION})
"""Once in force these two are the same: Open vSwitch and ovn-controller on the host."""


def share_on_switch(host: Host) -> float:
    """The least share of vNIC bytes that meets the host's switch: all, unless vNICs are passed through around it."""
    return 0.0 if traits.passthrough(host) else 1.0


def waits(host: Host, scheme: Scheme) -> tuple[PlanStep, ...]:
    """One step per driver that this release lacks. Apply stops there; what stands below is what would follow."""
    return tuple(
        PlanStep(
            do="wait",
            on=host.name,
            what=f"driver {driver} is not part of this release: nothing below is done",
        )
        for driver in availability.missing(host, scheme)
    )


def count_vnics(number: int) -> str:
    """``no vNICs``, ``1 vNIC``, ``2 vNICs``."""
    return "no vNICs" if number == 0 else f"{number} vNIC" if number == 1 else f"{number} vNICs"


def move_vnics(host: Host, ports: int, where: str, kind: AttachmentKind) -> tuple[PlanStep, ...]:
    """The step that binds the host's vNICs the new way; none where there are no vNICs."""
    if not ports:
        return ()
    return (PlanStep(do="move", on=host.name, what=f"{count_vnics(ports)} to {where}, each bound as {kind}"),)


def register_chassis(host: Host, where: str) -> PlanStep:
    """The step that makes a switch known to the SDN controller."""
    return PlanStep(
        do="register", on=where, what=f"chassis {host.name} at the SDN controller, through ovn-controller"
    )


def create_bridges(where: str) -> tuple[PlanStep, ...]:
    """The bridges that every chassis has."""
    return (
        PlanStep(do="create", on=where, what="integration bridge br-int"),
        PlanStep(do="create", on=where, what="provider bridge for the physical networks, with its mappings"),
    )
