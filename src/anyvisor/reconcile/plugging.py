# SPDX-License-Identifier: Apache-2.0
"""Carrying out plugs so that one vNIC that cannot be plugged does not hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from anyvisor.contracts.switch import SwitchDriver
from anyvisor.errors import AnyvisorError, TerminalError, UnreachableError
from anyvisor.model.attachment import PlugStep, describe

log = logging.getLogger(__name__)


def carry_out(switch: SwitchDriver, steps: Iterable[PlugStep]) -> tuple[str, ...]:
    """Apply the steps together, or one by one if that is refused. Returns what is wrong with those that failed.

    Raises:
        UnreachableError: the switch does not answer.
    """
    wanted = tuple(steps)
    if not wanted:
        return ()
    for step in wanted:
        log.info("%s", describe(step))
    try:
        switch.apply(wanted)
    except UnreachableError:
        raise
    except TerminalError:
        return tuple(problem for step in wanted if (problem := _try(switch, step)) is not None)
    except AnyvisorError as error:
        # The steps were taken in, but a device vanished or could not be opened: the next look will tell.
        log.warning("%s", error)
        return (str(error),)
    return ()


def _try(switch: SwitchDriver, step: PlugStep) -> str | None:
    try:
        switch.apply([step])
    except UnreachableError:
        raise
    except AnyvisorError as error:
        log.warning("could not %s: %s", describe(step), error)
        return str(error)
    return None
