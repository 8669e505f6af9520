# SPDX-License-Identifier: Apache-2.0
"""Speaking to one address of a pool: TLS, time-outs, one request at a time, each sent once. No login yet."""

from __future__ import annotations

import hashlib
import hmac
import time
import xmlrpc.client
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyvisor.access.trust import Trust
from anyvisor.drivers.xapi.api import Client
from anyvisor.errors import TerminalError

if TYPE_CHECKING:
    from _typeshed import SizedBuffer

_IDLE_SECONDS = 5.0
"""A connection unused for longer is not used again: servers close theirs without a word."""


def address_of(url: str) -> str:
    """``HOST`` or ``HOST:PORT`` of ``https://HOST[:PORT]``, or of a bare address.

    Raises:
        TerminalError: that is not the address of a pool.
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise TerminalError(f"{url}: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.path.strip("/"):
        raise TerminalError(f"{url} is not the address of a pool's master", hint="https://HOST")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if port is None else f"{host}:{port}"


def client(address: str, trust: Trust, timeout_seconds: float) -> Any:
    """The vendor's client for that address. Nothing is sent yet."""
    return Client(f"https://{address}/", transport=_Transport(trust, timeout_seconds))


class _Transport(xmlrpc.client.SafeTransport):
    def __init__(self, trust: Trust, timeout_seconds: float) -> None:
        super().__init__(context=trust.context)
        self._trust = trust
        self._timeout = timeout_seconds
        self._used = time.monotonic()

    def request(
        self,
        host: Any,
        handler: str,
        request_body: SizedBuffer,
        verbose: bool = False,  # noqa: FBT001, FBT002 - theirs
    ) -> Any:
        """Once. The library would send again what was cut off, though it may have been done."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self.close()
        try:
            return self.single_request(host, handler, request_body, verbose)
        finally:
            self._used = time.monotonic()

    def make_connection(self, host: Any) -> HTTPSConnection:
        known, kept = self._connection
        if known == host and isinstance(kept, HTTPSConnection):
            return kept
        address, self._extra_headers, _ = self.get_host_info(host)
        made = _Connection(self._trust, address, self._timeout)
        self._connection = host, made
        return made


class _Connection(HTTPSConnection):
    """With a pinned certificate it speaks to nobody but its holder; nothing is sent before that is known."""

    def __init__(self, trust: Trust, host: str, timeout_seconds: float) -> None:
        super().__init__(host, context=trust.context, timeout=timeout_seconds)
        self._thumbprint = trust.thumbprint

    def connect(self) -> None:
        super().connect()
        if self._thumbprint is None:
            return
        shown: bytes = self.sock.getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(shown).hexdigest()
        if not hmac.compare_digest(digest, self._thumbprint):
            self.close()
            raise TerminalError(
                f"{self.host}: its certificate is another than the one in `ca`: sha256:{digest}",
                hint="every host of a pool has its own: name the master in `url`, or a certificate authority in `ca`",
            )
