# SPDX-License-Identifier: Apache-2.0
"""vNICs that stayed in a network's group when their port went: there they would talk on, unseen and unnamed.

A group of one vNIC goes with its port. One of a network stays while others need it, so who is left in it is looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from anyvisor.model.estate import Card, CardId, Giveback, Group
from anyvisor.model.names import Mac, NetworkName
from anyvisor.planner.inner import INTEGRATION, shared_key

_OF_MANY = ("network/", shared_key(NetworkName("")), INTEGRATION)


def of_many(group: Group) -> bool:
    """Whether it is a group of a whole network, on a native switch or an inner one, or the integration bridge."""
    return group.key.startswith(_OF_MANY)


def leftovers(here: Iterable[Card], wanted: Collection[CardId], macs: Collection[Mac]) -> Iterator[Giveback]:
    """The steps that give them back. `here` are the cards in the group, `wanted` those of ports. A card with the MAC of
    a port is left in peace, though it may not be clear which of several it is. What an operator plugged in is his.
    """
    for card in sorted(here, key=lambda card: card.id):
        if card.taken and not card.homeless and card.id not in wanted and card.mac not in macs:
            yield Giveback(card=card.id)
