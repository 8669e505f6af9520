# SPDX-License-Identifier: Apache-2.0
"""Speaking to one NSX manager: TLS, one session, pages, time-outs. It knows no object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from anyvisor.access.credentials import Login
from anyvisor.access.trust import Trust
from anyvisor.drivers.nsx import faults
from anyvisor.errors import RetryableError, TerminalError

PAGE_SIZE = 1000
_SESSION = "/api/session"
_ENDED = frozenset({401, 403})
"""How NSX answers when a session is over; a missing right is a 403, too."""
_ERRORS = (urllib3.exceptions.HTTPError, OSError)


class Client:
    """Used by one thread at a time. Logs in when it is first asked, and once more when the session ended."""

    def __init__(self, name: str, url: str, trust: Trust, login: Callable[[], Login], seconds: float) -> None:
        """`seconds` bound each connection and each wait for an answer. Raises TerminalError for a bad address."""
        self._name = name
        self._origin = _origin(url)
        self._login = login
        self._session: dict[str, str] | None = None
        # The thumbprint is checked by the library on each connection, before anything is sent on it.
        self._pool = urllib3.PoolManager(
            ssl_context=trust.context,
            assert_fingerprint=trust.thumbprint,
            timeout=urllib3.Timeout(connect=min(seconds, 10.0), read=seconds),
            retries=False,
        )

    def close(self) -> None:
        """Log out. Closing twice is no error."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(*_ERRORS):  # else it ends by itself after half an hour
                self._pool.request("GET", f"{self._origin}{_SESSION}/destroy", headers=session, timeout=5.0)
        self._pool.clear()

    def pages(self, place: str, doing: str) -> Iterator[dict[str, Any]]:
        """All objects of a list, however many pages it has. `doing` says in errors what was tried.

        Raises:
            AnyvisorError: no answer, or one of refusal.
        """
        cursor = ""
        seen: set[str] = set()
        count, total = 0, None
        while True:
            query = {"page_size": str(PAGE_SIZE)} | ({"cursor": cursor} if cursor else {})
            page = self._ask("GET", f"{place}?{urlencode(query)}", doing)
            results = page.get("results") or ()
            yield from results
            count += len(results)
            total = page.get("result_count", total)  # the first page says it
            cursor = str(page.get("cursor") or "")
            if not cursor or not results or (total is not None and count >= total):
                return  # the last page may have a cursor, too
            if cursor in seen:
                raise RetryableError(f"{self._name}: {doing}: the pages go in a circle")
            seen.add(cursor)

    def patch(self, place: str, body: Mapping[str, Any], doing: str) -> None:
        """Write. Raises AnyvisorError; after UnreachableError nobody knows whether it was done."""
        self._ask("PATCH", place, doing, json.dumps(body).encode())

    def _ask(self, method: str, place: str, doing: str, data: bytes | None = None) -> dict[str, Any]:
        fresh = self._session is None
        answer = self._send(method, place, doing, data)
        if answer.status in _ENDED and not fresh:
            self._session = None
            answer = self._send(method, place, doing, data)
        if not 200 <= answer.status < 300:
            raise faults.of_answer(f"{self._name}: {doing}", answer.status, answer.headers, answer.data)
        try:
            body = json.loads(answer.data or b"{}")
        except ValueError as error:
            raise RetryableError(f"{self._name}: {doing}: the answer is not JSON") from error
        return body if isinstance(body, dict) else {}

    def _send(self, method: str, place: str, doing: str, data: bytes | None) -> urllib3.BaseHTTPResponse:
        if self._session is None:
            self._session = self._log_in()
        headers = {**self._session, "Accept": "application/json", "Content-Type": "application/json"}
        return self._request(method, place, doing, data, headers)

    def _log_in(self) -> dict[str, str]:
        login = self._login()
        form = urlencode({"j_username": login.user, "j_password": login.password}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._request("POST", f"{_SESSION}/create", "logging in", form, headers)
        if answer.status in _ENDED:
            raise TerminalError(f"{self._name}: it does not accept the user name or the password")
        if answer.status != 200:
            raise faults.of_answer(f"{self._name}: logging in", answer.status, answer.headers, answer.data)
        cookies = [each.partition(";")[0] for each in answer.headers.getlist("Set-Cookie")]
        token = answer.headers.get("X-XSRF-TOKEN", "")
        if not cookies or not token:
            raise TerminalError(f"{self._name}: it gives no session: is this the address of an NSX manager?")
        return {"Cookie": "; ".join(cookies), "X-XSRF-TOKEN": token}

    def _request(
        self, method: str, place: str, doing: str, data: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method, f"{self._origin}{place}", body=data, headers=dict(headers), redirect=False
            )
        except _ERRORS as error:
            raise faults.of_connection(self._name, doing, error) from error


def _origin(url: str) -> str:
    """``https://HOST[:PORT]``; whatever path there is, is left out."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        _ = parts.port
    except ValueError as error:
        raise TerminalError(f"{url}: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise TerminalError(f"{url} is not the address of an NSX manager", hint="https://HOST")
    return f"https://{parts.netloc}"
