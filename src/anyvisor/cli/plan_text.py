# SPDX-License-Identifier: Apache-2.0
"""A plan as lines for a person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from anyvisor.cli.table import bad, dim, good, heading, note, percent, table
from anyvisor.model.capacity import Capacity
from anyvisor.model.estate import MissingRight
from anyvisor.model.kinds import Scheme, TagPer
from anyvisor.model.plan import HostPlan, Plan, PlanStep
from anyvisor.model.site import Site

_SHOWN = 12
"""Of a long list the first ones are shown; `--json` has them all."""


def plan_lines(plan: Plan, site: Site, *, source: str, why: bool) -> Iterator[str]:
    """The whole plan: choices, reasons, what escapes, what is not enforced, steps."""
    yield heading(f"Plan for {_count(len(plan.hosts), 'host')}, {_count(len(site.ports), 'port')}") + dim(
        f"  ({source})"
    )
    yield ""
    yield from table(
        ["host", "hypervisor", "scheme", "controlled", "observed", "hops", "bottleneck", "steps"],
        [_host_row(host) for host in plan.hosts],
        align="<<<>>><>",
    )
    yield ""
    yield heading("Why")
    for host in plan.hosts:
        yield f"  {host.host}: {_scheme(host)}"
        for sentence in host.because:
            yield f"      {sentence}"
        if why or host.scheme is None:
            for verdict in host.rejected:
                yield dim(f"      not {verdict.scheme}: {verdict.reason} [{verdict.code}; {verdict.source}]")
    yield from _escape_lines(plan)
    yield from _unenforced_lines(plan)
    yield from capacity_lines(plan.capacities)
    yield from _trust_lines(plan, site)
    yield from _step_lines(plan)


def _host_row(host: HostPlan) -> list[str]:
    sure = host.predicts
    return [
        host.host,
        f"{host.hypervisor} {host.version}".strip(),
        _scheme(host),
        _least(sure.controlled),
        _least(sure.observed),
        str(sure.local_hops) if host.scheme is not None else "-",
        sure.bottleneck or "-",
        str(len(host.steps)),
    ]


def _scheme(host: HostPlan) -> str:
    return good(host.scheme) if host.scheme is not None else bad("none possible")


def _least(share: float) -> str:
    text = percent(share) if share in (0.0, 1.0) else f"≥{percent(share)}"
    return good(text) if share == 1.0 else note(text)


def _escape_lines(plan: Plan) -> Iterator[str]:
    yield ""
    if not plan.escapes:
        yield good(
            "Nothing escapes: every pair of ports talks through a switch that the controller programs."
        )
        return
    yield heading(
        f"Escapes: {_count(len(plan.escapes), 'pair')} that the controller neither sees nor filters"
    )
    rows = [[pair.host, pair.source, pair.target, pair.network, pair.why] for pair in plan.escapes[:_SHOWN]]
    yield from table(["host", "from", "to", "network", "why"], rows)
    yield from _more(len(plan.escapes))


def _unenforced_lines(plan: Plan) -> Iterator[str]:
    if not plan.unenforced:
        return
    yield ""
    yield heading(f"Not enforced: {_count(len(plan.unenforced), 'rule')}")
    by_why: defaultdict[str, list[str]] = defaultdict(list)
    for missed in plan.unenforced:
        by_why[missed.why].append(f"{missed.port}: {missed.rule}")
    for why, rules in by_why.items():
        yield f"  {note(why)}"
        for rule in rules[:_SHOWN]:
            yield f"      {rule}"
        yield from _more(len(rules))


def capacity_lines(found: Sequence[Capacity]) -> Iterator[str]:
    """How full each inner switch is; nothing where there is none."""
    if not found:
        return
    yield ""
    yield heading("Inner switches") + dim(f"  (one tag per {_per(found)})")
    yield from table(
        ["switch", "hosts", "tags", "taken", "resting", "free", "to come"],
        [
            [
                each.switch,
                str(len(each.hosts)),
                *(str(number) for number in (each.total, each.taken, each.resting, each.free, each.coming)),
            ]
            for each in found
        ],
        align="<>>>>>>",
    )
    for each in found:
        if each.alarming:
            yield f"  {bad('full' if each.full else 'nearly full')} {each}; {each.advice}"


def _per(found: Sequence[Capacity]) -> str:
    return "network" if found[0].per is TagPer.NETWORK else "vNIC"


def rights_lines(missing: Sequence[MissingRight]) -> Iterator[str]:
    """What our account on a manager may not do; nothing where it may do all."""
    for right in missing:
        yield f"{bad('lacks')} the right {right.name}: {right.purpose}"


def _trust_lines(plan: Plan, site: Site) -> Iterator[str]:
    """Where appliances are told what to do by a network that has to be trusted."""
    made = site.policy.appliance
    if made is None or not any(host.scheme is Scheme.APPLIANCE for host in plan.hosts):
        return
    controller = site.controller
    southbound = controller.for_chassis if controller is not None else ""
    named = {"policy.appliance.database": made.database, "the southbound database": southbound}
    plain = [name for name, remotes in named.items() if "tcp:" in remotes]
    if plain:
        yield ""
        yield note(
            f"Appliances reach {' and '.join(plain)} by tcp: whoever can write to that network can pose as it. "
            "Trust the network, or use ssl:"
        )


def _step_lines(plan: Plan) -> Iterator[str]:
    yield ""
    if plan.change_count == 0:
        yield good("Nothing to do: everything is as the site file says.")
        return
    yield heading(f"Steps: {plan.change_count}")
    width = max(len(step.on) for step in (*plan.changes, *(s for host in plan.hosts for s in host.steps)))
    for host in plan.hosts:
        for step in host.steps:
            yield "  " + _step(step, width)
    yield from _intent(plan, width)


def _step(step: PlanStep, width: int) -> str:
    verb = note(f"{step.do:<9}") if step.do == "wait" else f"{step.do:<9}"
    return f"{verb} {step.on:<{width}}  {step.what}"


def _intent(plan: Plan, width: int) -> Iterator[str]:
    """Changes of the intent: short lists one by one, long ones counted by kind."""
    if len(plan.changes) <= _SHOWN:
        for step in plan.changes:
            yield "  " + _step(step, width)
        return
    counts = Counter((step.do, step.on, _noun(step)) for step in plan.changes)
    for (do, on, noun), count in counts.items():
        what = noun if noun in _SETTINGS else _count(count, noun)
        yield "  " + _step(PlanStep(do=do, on=on, what=what), width)


_SETTINGS = ("controller", "policy")
"""There is one of each."""


def _noun(step: PlanStep) -> str:
    """``port`` of ``port vm1: ips``."""
    subject = step.what.partition(":")[0]
    return subject if subject in _SETTINGS else subject.rsplit(" ", 1)[0]


def _more(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield dim(f"      … and {count - _SHOWN} more (--json has them all)")


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeo" else f"{number} {noun}s"
