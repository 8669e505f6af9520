# SPDX-License-Identifier: Apache-2.0
"""A vendor's own controller, brought to what was decided for the hosts that it keeps (scheme `vendor`).

Level-triggered: every look hands over the whole wish, and the driver writes the difference. The vNICs are plugged in by
whoever attends the hosts' manager, as soon as that shows the segments.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from anyvisor.contracts.controller import ControllerPlan
from anyvisor.contracts.entity import EntityDriver
from anyvisor.contracts.store import Store
from anyvisor.errors import AnyvisorError
from anyvisor.model.condition import Condition
from anyvisor.model.entity import EntityWish
from anyvisor.model.names import HostName
from anyvisor.model.state import State
from anyvisor.planner.entity import entity_wish, kept_by, unwired
from anyvisor.reconcile import findings
from anyvisor.reconcile.looked import Looked
from anyvisor.reconcile.notices import MANAGER, say

log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
"""How soon to look again while a vNIC has not been found on its segment."""
ASK_SECONDS = 55.0
"""How long a controller that holds everything is not asked about it, whatever else happens in the fleet."""
_NAMED = 5


class EntityReconciler:
    """One controller, called as the site names its manager. One thread."""

    def __init__(
        self,
        manager: str,
        driver: EntityDriver,
        store: Store,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._driver = driver
        self._store = store
        self._monotonic = monotonic
        self._held: EntityWish | None = None
        """What it was last found to hold, with nothing left to do or to wait for."""
        self._until = 0.0
        """When it is asked again all the same."""

    def reconcile(self) -> Looked:
        """Look, change what differs, say how it is. What goes wrong is in the result and in the manager's condition."""
        wish = wish_of(self._store.snapshot(), self._manager)
        if wish is None or (wish == self._held and self._monotonic() < self._until):
            return Looked()
        self._held = None
        try:
            plan = self._driver.plan(wish)
            for change in plan.changes:
                log.info("%s: %s %s", self._manager, change.do, change.what)
            self._driver.apply(plan)
            waiting = tuple(unwired(wish, self._driver.wired()))
        except AnyvisorError as error:
            say(self._store, self._manager, findings.failed(MANAGER, error))
            return Looked(error=error)
        if not (plan.changes or plan.refusals or waiting):
            self._held, self._until = wish, self._monotonic() + ASK_SECONDS
        say(self._store, self._manager, _condition(plan, waiting))
        return Looked(steps=plan.changes, again_seconds=WAIT_SECONDS if waiting else None)

    def measure(self) -> None:
        """The vNICs' counters are the hosts' manager's to read."""


def wish_of(state: State, manager: str) -> EntityWish | None:
    """What that manager is to hold; None while nothing is known of it, so that nothing of it is taken away."""
    known = state.site.managers.get(manager)
    if known is None or not state.owner:
        return None
    return entity_wish(state, kept_by(known, state.site))


class Polled:
    """A driver that hears of nothing by itself: it is asked now and then, and when something of ours changed."""

    def __init__(self, driver: EntityDriver) -> None:
        self.driver = driver

    def watch(self, _notify: Callable[[frozenset[HostName]], None]) -> AbstractContextManager[None]:
        """Nothing comes of itself."""
        return nullcontext()


def _condition(plan: ControllerPlan, waiting: tuple[str, ...]) -> Condition:
    said = [f"{refusal.key}: {refusal.message}" for refusal in plan.refusals]
    if waiting:
        more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
        said.append(f"not found on their segments yet: {', '.join(waiting[:_NAMED])}{more}")
    if said:
        return Condition(kind=MANAGER, true=False, reason="Incomplete", message="; ".join(said))
    return Condition(kind=MANAGER, true=True, reason="Driven")
