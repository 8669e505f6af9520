# SPDX-License-Identifier: Apache-2.0
"""One connection to a libvirtd: made when it is needed, made anew when it broke, its errors translated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from anyvisor.drivers.libvirt.events import library
from anyvisor.errors import TerminalError, UnreachableError

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEEPALIVE_SECONDS, _KEEPALIVE_MISSED = 5, 3
"""A libvirtd that is stuck ends every call after 15 seconds, instead of holding it for ever."""


class Connection:
    """Used by one thread at a time; `changed` is called from libvirt's own thread when a vNIC may have come or gone."""

    def __init__(self, uri: str, changed: Callable[[], None]) -> None:
        self.uri = uri
        self._changed = changed
        self._open: Any = None

    def ask(self, question: Callable[[Any], T]) -> T:
        """Give the open connection to `question`.

        Raises:
            UnreachableError: libvirtd does not answer, or ended meanwhile.
            TerminalError: Python's libvirt module is not installed.
        """
        try:
            libvirt = library()
        except ImportError as error:
            raise TerminalError(
                "Python's libvirt module is not installed", hint="apt-get install python3-libvirt"
            ) from error
        try:
            if self._open is None or not self._open.isAlive():
                self.close()
                self._open = self._connect(libvirt)
            return question(self._open)
        except libvirt.libvirtError as error:
            self.close()
            raise UnreachableError(f"{self.uri}: {error}") from error

    def close(self) -> None:
        """End it; the next question makes a new one. Closing twice is no error."""
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            opened.close()
        except library().libvirtError as error:
            log.debug("%s: could not be closed: %s", self.uri, error)

    def _connect(self, libvirt: Any) -> Any:
        opened = libvirt.openReadOnly(self.uri)
        try:
            opened.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_MISSED)
        except libvirt.libvirtError as error:
            log.debug("%s: no keep-alive: %s", self.uri, error)  # drivers inside this process need none
        opened.registerCloseCallback(lambda *_: self._changed(), None)
        for kind in (
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
        ):
            opened.domainEventRegisterAny(None, kind, lambda *_: self._changed(), None)
        return opened
