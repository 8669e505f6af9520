# SPDX-License-Identifier: Apache-2.0
"""What is said of a manager: that we drive it, or why we cannot; that its switches are counted, or why not."""

from __future__ import annotations

import logging

from anyvisor.contracts.store import Decision, Store
from anyvisor.errors import RetryableError
from anyvisor.model.condition import Condition
from anyvisor.model.names import ObjectKey

log = logging.getLogger(__name__)

MANAGER = "Manager"
COUNTED = "Counted"
CHECKED = "Checked"
"""Said false of vNICs that a person should look at; they are wired all the same."""


def say(store: Store, manager: str, *conditions: Condition) -> None:
    """Write it down if it is news. What cannot be written now is said at the next look."""
    key = ObjectKey("manager", manager)
    if store.snapshot().conditions.get(key) == conditions:
        return
    try:
        store.decide(Decision(conditions={key: conditions}))
    except RetryableError as error:
        log.debug("%s: could not be said yet: %s", manager, error)
