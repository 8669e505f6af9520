# SPDX-License-Identifier: Apache-2.0
"""Which vNIC is whose, and where the VMs of ports run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Card, Estate
from anyvisor.model.names import Mac, PortName
from anyvisor.model.state import Placement, State
from anyvisor.planner.found import out_of_sight


class Sought(NamedTuple):
    """A port, and the MAC that its vNIC is found by."""

    port: PortName
    mac: Mac


def cards_by_port(
    attachments: Iterable[Attachment | Sought], vms: Mapping[PortName, str | None], estate: Estate
) -> dict[PortName, Card]:
    """The card of each port, by its MAC; of several with one MAC, that of the VM which the site names."""
    by_mac: defaultdict[str, list[Card]] = defaultdict(list)
    for card in estate.cards.values():
        by_mac[card.mac].append(card)
    found: dict[PortName, Card] = {}
    for attachment in attachments:
        held = by_mac.get(attachment.mac, [])
        named = [card for card in held if card.vm == vms.get(attachment.port)]
        choice = named if len(held) > 1 else held
        if len(choice) == 1:
            found[attachment.port] = choice[0]
    return found


def moved(state: State, estate: Estate) -> dict[PortName, Placement]:
    """Where the VMs of ports run, as far as that is news."""
    attached = (
        Sought(a.port, a.mac)
        for a in state.attachments.values()
        if a.host in estate.hosts or out_of_sight(state.site, a.host, estate.hosts)
    )
    nowhere = (
        Sought(name, state.ports[name].mac)
        for name, port in state.site.ports.items()
        if port.host is None and name not in state.attachments and name in state.ports
    )
    cards = cards_by_port(
        (*attached, *nowhere),
        {name: port.vm for name, port in state.site.ports.items()},
        estate,
    )
    seen = {port: Placement(host=card.host, moving_to=card.moving_to) for port, card in cards.items()}
    return {
        port: place
        for port, place in seen.items()
        if state.placements.get(port) != place and place.host in state.site.hosts
    }
