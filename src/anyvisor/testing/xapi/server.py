# SPDX-License-Identifier: Apache-2.0
"""The master of a pool on a port of loopback, and hosts of it that send everybody to the master."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from xmlrpc.client import dumps, loads
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from anyvisor.testing.nsx.certificate import Certificate, made
from anyvisor.testing.xapi.methods import Methods
from anyvisor.testing.xapi.pool import Pool
from anyvisor.testing.xapi.refusing import RefusedError
from anyvisor.testing.xapi.troubles import Trouble, Troubles

USER, PASSWORD = "anyvisor", "s3cret-word"
_LOGIN = "session.login_with_password"


class FakeXapi:
    """`calls` are the methods served so far. `slave_of` is another server's address: then every login is sent there.

    `rights` are what the account may do (None: it is the local superuser, who may do everything).
    """

    def __init__(
        self,
        folder: Path,
        pool: Pool | None = None,
        *,
        certificate: Certificate | None = None,
        slave_of: str = "",
    ) -> None:
        self.pool = pool or Pool()
        self.troubles = Troubles()
        self.calls: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.rights: tuple[str, ...] | None = None
        self.slave_of = slave_of
        self.certificate = certificate or made(folder)
        self._methods = Methods(self.pool)
        self._sessions: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """As ``HOST_IS_SLAVE`` names it; a real one has no port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://{self.address}"

    @property
    def sessions(self) -> int:
        """How many logins last."""
        return len(self._sessions)

    @property
    def writes(self) -> list[str]:
        """The calls so far that may have changed something."""
        return [
            name for name in self.calls if not name.startswith(("session.", "event.")) and ".get_" not in name
        ]

    def close(self) -> None:
        """Stop answering."""
        self.end_sessions()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def end_sessions(self) -> None:
        """As after a restart of the toolstack. Who waits for events is told so."""
        with self.pool.records.lock:
            self._sessions.clear()
        self.pool.records.wake()

    def forget_events(self) -> None:
        """Tokens given so far are of no use any more."""
        with self.pool.records.lock:
            self.pool.records.forgotten = self.pool.records.generation
            self.pool.records.change("pool", self.pool.ref)

    def act(self, method: str, *params: Any) -> Any:
        """What somebody else does through the API of the same pool."""
        with self.pool.records.lock:
            return self._methods.call(method, params)

    def answer(self, method: str, params: tuple[Any, ...], trouble: Trouble | None) -> dict[str, Any]:
        """What goes back for one call."""
        refusal = RefusedError(*trouble.code) if trouble is not None else None
        if trouble is not None and trouble.kind == "refuse" and refusal is not None:
            return refusal.answer
        half = refusal if trouble is not None and trouble.kind == "half" else None
        try:
            return {"Status": "Success", "Value": self._served(method, params, half)}
        except RefusedError as refused:
            return refused.answer

    def _served(self, method: str, params: tuple[Any, ...], half: RefusedError | None) -> Any:
        if method == _LOGIN:
            return self._log_in(params)
        if not params or params[0] not in self._sessions:
            raise RefusedError("SESSION_INVALID", str(params[0] if params else ""))
        session, rest = params[0], params[1:]
        match method:
            case "session.logout":
                self._sessions.discard(session)
                return ""
            case "session.get_is_local_superuser":
                return self.rights is None
            case "session.get_rbac_permissions":
                return list(self.rights or ())
            case "event.from":
                return self._events(session, rest)
        if self.slave_of:
            raise RefusedError("HOST_IS_SLAVE", self.slave_of)
        if self.rights is not None and ".get_" not in method and method.lower() not in self.rights:
            raise RefusedError("RBAC_PERMISSION_DENIED", method, "")
        with self.pool.records.lock:
            self._methods.half = half
            try:
                return self._methods.call(method, rest)
            finally:
                self._methods.half = None

    def _log_in(self, params: tuple[Any, ...]) -> str:
        if not 2 <= len(params) <= 4:
            raise RefusedError("MESSAGE_PARAMETER_COUNT_MISMATCH", _LOGIN, "4", str(len(params)))
        if self.slave_of:
            raise RefusedError("HOST_IS_SLAVE", self.slave_of)
        self.logins.append((params[0], params[1]))
        if params[:2] != (USER, PASSWORD):
            raise RefusedError("SESSION_AUTHENTICATION_FAILED", params[0], "Authentication failure")
        session = f"OpaqueRef:{uuid.uuid4()}"
        self._sessions.add(session)
        return session

    def _events(self, session: str, params: tuple[Any, ...]) -> Any:
        if len(params) != 3:
            raise RefusedError("MESSAGE_PARAMETER_COUNT_MISMATCH", "event.from", "4", str(len(params) + 1))
        classes, token, seconds = params
        if not isinstance(classes, list) or not isinstance(token, str) or not isinstance(seconds, float):
            raise RefusedError("FIELD_TYPE_ERROR", "event.from")
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = self.pool.records.since(classes, token, min(left, 0.2))
            if session not in self._sessions:
                raise RefusedError("SESSION_INVALID", session)
            if found["events"] or left <= 0.2:
                return found


class _Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], xapi: FakeXapi) -> None:
        super().__init__(address, _Handler, logRequests=False, allow_none=False)
        self.xapi = xapi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""


class _Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc_paths = ("/", "/RPC2")
    timeout = 60
    wbufsize = -1  # an answer goes out in one piece, or the client's kernel waits before it acknowledges
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        """Serve one call, with its trouble."""
        assert isinstance(self.server, _Server)
        xapi = self.server.xapi
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        params, method = loads(data.decode())
        name = str(method)
        trouble = xapi.troubles.of(name)
        xapi.calls.append(name)
        if trouble is not None and trouble.kind == "cut-before":
            self._cut()
            return
        if trouble is not None and trouble.kind == "ended":
            xapi.end_sessions()
        if trouble is not None and trouble.kind == "late":
            time.sleep(trouble.seconds)
        answer = xapi.answer(name, params, trouble)
        if trouble is not None and trouble.kind == "cut-after":
            self._cut()
            return
        body = dumps((answer,), methodresponse=True).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
