# SPDX-License-Identifier: Apache-2.0
"""The manager on a port of loopback: sessions, pages, routes, troubles."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from anyvisor.testing.nsx.certificate import Certificate, made
from anyvisor.testing.nsx.intent import Intent
from anyvisor.testing.nsx.refusing import RefusedError, invalid, missing
from anyvisor.testing.nsx.troubles import STATUS, Trouble, Troubles

USER, PASSWORD = "anyvisor", "s3cret-word"
POLICY = "/policy/api/v1"


class FakeNsx:
    """`page` is the largest page it gives. `requests` are those served so far, as (method, path).

    The rest of the world acts through `plug`, `unplug` and `intent`.
    """

    def __init__(self, folder: Path, *, page: int = 2, certificate: Certificate | None = None) -> None:
        self.intent = Intent()
        self.troubles = Troubles()
        self.requests: list[tuple[str, str]] = []
        self.page = page
        self.certificate = certificate or made(folder)
        self._lock = threading.RLock()
        self._sessions: dict[str, str] = {}
        self._vifs: dict[str, dict[str, str]] = {}
        self.logins: list[tuple[str, str]] = []
        """User names and passwords that were shown to it."""
        self._server = _Server(("127.0.0.1", 0), self)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def sessions(self) -> int:
        """How many logins last."""
        return len(self._sessions)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def end_sessions(self) -> None:
        """As after half an hour without a request."""
        with self._lock:
            self._sessions.clear()

    def plug(self, segment: str, mac: str, attachment: str | None = None) -> str:
        """What happens when vCenter plugs a vNIC into the port group of a segment: the path of the new segment port."""
        with self._lock:
            if segment not in self.intent.objects:
                raise missing(segment)
            key = attachment or str(uuid.uuid4())
            path = f"{segment}/ports/default:{uuid.uuid4()}"
            port = {"id": key, "traffic_tag": 0, "hyperbus_mode": "DISABLE"}
            body = {
                "resource_type": "SegmentPort",
                "display_name": f"vm.vmx@{key}",
                "attachment": port,
                "admin_state": "UP",
            }
            self.intent.put(path, body, revision=False)
            self._vifs[key] = {
                "mac_address": mac,
                "lport_attachment_id": key,
                "resource_type": "VirtualNetworkInterface",
            }
            return path

    def unplug(self, path: str) -> None:
        """The vNIC is taken out, and its segment port goes with it."""
        with self._lock:
            held = self.intent.objects.pop(path)
            self._vifs.pop(held["attachment"]["id"], None)

    def forget_vifs(self) -> None:
        """The inventory of vNICs is empty for the moment, as after a restart of the manager."""
        with self._lock:
            self._vifs.clear()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], data: bytes
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body for one request."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with self._lock:
            try:
                if parts.path == "/api/session/create":
                    return self._log_in(method, data)
                self._check_session(headers)
                if parts.path == "/api/session/destroy":
                    self._sessions.pop(_cookie(headers), None)
                    return 200, {}, None
                return 200, {}, self._serve(method, unquote(parts.path), query, data)
            except RefusedError as refused:
                return refused.status, {}, refused.body

    def _log_in(self, method: str, data: bytes) -> tuple[int, dict[str, str], Any]:
        form = {name: values[0] for name, values in parse_qs(data.decode()).items()}
        shown = (form.get("j_username", ""), form.get("j_password", ""))
        self.logins.append(shown)
        if method != "POST" or shown != (USER, PASSWORD):
            raise RefusedError(
                403, 403, "The credentials were incorrect or the account specified has been locked."
            )
        cookie, token = secrets.token_hex(16), secrets.token_hex(16)
        self._sessions[cookie] = token
        return (
            200,
            {"Set-Cookie": f"JSESSIONID={cookie}; Path=/; Secure; HttpOnly", "X-XSRF-TOKEN": token},
            None,
        )

    def _check_session(self, headers: Mapping[str, str]) -> None:
        token = self._sessions.get(_cookie(headers))
        if token is None:
            raise RefusedError(
                403, 403, "The credentials were incorrect or the account specified has been locked."
            )
        if headers.get("X-XSRF-TOKEN") != token:
            raise RefusedError(403, 98, "Bad XSRF token")

    def _serve(self, method: str, path: str, query: Mapping[str, str], data: bytes) -> Any:
        if method == "GET" and path == "/api/v1/fabric/vifs":
            return self._paged(list(self._vifs.values()), query)
        if not path.startswith(POLICY):
            raise missing(path)
        place = path.removeprefix(POLICY)
        match method:
            case "GET" if place in self.intent.objects:
                return dict(self.intent.objects[place])
            case "GET":
                return self._list(place, query)
            case "PATCH" if place == "/infra":
                self.intent.patch(_body(data), revisions=query.get("enforce_revision_check") == "true")
            case "PUT":
                self.intent.put(place, _body(data))
            case "DELETE":
                self.intent.delete(place)
            case _:
                raise missing(path)
        return None

    def _list(self, place: str, query: Mapping[str, str]) -> dict[str, Any]:
        parent = place.rpartition("/")[0]
        fixed = ("/infra", "/infra/domains/default", "/infra/sites/default/enforcement-points/default")
        known = ("segments", "ports", "groups", "security-policies", "rules", "transport-zones")
        if place.rpartition("/")[2] not in known or (
            parent not in fixed and parent not in self.intent.objects
        ):
            raise missing(place)
        return self._paged(self.intent.listed(place), query)

    def _paged(self, found: list[Any], query: Mapping[str, str]) -> dict[str, Any]:
        start = int(query.get("cursor", "0").removeprefix("c"))
        size = min(self.page, int(query.get("page_size", "1000")))
        page: dict[str, Any] = {"results": found[start : start + size], "sort_ascending": True}
        if not start:
            page["result_count"] = len(found)
        if page["results"]:  # on the last page as well
            page["cursor"] = f"c{start + size:05}"
        return page


def _cookie(headers: Mapping[str, str]) -> str:
    return str(headers.get("Cookie", "")).partition("JSESSIONID=")[2].partition(";")[0]


def _body(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise invalid("the body is not JSON") from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], manager: FakeNsx) -> None:
        super().__init__(address, _Handler)
        self.manager = manager

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # an answer goes out in one piece, or the client's kernel waits before it acknowledges
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Silence."""

    def handle_request(self) -> None:
        """Serve one request, with its trouble."""
        manager = self.server.manager
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        trouble = manager.troubles.of(self.command, path)
        manager.requests.append((self.command, path))
        if trouble is not None and trouble.kind == "cut-before":
            self._cut()
            return
        if trouble is not None and trouble.kind == "ended":
            manager.end_sessions()
        if trouble is not None and trouble.kind == "slow":
            time.sleep(trouble.seconds)
        if trouble is not None and trouble.kind in STATUS:
            self._send(*_refusal(trouble))
            return
        status, headers, body = manager.answer(self.command, self.path, dict(self.headers.items()), data)
        if trouble is not None and trouble.kind == "cut-after":
            self._cut()
        else:
            self._send(status, headers, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 - the library's names

    def _send(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _refusal(trouble: Trouble) -> tuple[int, dict[str, str], dict[str, Any]]:
    status = STATUS[trouble.kind]
    headers = {"Retry-After": f"{trouble.seconds:.0f}"} if trouble.seconds else {}
    code = {412: 604, 403: 401}.get(status, status)
    return status, headers, RefusedError(status, code, f"trouble: {trouble.kind}").body
