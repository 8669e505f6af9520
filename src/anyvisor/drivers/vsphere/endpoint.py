# SPDX-License-Identifier: Apache-2.0
"""Speaking to one address: TLS, time-outs, and the newest version of the API that both sides know. No login yet."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import partial
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from anyvisor.access.trust import Trust
from anyvisor.drivers.vsphere.api import Stub, types, vim
from anyvisor.errors import TerminalError

_FIRST_VERSION = "vim.version.version10"  # 6.0, the oldest that we work with
_IDLE_SECONDS = 20
"""A connection unused for longer is not used again: servers close theirs without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a vCenter or an ESXi host answers."""

    host: str
    port: int
    path: str
    trust: Trust
    timeout_seconds: float

    def stub(self) -> Any:
        """A new way to it, without connection or login."""
        stub = Stub(
            host=self.host,
            port=self.port,
            path=self.path,
            version=_FIRST_VERSION,
            sslContext=self.trust.context,
            httpConnectionTimeout=self.timeout_seconds,
            connectionPoolTimeout=_IDLE_SECONDS,
        )
        if self.trust.thumbprint is not None:
            # pyVmomi would check a thumbprint on the first of its connections only.
            stub.scheme = partial(_PinnedConnection, self.trust.thumbprint)
        return stub


def endpoint(url: str, trust: Trust, timeout_seconds: float) -> Endpoint:
    """From ``https://HOST[:PORT][/sdk]`` or a bare host name.

    Raises:
        TerminalError: the address is not one.
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        port = parts.port or 443
    except ValueError as error:
        raise TerminalError(f"{url}: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise TerminalError(f"{url} is not the address of a vCenter", hint="https://HOST/sdk")
    path = parts.path if parts.path.strip("/") else "/sdk"
    return Endpoint(host=parts.hostname, port=port, path=path, trust=trust, timeout_seconds=timeout_seconds)


def content_of(stub: Any) -> Any:
    """What the other side has, asked in the newest version that both know."""
    instance = vim.ServiceInstance("ServiceInstance", stub)
    stub.ComputeVersionInfo(best_version(instance.RetrieveContent().about.apiVersion))
    return instance.RetrieveContent()


def best_version(theirs: str) -> str:
    """pyVmomi's name of the newest version of the API that is not newer than `theirs`."""
    known = {_numbers(number): name for name, number in _versions().items() if _numbers(number)}
    usable = [number for number in known if number <= _numbers(theirs)]
    return known[max(usable)] if usable else _FIRST_VERSION


def _versions() -> dict[str, str]:
    every: dict[str, str] = types.versionIdMap
    return {name: number for name, number in every.items() if name.startswith("vim.version.")}


def _numbers(text: str) -> tuple[int, ...]:
    """To compare by; 7.0 and 7.0.0.0 are the same. Empty for what is no number (2.5u2, previews)."""
    parts = text.split(".")
    if not all(part.isdigit() for part in parts):
        return ()
    return (*(int(part) for part in parts), 0, 0, 0, 0)[:4]


class _PinnedConnection(HTTPSConnection):
    """Speaks to nobody but the holder of one certificate; nothing is sent before that is known."""

    def __init__(self, thumbprint: str, **where: Any) -> None:
        super().__init__(**where)
        self._thumbprint = thumbprint

    def connect(self) -> None:
        super().connect()
        shown: bytes = self.sock.getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(shown).hexdigest()
        if not hmac.compare_digest(digest, self._thumbprint):
            self.close()
            raise TerminalError(
                f"{self.host}: its certificate is another than the one in `ca`: sha256:{digest}",
                hint="if it was renewed, put the new thumbprint into `ca`",
            )
