# SPDX-License-Identifier: Apache-2.0
"""`nic`: the network card switches (draft section 7)."""

from __future__ import annotations

from anyvisor.model.host import Host, Nic
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.NIC
ATTACHMENT: AttachmentKind = AttachmentKind.REPRESENTOR


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:  # noqa: ARG001 - every frame crosses the card, however many ports
    """Every frame crosses the card's eswitch, also between two VMs of the host."""
    return Prediction(controlled=1.0, observed=1.0, local_hops=1, bottleneck=_bottleneck(host))


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply does on the host and its card; where the scheme is in force already, no more than to say which
    functions are lacking.
    """
    nic = traits.smart_nic(host)
    where = host.name if nic is None or nic.dpu is None else f"DPU {nic.dpu} of {host.name}"
    card = nic.name if nic is not None else "the card"
    lacking = _lacking(nic, load, where)
    if carried is SCHEME:
        return lacking
    return (
        *parts.waits(host, SCHEME),
        PlanStep(do="check", on=where, what=f"virtual functions and switchdev mode of {card}"),
        *lacking,
        PlanStep(do="set", on=where, what="hardware offload of Open vSwitch"),
        *parts.create_bridges(where),
        parts.register_chassis(host, where),
        *parts.move_vnics(host, load.ports, f"representors of {card}", attachment(host)),
    )


def _lacking(nic: Nic | None, load: Load, where: str) -> tuple[PlanStep, ...]:
    """A vNIC without a function is on no switch at all: its VM does not start, or has no network."""
    offered = nic.sriov_vfs if nic is not None else 0
    if nic is None or load.ports <= offered:
        return ()
    short = parts.count_vnics(load.ports - offered)
    return (
        PlanStep(
            do="check", on=where, what=f"{nic.name} offers {offered} virtual functions: {short} without one"
        ),
    )


def attachment(host: Host) -> AttachmentKind:
    """How its vNICs are bound: on a host that drives its card itself a representor is a device as any other."""
    nic = traits.smart_nic(host)
    return AttachmentKind.VIF if nic is not None and nic.dpu is None else ATTACHMENT


def _bottleneck(host: Host) -> str | None:
    nic = traits.smart_nic(host)
    if nic is None:
        return None
    return f"{nic.name} ({nic.speed_gbps:g} Gbit/s)" if nic.speed_gbps else nic.name
