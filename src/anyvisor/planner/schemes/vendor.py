# SPDX-License-Identifier: Apache-2.0
"""`vendor`: the vendor's own controller keeps the host (draft section 5, figure 2)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme, SwitchKind
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.VENDOR
ATTACHMENT: AttachmentKind = AttachmentKind.ENTITY


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:  # noqa: ARG001 - nothing is governed, however many ports
    """Nothing is governed by the SDN controller; a distributed switch at least tells what it carried."""
    observed = parts.share_on_switch(host) if host.switch_of_kind(SwitchKind.VDS) is not None else 0.0
    return Prediction(controlled=0.0, observed=observed, local_hops=1)


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply asks of the vendor's controller; nothing where the scheme is in force already."""
    if carried is SCHEME:
        return ()
    keeper = "NSX" if traits.owned_by_nsx(host) else "vCenter"
    networks = sorted(network for network, count in load.local.items() if count)
    return (
        *parts.waits(host, SCHEME),
        *(PlanStep(do="hand over", on=keeper, what=f"network {network}") for network in networks),
        *parts.move_vnics(host, load.ports, f"ports of {keeper}", ATTACHMENT),
    )
