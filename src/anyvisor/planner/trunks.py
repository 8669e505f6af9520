# SPDX-License-Identifier: Apache-2.0
"""Whether the trunk of an inner switch learns MAC addresses or is promiscuous, and the version that this hangs on.

Plan, steps and driver all take the version from here. Upgrades of a distributed switch are one-way, so one that is
there keeps its version; a new one gets the newest that every host taking part can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from anyvisor.model.host import Host
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, SwitchName
from anyvisor.planner.facts import traits, vds
from anyvisor.planner.facts.version import parse
from anyvisor.planner.inner import InnerPlace, inner_place

_PROMISCUOUS = "Its trunk is promiscuous"
_LEARNS = "Its trunk learns MAC addresses"


def inner_version(members: Iterable[Host], there: str = "") -> str:
    """The version of a distributed inner switch: its own if it is `there`, else the newest that all `members` can.

    Empty where that is not known: of some member no version is stated, or one takes part in none.
    """
    return there or vds.common_version(v for host in members for v in traits.vds_versions(host)) or ""


def members_of(hosts: Iterable[Host], owner: str) -> dict[InnerPlace, tuple[Host, ...]]:
    """Which of these hosts, all under `appliance`, share an inner switch."""
    found: defaultdict[InnerPlace, list[Host]] = defaultdict(list)
    for host in hosts:
        found[inner_place(host, owner)].append(host)
    return {place: tuple(members) for place, members in found.items()}


def told(
    hosts: Collection[Host], owner: str, there: Mapping[SwitchName, str] | None
) -> dict[HostName, tuple[str, str]]:
    """Of each of these hosts, all under `appliance`: the version of its inner switch (empty for a standard one and
    where it is not known), and a sentence that says what its trunk does and why. `there` are the versions of switches
    that exist; None where nobody was asked.
    """
    found: dict[HostName, tuple[str, str]] = {}
    for place, members in members_of(hosts, owner).items():
        if place.kind is SwitchKind.VDS:
            own = there.get(place.switch, "") if there is not None else ""
            said = (inner_version(members, own), _because(members, own, asked=there is not None))
        else:
            said = ("", f"{_PROMISCUOUS}: a standard switch cannot learn MAC addresses.")
        found |= dict.fromkeys((host.name for host in members), said)
    return found


def _because(members: Collection[Host], there: str, *, asked: bool) -> str:
    version = inner_version(members, there)
    if not version:
        unknown = ", ".join(sorted(host.name for host in members if parse(host.version) is None))
        lacking = f"the ESXi version of {unknown} is not known" if unknown else "some host is too old for one"
        return f"Whether its trunk learns MAC addresses is not known: {lacking}."
    does = _LEARNS if vds.learns(version) else _PROMISCUOUS
    if there:
        more = "" if vds.learns(version) else "; it learns once that switch is upgraded to 6.6.0"
        return f"{does}: its inner switch is there, of version {there}{more}."
    oldest = min(members, key=lambda host: (parse(host.version) or (0, 0, 0), host.name))
    alone = "the host runs" if len(members) == 1 else f"{oldest.name}, the oldest of its hosts, runs"
    needs = "" if vds.learns(version) else ", and MAC learning needs 6.6.0"
    stays = "" if asked else "; one that is there already keeps its version"
    return f"{does}: a new inner switch is of version {version}, for {alone} ESXi {oldest.version}{needs}{stays}."
