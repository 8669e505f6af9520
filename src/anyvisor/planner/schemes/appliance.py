# SPDX-License-Identifier: Apache-2.0
"""`appliance`: a VM acts as the switch of its host (draft section 5 (2), figure 4)."""

from __future__ import annotations

from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.plan import PlanStep, Prediction, Verdict
from anyvisor.planner import facts
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import parts
from anyvisor.planner.schemes.load import Load

SCHEME: Scheme = Scheme.APPLIANCE
ATTACHMENT: AttachmentKind = AttachmentKind.VLAN_ACCESS

_INNER = {
    Hypervisor.KVM: "Linux bridge",
    Hypervisor.XEN: "bridge",
    Hypervisor.ESXI: "standard switch",
}


_DRIVER_DOMAIN = (
    f"driver domain with {traits.APPLIANCE_SIZE}: yours to do, with the agent in it "
    "(`anyvisor agent --install --driver-domain`)"
)


def judge(host: Host) -> Verdict:
    """Whether the scheme is possible there, and why."""
    return facts.verdict(host, SCHEME)


def predict(host: Host, load: Load) -> Prediction:
    """Every frame crosses native switch, appliance and native switch again.

    Not so where ports of one network share a tag: then VMs may send every byte to the neighbour that they have on
    their host, and nothing is sure to be controlled. A distributed switch counts it all the same; a standard one tells
    nothing. A driver domain is the back end itself: a frame goes to it and on to the other VM.
    """
    share = parts.share_on_switch(host)
    bottleneck = f"appliance of {host.name}"
    if load.shares_tags and load.has_neighbours and not traits.agentless(host):
        observed = 0.0 if _tells_nothing(host) else share
        return Prediction(controlled=0.0, observed=observed, local_hops=1, bottleneck=bottleneck)
    hops = 1 if traits.switched_by_domain(host) else 3
    return Prediction(controlled=share, observed=share, local_hops=hops, bottleneck=bottleneck)


def steps(host: Host, load: Load, carried: Scheme | None) -> tuple[PlanStep, ...]:
    """What apply does on the host; nothing where the scheme is in force already."""
    if carried is SCHEME:
        return ()
    appliance = f"appliance of {host.name}"
    if traits.switched_by_domain(host):
        return (
            *parts.waits(host, SCHEME),
            PlanStep(do="start", on=host.name, what=_DRIVER_DOMAIN),
            *parts.create_bridges(appliance),
            parts.register_chassis(host, appliance),
            *parts.move_vnics(
                host, load.ports, "the driver domain, as `backend=` of each vif", attachment(host)
            ),
        )
    return (
        *parts.waits(host, SCHEME),
        PlanStep(
            do="create",
            on=host.name,
            what=f"{_inner_switch(host)} without uplinks, with a trunk for the appliance",
        ),
        PlanStep(do="start", on=host.name, what=_vm(host)),
        *parts.create_bridges(appliance),
        parts.register_chassis(host, appliance),
        *parts.move_vnics(host, load.ports, f"the inner switch, {_tagged(host, load)}", attachment(host)),
    )


def attachment(host: Host) -> AttachmentKind:
    """How its vNICs are bound: child ports where no agent may lay a way for each, plain ones where the appliance has
    them itself."""
    if traits.switched_by_domain(host):
        return AttachmentKind.VIF
    return AttachmentKind.CHILD if traits.agentless(host) else ATTACHMENT


def _vm(host: Host) -> str:
    """Without a manager nobody but the operator starts VMs there."""
    if traits.inner_by_agent(host):
        return f"appliance VM with {traits.APPLIANCE_SIZE}: yours to do (`anyvisor appliance {host.name}`)"
    return f"appliance VM with {traits.APPLIANCE_SIZE}, pinned to the host"


def _tagged(host: Host, load: Load) -> str:
    together = load.shares_tags and not traits.agentless(host)
    return "those of a network together on a VLAN" if together else "each alone on a VLAN"


def _tells_nothing(host: Host) -> bool:
    return host.hypervisor is Hypervisor.ESXI and not traits.may_use_vds(host)


def _inner_switch(host: Host) -> str:
    if host.hypervisor is Hypervisor.ESXI and traits.may_use_vds(host):
        return "distributed switch"
    return _INNER[host.hypervisor]
