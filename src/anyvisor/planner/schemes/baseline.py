# SPDX-License-Identifier: Apache-2.0
"""`baseline`: OVS and ovn-controller on the host (draft section 4, figure 1)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.BASELINE
ATTACHMENT: AttachmentKind = AttachmentKind.VIF


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:  # noqa: ARG001 - the yardstick does not depend on the load
    """Every frame meets br-int, which the controller programs."""
    share = parts.share_on_switch(host)
    return Prediction(controlled=share, observed=share, local_hops=1)


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply does on the host; nothing where OVS is in force already."""
    if carried in parts.DRIVEN_BY_OVS:
        return ()
    return (
        *parts.waits(host, SCHEME),
        *parts.create_bridges(host.name),
        parts.register_chassis(host, host.name),
        *parts.move_vnics(host, load.ports, "br-int", ATTACHMENT),
    )
