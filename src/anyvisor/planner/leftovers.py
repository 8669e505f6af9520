# SPDX-License-Identifier: Apache-2.0
"""vNICs that stayed in a network's group when their port went: there they would talk on, unseen and unnamed.

A group of one vNIC goes with its port. One of a network stays while others need it, so who is left in it is looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from anyvisor.model.estate import CardId, Estate, Giveback, Group
from anyvisor.model.names import Mac

NETWORK = "network/"


def leftovers(
    kept: Iterable[Group], plugs: Collection[CardId], macs: Collection[Mac], estate: Estate
) -> Iterator[Giveback]:
    """The steps that give them back. `plugs` are the cards of ports; a card with the MAC of a port (`macs`) is left in
    peace, though it may not be clear which of several it is. What an operator plugged in himself is his.
    """
    shared = {
        (group.switch, group.name, group.host): group for group in kept if group.key.startswith(NETWORK)
    }
    if not shared:
        return
    for card in sorted(estate.cards.values(), key=lambda card: card.id):
        place = card.backing
        if place is None or not card.taken or card.homeless or card.id in plugs or card.mac in macs:
            continue
        if any((place.switch, place.group, host) in shared for host in (None, card.host)):
            yield Giveback(card=card.id)
