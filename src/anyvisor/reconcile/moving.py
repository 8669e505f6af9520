# SPDX-License-Identifier: Apache-2.0
"""Follows migrations on the controller's side: when the target had claimed the port, and when it was up there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from anyvisor.contracts.controller import ControllerDriver
from anyvisor.errors import RetryableError
from anyvisor.model.names import PortName
from anyvisor.model.state import Plugged, State
from anyvisor.planner.escape import NATIVE
from anyvisor.planner.moves import Binding, Moves, followed, under_way

log = logging.getLogger(__name__)


class Moving:
    """One thread. `clock` gives seconds since the epoch."""

    def __init__(self, controller: ControllerDriver, clock: Callable[[], float]) -> None:
        self._controller = controller
        self._clock = clock
        self._open: frozenset[PortName] = frozenset()

    def look(self, state: State, ports: Iterable[PortName]) -> Moves:
        """What is new about migrations of these ports. Those under way are followed until they are over."""
        touched = {port: under_way(state.moves.get(port, ())) for port in ports}
        moving = {port: move for port, move in touched.items() if move is not None}
        try:
            self._follow((self._open - touched.keys()) | moving.keys())
            bindings = self._controller.bindings(moving)
        except RetryableError as error:
            # A figure is not worth a round: what was asked for goes on.
            log.info("migrations are not followed now: %s", error)
            return {}
        now_ms = int(self._clock() * 1000)
        news: Moves = {}
        for port, move in moving.items():
            attachment = state.attachments.get(port)
            target = state.hosts.get(move.target)
            scheme = (target.carried or target.scheme) if target is not None else None
            after = followed(
                move,
                bindings.get(port, Binding()),
                plugged=attachment is not None
                and attachment.host == move.target
                and state.plugged.get(port, Plugged()).device is not None,
                native=scheme in NATIVE,
                now_ms=now_ms,
            )
            if after != move:
                news[port, move.begun] = after
        return news

    def _follow(self, ports: frozenset[PortName]) -> None:
        if ports != self._open:
            self._controller.follow(ports)
            self._open = ports
