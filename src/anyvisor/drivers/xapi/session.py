# SPDX-License-Identifier: Apache-2.0
"""One login at the master of a pool: made when it is needed, made anew when it ended, its errors translated.

A host that is not the master names it (``HOST_IS_SLAVE``), and the login goes there. Of a pool whose master is gone any
other host may be the next one: those that are known are asked in turn.

Source: xen-api, doc/content/xen-api/basics.md; ocaml/xapi/xapi_session.ml.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from anyvisor.access.credentials import Login
from anyvisor.access.trust import Trust
from anyvisor.drivers.xapi.endpoint import address_of, client
from anyvisor.drivers.xapi.faults import (
    CALL_ERRORS,
    CONNECTION_ERRORS,
    master_of,
    session_ended,
    translated,
)
from anyvisor.errors import UnreachableError

log = logging.getLogger(__name__)

_ORIGINATOR = "anyvisor"
_VERSION = "1.0"
"""Of the API, as clients say it; every XAPI takes it."""
_REDIRECTIONS = 3


class Session:
    """Used by one thread at a time. `generation` counts the logins: what was told in another one may be out of date."""

    def __init__(
        self, name: str, url: str, trust: Trust, login: Callable[[], Login], *, timeout_seconds: float
    ) -> None:
        self.name = name
        self.generation = 0
        self._address = address_of(url)
        self._members: tuple[str, ...] = ()
        self._trust = trust
        self._login = login
        self._timeout = timeout_seconds
        self._client: Any = None

    def know(self, addresses: Iterable[str]) -> None:
        """Where the pool's other hosts answer."""
        self._members = tuple(f"[{each}]" if each.count(":") > 1 else each for each in addresses)

    def read(self, method: str, *params: Any, doing: str = "") -> Any:
        """Ask something that changes nothing. Once more, logged in anew, if the session or the connection was lost.

        Raises:
            UnreachableError: no answer.
            AnyvisorError: as XAPI's code says.
        """
        return self._called(method, params, doing, also=CONNECTION_ERRORS)

    def write(self, method: str, *params: Any, doing: str) -> Any:
        """Change something. Once more only if it was certainly not done: the session had ended, or this was no master.

        Raises:
            UnreachableError: no answer; whether it was done is not known.
            AnyvisorError: as XAPI's code says.
        """
        return self._called(method, params, doing, also=())

    @property
    def handle(self) -> str:
        """The reference of the login; it is made if there is none."""
        return str(self._opened().handle)

    def close(self) -> None:
        """Log out. Closing twice is no error."""
        opened, self._client = self._client, None
        if opened is not None:
            with suppress(*CALL_ERRORS):
                opened.xenapi.session.logout()
            opened("close")()

    def _called(
        self, method: str, params: tuple[Any, ...], doing: str, also: tuple[type[Exception], ...]
    ) -> Any:
        fresh = self._client is None
        try:
            return self._opened().xenapi_request(method, params)
        except CALL_ERRORS as error:
            again = session_ended(error) or master_of(error) is not None
            # One who did not answer in time will not answer now.
            lost = not fresh and isinstance(error, also) and not isinstance(error, socket.timeout)
            if again or isinstance(error, CONNECTION_ERRORS):
                self._forget()
            if not again and not lost:
                raise translated(self.name, doing or method, error) from error
            log.debug("%s: %s: once more after %r", self.name, doing or method, error)
        try:
            return self._opened().xenapi_request(method, params)
        except CALL_ERRORS as error:
            if isinstance(error, CONNECTION_ERRORS):
                self._forget()
            raise translated(self.name, doing or method, error) from error

    def _forget(self) -> None:
        opened, self._client = self._client, None
        if opened is not None:
            opened("close")()

    def _opened(self) -> Any:
        if self._client is None:
            self._client = self._logged_in()
            self.generation += 1
        return self._client

    def _logged_in(self) -> Any:
        """At the address of the settings, or where that sends us; else at any other host of the pool."""
        first: Exception | None = None
        for address in dict.fromkeys((self._address, *self._members)):
            try:
                return self._logged_in_at(address)
            except CONNECTION_ERRORS as error:
                log.debug("%s: %s: %r", self.name, address, error)
                first = first or error
        assert first is not None
        raise first

    def _logged_in_at(self, address: str) -> Any:
        for _ in range(_REDIRECTIONS):
            opened = client(address, self._trust, self._timeout)
            try:
                login = self._login()
                opened.login_with_password(login.user, login.password, _VERSION, _ORIGINATOR)
            except BaseException as error:
                opened("close")()
                master = master_of(error) if isinstance(error, Exception) else None
                if master is None:
                    raise
                log.debug("%s: %s is not the master, %s is", self.name, address, master)
                address = address_of(master)
                continue
            # The client would keep the password and log in by itself, also in the midst of a write.
            opened.last_login_method, opened.last_login_params = "", None
            return opened
        raise UnreachableError(f"{self.name}: no host of the pool says that it is the master")
