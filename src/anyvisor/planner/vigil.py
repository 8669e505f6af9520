# SPDX-License-Identifier: Apache-2.0
"""Which appliances are dead, and which may serve again: two witnesses, hysteresis, a budget. Pure.

A network card that switches is watched likewise, by its signs of life alone: its vNICs are bolted to it, so there is
nobody who could stand in, and nothing is ever moved.

The manager says whether an appliance's VM runs; the appliance gives signs of life. One witness alone moves nothing: a
manager may be wrong about a VM, and signs of life get lost with a network. Times are seconds of one clock that does not
jump.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from anyvisor.model.estate import Health
from anyvisor.model.names import HostName
from anyvisor.model.policy import FailoverPolicy
from anyvisor.model.state import Duty

_DOUBT = 5
"""One witness alone is worth a word after so many times as long: a busy machine hiccups."""


class Seat(NamedTuple):
    """One appliance: its host and its number."""

    host: HostName
    number: int


def seat_of(key: str) -> Seat | None:
    """The appliance that a manager calls ``HOST/NUMBER``; None for what is no such key."""
    host, _, number = key.rpartition("/")
    return Seat(HostName(host), int(number)) if host and number.isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the witnesses say now. `health` None: the manager does not answer, or does not show it.

    `heard` is when it gave its last sign of life, None if none was heard since we listen.
    """

    health: Health | None
    heard: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is remembered of one appliance between two looks.

    `down` is since when the manager has said that it is down; it ends with a sign of life, not when the manager says
    otherwise: a VM that was switched on a moment ago serves nobody yet. `well` is since when both found it alive.
    """

    listening: float
    down: float | None = None
    well: float | None = None
    out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One appliance at one look."""

    watch: Watch
    reason: str = ""
    """Empty: it serves, and there is nothing to say."""
    message: str = ""


def judged(before: Watch, sight: Sight, policy: FailoverPolicy, now: float) -> Finding:
    """What one look at one appliance comes to, before anybody asks for the budget."""
    heard = before.listening if sight.heard is None else max(sight.heard, before.listening)
    silent = now - heard >= policy.silence_seconds
    down = _down(before.down, sight, now)
    mute = now - heard >= _DOUBT * policy.silence_seconds
    alive = sight.health is Health.RUNNING and not mute and down is None and sight.heard is not None
    well = (now if before.well is None else before.well) if alive else None
    watch = replace(before, down=down, well=well)
    if down is not None and silent:
        said = (
            "its VM is off" if sight.health is not Health.LOST else "its host is out of the manager's reach"
        )
        if sight.health in {Health.RUNNING, Health.STARTING}:
            said = "its VM was switched on again"
        return Finding(
            watch=replace(watch, out=True), reason="Dead", message=f"{said}, and it gives no sign of life"
        )
    if before.out:
        if well is not None and now - well >= policy.return_seconds:
            return Finding(watch=replace(watch, out=False))
        why = "both witnesses find it alive; it must stay so for a while" if alive else "it is not back yet"
        return Finding(watch=watch, reason="Returning", message=why)
    if down is not None and now - down >= _DOUBT * policy.silence_seconds:
        return Finding(
            watch=watch,
            reason="Doubted",
            message="the manager says that it is down, but it gives signs of life",
        )
    if mute and sight.health is not None:
        return Finding(
            watch=watch,
            reason="Doubted",
            message="it gives no sign of life, but the manager says that its VM runs; look at its console",
        )
    return Finding(watch=watch)


def _down(since: float | None, sight: Sight, now: float) -> float | None:
    if sight.health in {Health.OFF, Health.LOST}:
        return now if since is None else since
    if since is not None and sight.health is Health.RUNNING and (sight.heard or 0.0) > since:
        return None
    return since


def judged_card(before: Watch, heard: float | None, policy: FailoverPolicy, now: float) -> Finding:
    """What one look at a card comes to. Whatever became of it, its host's vNICs have no other way: it is said."""
    last = before.listening if heard is None else max(heard, before.listening)
    if now - last < _DOUBT * policy.silence_seconds:
        return Finding(watch=before)
    return Finding(
        watch=before,
        reason="Silent",
        message="the card gives no sign of life: what its hardware was told before may still pass, nothing new does; "
        "its vNICs have no other way",
    )


def within_budget(
    before: Mapping[Seat, Watch], findings: Mapping[Seat, Finding], policy: FailoverPolicy
) -> dict[Seat, Finding]:
    """The same, but no more hosts are acted on at a time than the policy allows; those that were acted on stay so.

    Which of several come first is a matter of their names, so that every look says the same.
    """
    acted = {seat.host for seat, watch in before.items() if watch.out and seat in findings}
    left = max(0, policy.budget - len(acted))
    fresh = sorted(
        {seat.host for seat, f in findings.items() if f.watch.out and not before[seat].out} - acted
    )
    admitted = acted | set(fresh[:left]) if policy.act else acted
    return {
        seat: finding if not finding.watch.out or seat.host in admitted else _held_back(finding, policy)
        for seat, finding in findings.items()
    }


def _held_back(finding: Finding, policy: FailoverPolicy) -> Finding:
    watch = replace(finding.watch, out=False)
    if not policy.act:
        return Finding(
            watch=watch, reason="AlarmOnly", message=f"{finding.message}; the policy is to do nothing"
        )
    return Finding(
        watch=watch,
        reason="OverBudget",
        message=f"{finding.message}; but so many hosts at once ({policy.budget} are allowed) are rather a fault "
        "elsewhere: nothing is done here",
    )


def duties_of(
    findings: Mapping[Seat, Finding], known: Mapping[HostName, Mapping[int, Duty]], now_epoch: int
) -> dict[HostName, Mapping[int, Duty]]:
    """What is to be said of each host's appliances, where that is news. `now_epoch`: seconds since the epoch."""
    wanted: defaultdict[HostName, dict[int, Duty]] = defaultdict(dict)
    for seat, finding in findings.items():
        wanted[seat.host]
        if finding.reason:
            before = known.get(seat.host, {}).get(seat.number)
            since = before.since if before is not None and before.out == finding.watch.out else now_epoch
            wanted[seat.host][seat.number] = Duty(
                out=finding.watch.out, since=since, reason=finding.reason, message=finding.message
            )
    return {host: said for host, said in wanted.items() if dict(known.get(host, {})) != said}
