# SPDX-License-Identifier: Apache-2.0
"""What nobody needs any more: inner switches with nothing on them, places of cards in groups that others still need."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from anyvisor.model.estate import DropSwitch, Estate, Giveback
from anyvisor.model.names import HostName, Mac, SwitchName


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


def left_behind(
    groups: Collection[tuple[str, str, str]], macs: Collection[Mac], estate: Estate
) -> Iterator[Giveback]:
    """Cards that we plugged into one of these groups (switch, host or nothing, name), and that are no port's any more:
    none of these MACs is theirs.
    """
    for card in estate.cards.values():
        if card.backing is None or not card.taken or card.homeless or card.mac in macs:
            continue
        switch, name = card.backing.switch, card.backing.group
        if (switch, "", name) in groups or (switch, card.host, name) in groups:
            yield Giveback(card=card.id)
