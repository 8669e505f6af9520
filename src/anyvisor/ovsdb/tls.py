# SPDX-License-Identifier: Apache-2.0
"""TLS of OVSDB connections: the files of this process, and a stream that says why it was refused.

`ovs` keeps key and certificates per process, not per connection, and reads them anew for each connection: a renewed
certificate is used from the next one on. Of a failed handshake it keeps no more than an error number, and files that
it cannot use end its caller; `TlsStream` does better. The other side's certificate is always verified against the
authority. Its name is not compared with the remote: certificates of OVSDB name no hosts (see ``ovs-pki``).
"""

from __future__ import annotations

import errno
import logging
import select
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ovs.stream

from anyvisor.errors import TerminalError
from anyvisor.model.tls import TlsFiles

log = logging.getLogger(__name__)

METHOD = "ssl:"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection came to nothing. `lasting`: only a person can change that."""

    reason: str
    lasting: bool


_refusals: dict[str, Refusal] = {}
"""By remote, of the last attempt. Like the files it belongs to the process."""


def use_tls(files: TlsFiles | None) -> None:
    """Have all ``ssl:`` connections of this process that are made from now on use these files; None: none.

    Raises:
        TerminalError: a file cannot be used, or others than its owner can read the key.
    """
    if files is not None:
        check(files)
    ovs.stream.Stream.ssl_set_private_key_file(files.private_key if files is not None else None)
    ovs.stream.Stream.ssl_set_certificate_file(files.certificate if files is not None else None)
    ovs.stream.Stream.ssl_set_ca_cert_file(files.ca_certificate if files is not None else None)


def check(files: TlsFiles) -> None:
    """See to it that the files can be read, belong together, and keep the key to their owner.

    Raises:
        TerminalError: names the file, and what to do.
    """
    for path in (files.private_key, files.certificate, files.ca_certificate):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise TerminalError(f"{path} cannot be read: {error.strerror}") from error
    mode = stat.S_IMODE(Path(files.private_key).stat().st_mode)
    if mode & _OTHERS:
        raise TerminalError(
            f"{files.private_key} is a private key, and others than its owner may use it (mode {mode:04o})",
            hint=f"chmod 600 {files.private_key}",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(files.ca_certificate)
    except OSError as error:
        raise TerminalError(f"{files.ca_certificate} holds no certificate in PEM form: {error}") from error
    try:
        # Without an answer of ours the library would ask the terminal.
        context.load_cert_chain(files.certificate, files.private_key, password="")
    except OSError as error:
        raise TerminalError(
            f"{files.certificate} and {files.private_key} cannot be used together: {error}",
            hint="both are PEM files; the key has no passphrase and is the one that the certificate was made for",
        ) from error


def in_use() -> TlsFiles | None:
    """What `use_tls` was given last."""
    key = ovs.stream.Stream._SSL_private_key_file  # noqa: SLF001 - `ovs` has a setter and no getter
    if key is None:
        return None
    return TlsFiles(
        private_key=key,
        certificate=ovs.stream.Stream._SSL_certificate_file,  # noqa: SLF001
        ca_certificate=ovs.stream.Stream._SSL_ca_cert_file,  # noqa: SLF001
    )


def refuse_without_files(remotes: Iterable[str]) -> None:
    """Raises TerminalError if one of the remotes needs files that this process was not given."""
    named = [remote for remote in remotes if remote.startswith(METHOD)]
    if named and in_use() is None:
        raise TerminalError(
            f"{named[0]} needs TLS, and no private key is set",
            hint="set private_key, certificate and ca_certificate (file, ANYVISOR_PRIVATE_KEY … or --private-key …)",
        )


def refusals(remotes: Iterable[str]) -> dict[str, Refusal]:
    """Those of the remotes that TLS kept us from, with why."""
    return {remote: said for remote in remotes if (said := _refusals.get(remote)) is not None}


def forget(remotes: Iterable[str]) -> None:
    """A new attempt: what was refused before says nothing."""
    for remote in remotes:
        _refusals.pop(remote, None)


class TlsStream(ovs.stream.SSLStream):  # type: ignore[misc]
    """What `ovs` uses for ``ssl:`` here. It also waits for what the handshake waits for, where `ovs` would spin, and
    sees bytes that were read from the socket already but not from TLS."""

    def __init__(self, socket: Any, name: str, status: int, *args: Any, **keywords: Any) -> None:
        super().__init__(socket, name, status, *args, **keywords)
        self._under_way = False
        self._established = False
        self._wanted = select.POLLIN

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        try:
            opened: tuple[int, Any] = ovs.stream.SSLStream._open(suffix, dscp)  # noqa: SLF001
        except (OSError, TypeError) as error:  # a file is gone, or no longer what it was
            reason = f"our own key or certificates cannot be used: {error}"
            _note(METHOD + suffix, Refusal(reason, lasting=True))
            return errno.EPROTO, None
        return opened

    def connect(self) -> int:
        """0 when the handshake is through, EAGAIN while it is under way, else an error number."""
        error = int(ovs.stream.Stream.connect(self))
        if error or self._established:
            return error
        self._under_way = True
        try:
            self.socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
            self._wanted = select.POLLIN if isinstance(want, ssl.SSLWantReadError) else select.POLLOUT
            return errno.EAGAIN
        except OSError as failure:
            _note(self.name, _refusal(failure))
            return errno.EPROTO
        self._established = True
        return 0

    def recv(self, n: int) -> tuple[int, Any]:
        """As the parent; with TLS 1.3 a server that refuses our certificate is heard here."""
        try:
            error, data = self._recv(n)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return errno.EAGAIN, ""
        except ssl.SSLZeroReturnError:
            return 0, ""
        except ssl.SSLError as failure:
            _note(self.name, _refusal(failure))
            return errno.EPROTO, ""
        except OSError as failure:
            return failure.errno or errno.EPROTO, ""
        if data:
            _refusals.pop(self.name, None)
        return error, data

    def send(self, buf: Any) -> int:
        """As the parent."""
        try:
            return int(self._send(buf))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return -errno.EAGAIN
        except OSError as failure:
            self.recv(1)  # who closed the connection may have said why
            return -(failure.errno or errno.EPROTO)

    def wait(self, poller: Any, wait: int) -> None:
        """As the parent."""
        if self._under_way and not self._established:
            poller.fd_wait(self.socket, self._wanted)
        elif wait == self.W_RECV and self._established and self.socket.pending():
            poller.immediate_wake()
        else:
            super().wait(poller, wait)


def _refusal(failure: OSError) -> Refusal:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return Refusal(f"its certificate is not trusted: {failure.verify_message}", lasting=True)
    said = (failure.reason or "") if isinstance(failure, ssl.SSLError) else ""
    if "_ALERT_" in said:
        alert = said.partition("_ALERT_")[2].lower().replace("_", " ")
        return Refusal(f"it refuses our certificate: {alert}", lasting=True)
    if isinstance(failure, ssl.SSLEOFError | ConnectionError):
        return Refusal("it broke off the TLS handshake; does it speak TLS on this port?", lasting=False)
    return Refusal(f"the TLS handshake failed: {failure}", lasting=False)


def _note(remote: str, refusal: Refusal) -> None:
    if _refusals.get(remote) != refusal:
        log.warning("%s: %s", remote, refusal.reason)
    _refusals[remote] = refusal


ovs.stream.Stream.register_method(METHOD.rstrip(":"), TlsStream)
