# SPDX-License-Identifier: Apache-2.0
"""Inner switches that nobody needs any more: no host under `appliance`, nothing left on them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from anyvisor.model.estate import DropSwitch, Estate
from anyvisor.model.names import HostName, SwitchName


def unused_switches(
    needed: Collection[SwitchName], known: Collection[HostName], missing: Collection[HostName], estate: Estate
) -> Iterator[DropSwitch]:
    """The steps that remove them. One of a host that is not among the `known` is nobody's to remove; a `missing` host,
    that should be shown and is not, may be a member of any.
    """
    if missing:
        return
    spare = {
        name: switch
        for name, switch in estate.switches.items()
        if name not in needed and all(host in known for host in switch.hosts)
    }
    if not spare:
        return
    held = {group.switch for group in estate.groups.values()}
    held |= {card.backing.switch for card in estate.cards.values() if card.backing is not None}
    served = {appliance.host for appliance in estate.appliances.values()}
    for name, switch in sorted(spare.items()):
        if name not in held and served.isdisjoint(switch.hosts):
            yield DropSwitch(name=name)
