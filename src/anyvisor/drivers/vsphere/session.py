# SPDX-License-Identifier: Apache-2.0
"""One login: made when it is needed, made anew when it ended, its errors translated."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from anyvisor.access.credentials import Login
from anyvisor.drivers.vsphere.api import vim
from anyvisor.drivers.vsphere.endpoint import Endpoint, content_of
from anyvisor.drivers.vsphere.faults import CALL_ERRORS, CONNECTION_ERRORS, translated

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Open:
    """A login that lasts, as far as is known."""

    stub: Any
    content: Any
    generation: int
    """The number of this login: what was made in another one (views, filters) is gone."""

    def object(self, kind: Any, key: str) -> Any:
        """A managed object by its key. Nothing is read."""
        return kind(key, self.stub)


class Session:
    """Used by one thread at a time."""

    def __init__(self, name: str, endpoint: Endpoint, login: Callable[[], Login]) -> None:
        self.name = name
        self._endpoint = endpoint
        self._login = login
        self._open: Open | None = None
        self._generation = 0

    def read(self, question: Callable[[Open], T], doing: str = "") -> T:
        """Ask something that changes nothing. Once more, logged in anew, if the session or the connection was lost.

        Raises:
            UnreachableError: no answer.
            TerminalError: no trust, no login, no right.
        """
        fresh = self._open is None
        try:
            return question(self._opened())
        except CALL_ERRORS as error:
            if fresh or not self._lost(error, CONNECTION_ERRORS):
                raise self._translated(doing, error) from error
            log.debug("%s: %s: once more after %r", self.name, doing, error)
        return self._last(question, doing)

    def write(self, order: Callable[[Open], T], doing: str) -> T:
        """Change something. Once more only if it was certainly not done: the session had ended.

        Raises:
            UnreachableError: no answer; whether it was done is not known.
            AnyvisorError: as the fault says.
        """
        try:
            return order(self._opened())
        except CALL_ERRORS as error:
            if not self._lost(error, ()):
                raise self._translated(doing, error) from error
        return self._last(order, doing)

    def close(self) -> None:
        """Log out. Closing twice is no error."""
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            opened.content.sessionManager.Logout()
        except CALL_ERRORS as error:
            log.debug("%s: could not log out: %r", self.name, error)
        opened.stub.DropConnections()

    def _last(self, order: Callable[[Open], T], doing: str) -> T:
        try:
            return order(self._opened())
        except CALL_ERRORS as error:
            raise self._translated(doing, error) from error

    def _lost(self, error: Exception, also: tuple[type[Exception], ...]) -> bool:
        """Whether a new login may help. One who did not answer in time will not answer now."""
        ended = isinstance(error, vim.fault.NotAuthenticated)
        lost = ended or (isinstance(error, also) and not isinstance(error, socket.timeout))
        if lost:
            self._forget()
        return lost

    def _translated(self, doing: str, error: Exception) -> Exception:
        if isinstance(error, (*CONNECTION_ERRORS, vim.fault.NotAuthenticated)):
            self._forget()
        return translated(self.name, doing, error)

    def _forget(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.stub.DropConnections()

    def _opened(self) -> Open:
        if self._open is None:
            stub = self._endpoint.stub()
            try:
                content = content_of(stub)
                login = self._login()
                content.sessionManager.Login(login.user, login.password, None)
            except BaseException:
                stub.DropConnections()
                raise
            self._generation += 1
            self._open = Open(stub, content, self._generation)
        return self._open
