# SPDX-License-Identifier: Apache-2.0
"""`separation`: the native switch stays and is driven beside the SDN (draft section 5, first idea)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.SEPARATION
ATTACHMENT: AttachmentKind = AttachmentKind.EXTERNAL


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:
    """All or nothing, since VMs may send every byte to the neighbour they choose.

    `controlled` is 1 only if no port of the host has a neighbour, on its network, that sits behind a native switch
    too; for a host without ports nothing is promised: 0. `observed` is about amounts, vNIC by vNIC, not about who talks
    to whom: a Linux bridge and Open vSwitch count per device, a distributed switch per port, and of a vNIC on a
    standard switch vSphere tells rates. XAPI tells nothing: there nothing is promised.
    """
    observed = 0.0 if traits.in_pool(host) else parts.share_on_switch(host)
    controlled = observed if load.ports and not load.may_escape else 0.0
    return Prediction(controlled=controlled, observed=observed, local_hops=1)


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply does on the host; nothing where the scheme is in force already."""
    if carried is SCHEME:
        return ()
    switch = traits.native_switch(host)
    name = switch.name if switch is not None else "the native switch"
    networks = sorted(network for network, count in load.local.items() if count)
    return (
        *parts.waits(host, SCHEME),
        *(
            PlanStep(do="create", on=host.name, what=f"network {network} as a VLAN on {name}")
            for network in networks
        ),
        *parts.move_vnics(host, load.ports, f"their networks' VLANs on {name}", ATTACHMENT),
    )
