# SPDX-License-Identifier: Apache-2.0
"""Plugging vNICs into networks of ours and giving them back: which VIF, which network, who must be asked first.

What is done to one VIF: `anyvisor.drivers.xapi.vif`.
"""

from __future__ import annotations

import logging

from anyvisor.drivers.xapi import names
from anyvisor.drivers.xapi.vif import Vif
from anyvisor.drivers.xapi.work import Work
from anyvisor.errors import (
    AnyvisorError,
    ForeignObjectError,
    RetryableError,
    TerminalError,
    UnreachableError,
)
from anyvisor.model.estate import Card, CardId, Giveback, Plugin, Terms

log = logging.getLogger(__name__)


def plug(work: Work, step: Plugin) -> None:
    """One that is there on these terms already is left alone."""
    card, vif = _card(work, step.card)
    found = work.picture.networks_of(step.switch, step.group)
    if not found:
        if work.picture.foreign(step.switch, step.group):
            raise ForeignObjectError(f"{step.group} on {step.switch} is not ours")
        raise RetryableError(f"there is no network {step.group} on {step.switch}")
    group = work.picture.ours[found[0]]
    if card.problem is not None and card.problem.blocks(group):
        raise TerminalError(f"VM {card.vm}: card {step.card.card} cannot be plugged: {card.problem}")
    target = next((ref for ref in found if ref == work.picture.pool.rows("VIF")[vif]["network"]), found[0])
    bound = group.vlan is None
    if bound and work.picture.pool.sdn_controller:
        raise ForeignObjectError(f"the pool obeys another SDN controller: {work.picture.pool.sdn_controller}")
    Vif(work, vif, card.vm).settle(target, step.terms or Terms(), bound=bound)


def give_back(work: Work, step: Giveback) -> None:
    """One whose place is gone stays where it is, and lets nothing pass."""
    card, vif = _card(work, step.card)
    each = Vif(work, vif, card.vm)
    if each.network not in work.picture.ours:
        return
    home = each.home()
    if home is None:
        each.disconnect()
    else:
        each.return_to(home)


def tidy(work: Work) -> AnyvisorError | None:
    """Finish what was cut short on the way back, and forget what was kept of VIFs that somebody else has moved. The
    first refusal comes back: it keeps nothing else from being done.

    Raises:
        UnreachableError: the pool does not answer.
    """
    refused: AnyvisorError | None = None
    for vif, row in work.picture.pool.rows("VIF").items():
        taken = names.before_of(row["other_config"], work.picture.owner) is not None
        if not taken or row["network"] in work.picture.ours:
            continue
        try:
            Vif(work, vif, "").release()
        except UnreachableError:
            raise
        except AnyvisorError as error:
            log.warning("%s", error)
            refused = refused or error
    return refused


def vacate(work: Work, vif: str, group: str) -> None:
    """Take the VIF of a snapshot or a template out of a network that is to go; that of a VM is the planner's business.

    Raises:
        RetryableError: it is a VM's, or nobody knows where it was.
    """
    row = work.picture.pool.row("VIF", vif)
    vm = None if row is None else work.picture.pool.row("VM", row["VM"])
    name = "" if vm is None else str(vm["name_label"])
    each = Vif(work, vif, name)
    home = each.home()
    if vm is None or not (vm["is_a_snapshot"] or vm["is_a_template"]) or home is None:
        raise RetryableError(f"{group} is in use by VM {name}")
    each.return_to(home)


def _card(work: Work, card: CardId) -> tuple[Card, str]:
    shown, vif = work.picture.estate.cards.get(card), work.picture.vifs.get(card)
    if shown is None or vif is None:
        raise RetryableError(f"there is no VM {card.vm} with a card {card.card}")
    return shown, vif
