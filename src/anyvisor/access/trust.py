# SPDX-License-Identifier: Apache-2.0
"""Which certificate is believed: one of the system's authorities, of a file's, or one by its thumbprint."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

from anyvisor.errors import TerminalError

_PIN = "sha256:"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Trust:
    """`thumbprint` is checked after the handshake and before anything is sent; the context then checks nothing."""

    context: ssl.SSLContext
    thumbprint: str | None = None


def trust(ca: str | None) -> Trust:
    """From ``ca`` of the site file: nothing, a path, or ``sha256:`` and a thumbprint.

    Raises:
        TerminalError: the file cannot be read, or the thumbprint is none.
    """
    if ca is not None and ca.lower().startswith(_PIN):
        digest = ca[len(_PIN) :].replace(":", "").strip().lower()
        if not _DIGEST.fullmatch(digest):
            raise TerminalError(f"{ca} is not a SHA-256 thumbprint: it has 64 hexadecimal digits")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return Trust(context, digest)
    try:
        return Trust(ssl.create_default_context(cafile=ca))
    except (OSError, ssl.SSLError) as error:
        raise TerminalError(f"{ca}: the certificate authority's file cannot be used: {error}") from error
