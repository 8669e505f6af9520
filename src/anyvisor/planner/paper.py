# SPDX-License-Identifier: Apache-2.0
"""The whole plan on paper: from what is wanted and what is known to choices, steps, escapes and rules without force.

`apply` carries out this very plan; nothing else decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme
from anyvisor.model.names import HostName, PortName, SwitchName
from anyvisor.model.plan import EscapeGroup, EscapingPair, HostPlan, Plan, PlanStep, Unenforced, Verdict
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State
from anyvisor.planner import trunks
from anyvisor.planner.capacity import capacities
from anyvisor.planner.choose import choose, verdicts
from anyvisor.planner.clusters import Clusters
from anyvisor.planner.escape import NATIVE, escape_groups, escapes, unenforced
from anyvisor.planner.facts import traits
from anyvisor.planner.fallbacks import card_notes, fallen_ports, notes
from anyvisor.planner.found import in_use
from anyvisor.planner.intent import changes_of_intent
from anyvisor.planner.placement import site_in_place
from anyvisor.planner.schemes import SCHEMES, Load, attachment_kind, loads
from anyvisor.planner.sharing import sharing

PAIRS_LISTED = 10_000
"""How many escaping pairs a plan lists one by one; the groups name the rest."""

_UNKNOWN = HostState()


def plan(
    site: Site, state: State, *, now_seconds: int = 0, inner: Mapping[SwitchName, str] | None = None
) -> Plan:
    """What `site` asks for, where `state` is what was decided and is in force (``State()`` on paper).

    `now_seconds` (since the epoch) tells tags that rest from those that have rested; without it all of them rest.
    `inner` are the versions of the distributed inner switches that exist; None where no manager was asked.

    A VM that is known to run elsewhere than the intent says is planned where it runs.
    """
    intent, site = site, site_in_place(replace(state, site=site))
    anew = _chooser(site, state)
    chosen = {name: anew(host) for name, host in site.hosts.items()}
    schemes = {host: choice.scheme for host, choice in chosen.items()}
    native = {host for host, scheme in schemes.items() if scheme in NATIVE}
    actual = loads(site, native)
    ports = _ports_by_host(site)
    attached = _attachments_by_host(state)
    fallen = fallen_ports(state)
    shared = sharing(site, schemes, fallen)
    wires = _trunks(site, state, schemes, inner)
    hosts = tuple(
        _with_steps(
            _with_notes(
                site,
                _with_trunk(chosen[name], site.hosts[name], wires.get(name), anew),
                ports.get(name, ()),
            ),
            site.hosts[name],
            actual[name],
            state.hosts.get(name, _UNKNOWN).carried,
            ports.get(name, ()),
            attached.get(name, {}),
        )
        for name in sorted(site.hosts)
    )
    return Plan(
        hosts=hosts,
        escapes=escapes(site, schemes, at_most=PAIRS_LISTED, fallen=fallen, shared=shared),
        escape_groups=escape_groups(site, schemes, fallen, shared),
        unenforced=unenforced(site, schemes, fallen, shared),
        changes=changes_of_intent(state.site, intent),
        capacities=capacities(site, state, schemes, now_seconds=now_seconds),
    )


def choices(site: Site, state: State) -> dict[HostName, HostPlan]:
    """The choice for every host, without steps.

    The floor is held against what is sure whatever the other hosts get, so the order of hosts plays no part.
    """
    chosen = _chooser(site, state)
    return {name: chosen(host) for name, host in site.hosts.items()}


def _chooser(site: Site, state: State) -> Callable[[Host], HostPlan]:
    decided = {name: state.hosts.get(name, _UNKNOWN) for name in site.hosts}
    current = {name: host.scheme or host.carried for name, host in decided.items()}
    cautious = loads(site, {name for name, host in site.hosts.items() if may_be_native(host, current[name])})
    clusters = Clusters(site.hosts)
    return lambda host: choose(
        clusters.placed(host),
        site.policy.of_cluster(host.cluster),
        current=current[host.name],
        load=cautious[host.name],
    )


def _trunks(
    site: Site,
    state: State,
    schemes: Mapping[HostName, Scheme | None],
    inner: Mapping[SwitchName, str] | None,
) -> dict[HostName, tuple[str, str]]:
    """What `trunks.told` says of every ESXi host under `appliance`.

    A host that nothing is built on yet has no say in the switch that it would share.
    """
    served = [
        site.hosts[name]
        for name, scheme in schemes.items()
        if scheme is Scheme.APPLIANCE and site.hosts[name].hypervisor is Hypervisor.ESXI
    ]
    if not served:
        return {}
    used = in_use(site, site.hosts, {port.host for port in site.ports.values() if port.host is not None})
    taking_part = [host for host in served if host.name in used]
    return {**trunks.told(served, state.owner, inner), **trunks.told(taking_part, state.owner, inner)}


def _with_trunk(
    choice: HostPlan, host: Host, trunk: tuple[str, str] | None, chosen: Callable[[Host], HostPlan]
) -> HostPlan:
    """The version of the inner switch changes the words of a verdict alone, never what is chosen."""
    if trunk is None:
        return choice
    version, sentence = trunk
    if version:
        choice = chosen(replace(host, facts={**host.facts, traits.INNER_VERSION: version}))
    return replace(choice, because=(*choice.because, sentence))


def may_be_native(host: Host, current: Scheme | None = None) -> bool:
    """Whether the host's vNICs might come to sit behind a switch that the controller does not program."""
    if host.scheme is not None:
        return host.scheme in NATIVE
    return any(verdict.possible for scheme, verdict in verdicts(host, current).items() if scheme in NATIVE)


def _with_notes(site: Site, choice: HostPlan, ports: Iterable[Port]) -> HostPlan:
    said = {Scheme.APPLIANCE: notes, Scheme.NIC: card_notes}.get(choice.scheme) if choice.scheme else None
    if said is None:
        return choice
    return replace(choice, because=(*choice.because, *said(site, site.hosts[choice.host], ports)))


def _with_steps(
    choice: HostPlan,
    host: Host,
    load: Load,
    carried: Scheme | None,
    ports: Iterable[Port],
    attached: Mapping[PortName, Attachment],
) -> HostPlan:
    if choice.scheme is None:
        return choice
    scheme = SCHEMES[choice.scheme]
    steps = scheme.steps(host, load, carried)
    if carried is not None and not steps:
        kind = attachment_kind(choice.scheme, host)
        steps = _attach(
            kind,
            host.name,
            {port.name: port for port in ports},
            attached,
            shared=load.shares_tags and kind is AttachmentKind.VLAN_ACCESS,
        )
    return replace(choice, predicts=scheme.predict(host, load), steps=steps)


def _attach(
    kind: AttachmentKind,
    host: HostName,
    ports: Mapping[PortName, Port],
    attached: Mapping[PortName, Attachment],
    *,
    shared: bool,
) -> tuple[PlanStep, ...]:
    """vNIC by vNIC, on a host whose scheme is in force already."""
    gone = sorted(name for name in attached if name not in ports)
    new = sorted(
        name
        for name, port in ports.items()
        if name not in attached
        or (attached[name].kind, attached[name].network, attached[name].shared)
        != (kind, port.network, shared)
    )
    return (
        *(PlanStep(do="detach", on=host, what=f"vNIC of port {name}") for name in gone),
        *(PlanStep(do="attach", on=host, what=f"vNIC of port {name} as {kind}") for name in new),
    )


def _ports_by_host(site: Site) -> dict[HostName, list[Port]]:
    found: defaultdict[HostName, list[Port]] = defaultdict(list)
    for port in site.ports.values():
        if port.host is not None:
            found[port.host].append(port)
    return found


def _attachments_by_host(state: State) -> dict[HostName, dict[PortName, Attachment]]:
    found: defaultdict[HostName, dict[PortName, Attachment]] = defaultdict(dict)
    for attachment in state.attachments.values():
        found[attachment.host][attachment.port] = attachment
    return found


def to_json(plan: Plan) -> dict[str, object]:
    """The document of ``plan --json``: what docs promise, and beside it escapes and changes of the intent."""
    return {
        "hosts": [host_to_json(host) for host in plan.hosts],
        "unenforced": [unenforced_to_json(rule) for rule in plan.unenforced],
        "escapes": [pair_to_json(pair) for pair in plan.escapes],
        "escape_groups": [_group_to_json(group) for group in plan.escape_groups],
        "intent": [_step_to_json(step) for step in plan.changes],
        "inner_switches": [each.to_json() for each in plan.capacities],
        "changes": plan.change_count,
    }


def host_to_json(host: HostPlan) -> dict[str, object]:
    """One host of that document."""
    return {
        "host": str(host.host),
        "hypervisor": host.hypervisor.value,
        "version": host.version,
        "scheme": host.scheme.value if host.scheme is not None else None,
        "because": list(host.because),
        "rejected": [rejected_to_json(verdict) for verdict in host.rejected],
        "predicts": {
            "controlled": host.predicts.controlled,
            "observed": host.predicts.observed,
            "local_hops": host.predicts.local_hops,
            "bottleneck": host.predicts.bottleneck,
        },
        "steps": [_step_to_json(step) for step in host.steps],
    }


def rejected_to_json(verdict: Verdict) -> dict[str, object]:
    """Why a scheme was not taken."""
    return {
        "scheme": verdict.scheme.value,
        "code": verdict.code,
        "reason": verdict.reason,
        "source": verdict.source,
    }


def pair_to_json(pair: EscapingPair) -> dict[str, object]:
    """One escaping pair, as the view names it too."""
    return {
        "host": str(pair.host),
        "from": str(pair.source),
        "to": str(pair.target),
        "network": pair.network,
        "why": pair.why,
    }


def unenforced_to_json(rule: Unenforced) -> dict[str, object]:
    """One rule that nobody enforces."""
    return {"rule": rule.rule, "port": str(rule.port), "why": rule.why}


def _group_to_json(group: EscapeGroup) -> dict[str, object]:
    return {
        "network": group.network,
        "ports": [str(port) for port in group.ports],
        "pairs": group.pair_count,
    }


def _step_to_json(step: PlanStep) -> dict[str, object]:
    return {"do": step.do, "on": step.on, "what": step.what}
