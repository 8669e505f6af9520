# SPDX-License-Identifier: Apache-2.0
"""Which scheme a host gets, in sentences: why this one, and why none of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from anyvisor.model.host import Host
from anyvisor.model.kinds import Scheme
from anyvisor.model.plan import HostPlan, Prediction, Verdict
from anyvisor.model.policy import PREFERENCE, Floor, Preference
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes import SCHEMES, Load

NOTHING = Prediction(controlled=0.0, observed=0.0, local_hops=0)
"""What is promised where no scheme is possible."""

_POLICY = "site: policy"
_PIN = "site: scheme of the host"


def verdicts(host: Host, current: Scheme | None = None) -> dict[Scheme, Verdict]:
    """What is possible on that host, scheme by scheme.

    Where `substitution` is pinned or in force, Open vSwitch on the host is its success, not an obstacle. Where
    `appliance` is in force, what is spare is what its appliances have left over: they have their room; and it stays
    when the cluster gets a second host, or vNICs would lose their filter for the sake of vMotion.
    """
    if current is Scheme.APPLIANCE and traits.no_room_for_appliance(host):
        host = replace(host, facts={**host.facts, **traits.ROOM_FOR_APPLIANCE})
    found = {scheme: SCHEMES[scheme].judge(host) for scheme in PREFERENCE}
    behind = found[Scheme.APPLIANCE]
    if current is Scheme.APPLIANCE and behind.code == traits.NO_VMOTION:
        found[Scheme.APPLIANCE] = replace(behind, advised=True)
    replaced = found[Scheme.SUBSTITUTION]
    if replaced.code == "ALREADY_OPEN_VSWITCH" and Scheme.SUBSTITUTION in (host.scheme, current):
        found[Scheme.SUBSTITUTION] = replace(
            found[Scheme.BASELINE],
            scheme=Scheme.SUBSTITUTION,
            reason="Open vSwitch has taken its place on the host.",
        )
    return found


def choose(
    host: Host, preference: Preference, *, current: Scheme | None = None, load: Load | None = None
) -> HostPlan:
    """Choose the scheme of one host; the plan that comes back has no steps yet.

    A pinned scheme is taken if it is possible at all. Otherwise the first of ``preference.prefer`` is taken that is
    possible, advised, and predicted to meet the floor under `load`. Schemes that the preference does not list come
    last and are equal among themselves: there `current` stays, if it is one of them.
    """
    load = load if load is not None else Load()
    found = verdicts(host, current)
    predictions = {scheme: SCHEMES[scheme].predict(host, load) for scheme in found}
    if host.scheme is not None:
        return _pinned(host, host.scheme, preference.floor, found, predictions)
    eligible = [
        scheme
        for scheme, verdict in found.items()
        if verdict.possible and verdict.advised and not _shortfall(predictions[scheme], preference.floor)
    ]
    if not eligible:
        return _nothing(host, preference.floor, found, predictions)
    ranks = _ranks(preference, current)
    codes = {other: _unfit(found[other], preference.floor, predictions[other]).code for other in found}
    scheme = min(eligible, key=lambda candidate: (ranks[candidate], candidate is not current))
    because = (_why_first(scheme, ranks, codes), found[scheme].reason, *_notes(found[scheme]))
    rejected = (
        _not_taken(verdict, scheme, ranks, preference.floor, predictions[verdict.scheme])
        for verdict in found.values()
        if verdict.scheme is not scheme
    )
    return _plan(host, scheme, because, found, rejected, predictions[scheme])


def _pinned(
    host: Host,
    pin: Scheme,
    floor: Floor,
    found: Mapping[Scheme, Verdict],
    predictions: Mapping[Scheme, Prediction],
) -> HostPlan:
    verdict = found[pin]
    others = [
        _instead(other, "LESS_PREFERRED", f"The operator pinned {pin}.", _PIN) if other.possible else other
        for other in found.values()
        if other.scheme is not pin
    ]
    if not verdict.possible:
        because = (
            f"The operator pinned {pin}, which is not possible here ({verdict.code}): {verdict.reason}",
            "Nothing else is chosen while a scheme is pinned.",
        )
        return _plan(host, None, because, found, (verdict, *others), NOTHING)
    unadvised = () if verdict.advised else (f"It would not be chosen unasked ({verdict.code}).",)
    shortfall = _shortfall(predictions[pin], floor)
    below = (f"The pin overrides the floor: {shortfall}",) if shortfall else ()
    because = (f"The operator pinned {pin}.", verdict.reason, *unadvised, *below, *_notes(verdict))
    return _plan(host, pin, because, found, others, predictions[pin])


def _nothing(
    host: Host, floor: Floor, found: Mapping[Scheme, Verdict], predictions: Mapping[Scheme, Prediction]
) -> HostPlan:
    rejected = [_unfit(verdict, floor, predictions[verdict.scheme]) for verdict in found.values()]
    possible = [verdict.scheme for verdict in found.values() if verdict.possible]
    if possible:
        names = " and ".join(possible)
        because = (
            f"Possible: {names}; but none that is advised meets the floor. Pin one, or lower the floor.",
        )
    else:
        because = ("No scheme is possible on this host.",)
    return _plan(host, None, because, found, rejected, NOTHING)


def _plan(
    host: Host,
    scheme: Scheme | None,
    because: tuple[str, ...],
    found: Mapping[Scheme, Verdict],
    rejected: Iterable[Verdict],
    predicts: Prediction,
) -> HostPlan:
    return HostPlan(
        host=host.name,
        hypervisor=host.hypervisor,
        version=host.version,
        scheme=scheme,
        because=because,
        verdicts=found,
        rejected=tuple(rejected),
        predicts=predicts,
    )


def _ranks(preference: Preference, current: Scheme | None) -> dict[Scheme, int]:
    """Lower is better. What is not listed comes last. A replaced switch ranks as the baseline: it is one by now."""
    listed = preference.prefer
    ranks = {scheme: listed.index(scheme) if scheme in listed else len(listed) for scheme in Scheme}
    if current is Scheme.SUBSTITUTION:
        ranks[current] = min(ranks[current], ranks[Scheme.BASELINE])
    return ranks


def _why_first(scheme: Scheme, ranks: Mapping[Scheme, int], codes: Mapping[Scheme, str]) -> str:
    before = sorted(
        (other for other in codes if ranks[other] < ranks[scheme]), key=lambda other: ranks[other]
    )
    if not before:
        return f"{scheme} comes first in the order of preference, and it is possible here."
    reasons = ", ".join(f"{other} ({codes[other]})" for other in before)
    return f"{scheme} is the first in the order of preference that fits; before it would come {reasons}."


def _notes(verdict: Verdict) -> tuple[str, ...]:
    return tuple(f"Note: {warning}" for warning in verdict.warnings)


def _not_taken(
    verdict: Verdict, chosen: Scheme, ranks: Mapping[Scheme, int], floor: Floor, prediction: Prediction
) -> Verdict:
    unfit = _unfit(verdict, floor, prediction)
    if unfit is not verdict or not verdict.possible:
        return unfit
    if ranks[verdict.scheme] == ranks[chosen]:
        reason = f"Possible, and as good as {chosen} by the order of preference."
    else:
        reason = f"Possible, but {chosen} comes first in the order of preference."
    return _instead(verdict, "LESS_PREFERRED", reason, _POLICY)


def _unfit(verdict: Verdict, floor: Floor, prediction: Prediction) -> Verdict:
    """Why it could not be taken; the verdict itself if it is impossible, or if it could."""
    if not verdict.possible:
        return verdict
    if not verdict.advised:
        return _instead(
            verdict, "NOT_ADVISED", f"Possible, but not chosen unasked: {verdict.reason}", verdict.source
        )
    shortfall = _shortfall(prediction, floor)
    return _instead(verdict, "BELOW_FLOOR", shortfall, _POLICY) if shortfall else verdict


def _shortfall(prediction: Prediction, floor: Floor) -> str:
    """A sentence that names what is below the floor, ``""`` if nothing is."""
    if prediction.controlled < floor.controlled:
        return f"Of the bytes, {prediction.controlled:.0%} is sure to be governed; the floor is {floor.controlled:.0%}."
    if prediction.observed < floor.observed:
        return (
            f"Of the bytes, {prediction.observed:.0%} is sure to be seen; the floor is {floor.observed:.0%}."
        )
    return ""


def _instead(verdict: Verdict, code: str, reason: str, source: str) -> Verdict:
    return replace(verdict, code=code, reason=reason, source=source)
