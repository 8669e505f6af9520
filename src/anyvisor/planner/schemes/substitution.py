# SPDX-License-Identifier: Apache-2.0
"""`substitution`: the native switch is replaced by OVS and ovn-controller (draft section 5 (1), figure 3)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme, SwitchKind
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.SUBSTITUTION
ATTACHMENT: AttachmentKind = AttachmentKind.VIF


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:  # noqa: ARG001 - as the baseline: independent of the load
    """Once replaced, as the baseline."""
    share = parts.share_on_switch(host)
    return Prediction(controlled=share, observed=share, local_hops=1)


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply does on the host; nothing where OVS is in force already."""
    if carried in parts.DRIVEN_BY_OVS:
        return ()
    return (
        *parts.waits(host, SCHEME),
        _start(host),
        *parts.create_bridges(host.name),
        parts.register_chassis(host, host.name),
        *_move_uplinks(host),
        *parts.move_vnics(host, load.ports, "br-int", ATTACHMENT),
        *_remove_bridges(host),
    )


def _start(host: Host) -> PlanStep:
    if host.hypervisor is Hypervisor.XEN and traits.under_xapi(host):
        return PlanStep(
            do="switch", on=host.name, what="XAPI's network backend to openvswitch, and reboot the host"
        )
    return PlanStep(do="start", on=host.name, what="Open vSwitch")


def _move_uplinks(host: Host) -> tuple[PlanStep, ...]:
    return tuple(
        PlanStep(
            do="move",
            on=host.name,
            what=f"uplink {uplink} and the host's addresses and routes from bridge {bridge.name} to Open vSwitch",
        )
        for bridge in host.switches
        if bridge.kind is SwitchKind.LINUX_BRIDGE
        for uplink in bridge.uplinks
    )


def _remove_bridges(host: Host) -> tuple[PlanStep, ...]:
    return tuple(
        PlanStep(do="remove", on=host.name, what=f"Linux bridge {bridge.name}, once it is empty")
        for bridge in host.switches
        if bridge.kind is SwitchKind.LINUX_BRIDGE
    )
