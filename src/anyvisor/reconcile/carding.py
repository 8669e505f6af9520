# SPDX-License-Identifier: Apache-2.0
"""A host whose network card switches (`nic`): on a DPU this runs on the card, else on the host that drives the card."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.contracts.host import SwitchingCards
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host
from anyvisor.model.state import State
from anyvisor.planner.cards import as_its_card, card_problems, in_legacy_mode, serial_of
from anyvisor.planner.chassis import CardSide
from anyvisor.planner.facts import traits
from anyvisor.reconcile import findings
from anyvisor.reconcile.integration import Integrated, Integration


class Carding:
    """Brings the Open vSwitch of a card to what its host's attachments say. One thread.

    `datapath` is Open vSwitch's: only the kernel's gives flows to a card by itself; one in user space is set up for
    that by whoever set up DPDK.
    """

    def __init__(self, integration: Integration, cards: SwitchingCards, *, datapath: str = "system") -> None:
        self._integration = integration
        self._cards = cards
        self._offload = datapath == "system"

    def carry_out(
        self, state: State, host: Host, attachments: Iterable[Attachment]
    ) -> tuple[Integrated, Condition]:
        """Settings and representors; returns what is plugged, and whether the card switches for its host.

        Raises:
            ForeignObjectError: another controller has this switch.
            UnreachableError: Open vSwitch does not answer.
            RetryableError: the kernel does not tell of its cards, or a representor went away meanwhile.
        """
        cards = self._cards.cards()
        nic = traits.smart_nic(host)
        on_card = nic is not None and nic.dpu is not None
        side = CardSide(offload=self._offload, serial=serial_of(host, cards) if on_card else None)
        done = self._integration.carry_out(
            state, as_its_card(host), attachments, take_from_bridges=False, card=side
        )
        self._cards.bring_up(frozenset(done.plugged.values()))
        said = findings.card_ready(card_problems(host, cards), legacy=in_legacy_mode(host, cards))
        return done, said
