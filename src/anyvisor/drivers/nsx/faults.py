# SPDX-License-Identifier: Apache-2.0
"""What an answer of NSX means for the caller, in our own words."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

import urllib3

from anyvisor.errors import AnyvisorError, ConflictError, RetryableError, TerminalError, UnreachableError

_IN_USE = frozenset({500030, 503040})
"""Error codes: it is referenced, or has children; a segment has vNICs."""
_STALE = frozenset({500087, 500232, 100148})
"""It was written by somebody else since it was read; most often the status says so, too."""
_PENDING = frozenset({500045})
"""An object of that name is still being removed."""
_LICENCE = 505
_LONGEST_WAIT = 600.0

RIGHTS = (
    "full access to Segments, Groups and Distributed Firewall, read access to Inventory and Transport Zones"
)


class InUseError(RetryableError):
    """Something cannot be removed, since somebody still uses it."""


def of_answer(begin: str, status: int, headers: Mapping[str, str], data: bytes) -> AnyvisorError:
    """The error for an answer that is none of success."""
    said = _said(data)
    match status:
        case 403 if _LICENCE in _codes(data):
            return TerminalError(f"{begin}: the licence does not allow it{said}")
        case 401 | 403:
            return TerminalError(
                f"{begin}: the account lacks the right to it{said}", hint=f"it needs {RIGHTS}"
            )
        case 404:
            return ConflictError(f"{begin}: it is gone{said}")
        case 409 | 412:
            return ConflictError(f"{begin}: somebody else changed it meanwhile{said}")
        case 429 | 503:
            return RetryableError(f"{begin}: NSX is busy{said}", after=_wait(headers.get("Retry-After")))
        case 400 if _codes(data) & _IN_USE:
            return InUseError(f"{begin}: it is still in use{said}")
        case 400 if _codes(data) & _STALE:
            return ConflictError(f"{begin}: somebody else changed it meanwhile{said}")
        case 400 if _codes(data) & _PENDING:
            return RetryableError(f"{begin}: what it replaces is still being removed{said}")
        case _ if status >= 500:
            return RetryableError(f"{begin}: NSX failed inside, status {status}{said}")
    return TerminalError(f"{begin}: NSX refuses it, status {status}{said}")


def of_connection(where: str, doing: str, error: Exception) -> AnyvisorError:
    """The error for no answer at all."""
    begin = f"{where}: {doing}"
    reason = _innermost(error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return TerminalError(
            f"{where}: its certificate is not trusted: {reason.verify_message}",
            hint="name the certificate authority's file, or sha256: and the certificate's thumbprint, in `ca`",
        )
    if isinstance(error, urllib3.exceptions.SSLError) and "ingerprint" in str(error):
        return TerminalError(
            f"{where}: its certificate is another than the one in `ca`",
            hint="if it was renewed, put the new thumbprint into `ca`",
        )
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # the library counts it as a time-out
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)) and not refused:
        return UnreachableError(f"{begin}: no answer in time")
    return UnreachableError(f"{begin}: no connection: {reason}")


def _innermost(error: BaseException) -> BaseException:
    for each in (*error.args, error.__cause__):
        if isinstance(each, OSError):
            return _innermost(each)
    return error


def _said(data: bytes) -> str:
    body = _body(data)
    text = str(body.get("error_message") or body.get("details") or "").strip().rstrip(".")
    for each in body.get("related_errors") or ():
        text += f"; {str(each.get('error_message', '')).strip().rstrip('.')}"
    if not text:
        return ""
    code = body.get("error_code")
    return f": {text} (error {code})" if code else f": {text}"


def _codes(data: bytes) -> set[Any]:
    body = _body(data)
    return {body.get("error_code"), *(each.get("error_code") for each in body.get("related_errors") or ())}


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _wait(text: str | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if isfinite(seconds) else None
