# SPDX-License-Identifier: Apache-2.0
"""The files with which one side of an OVSDB connection shows who it is, and knows whom it talks to."""

from __future__ import annotations

from dataclasses import dataclass

KEYS = ("private_key", "certificate", "ca_certificate")
"""The three settings; they are given together or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Absolute paths of PEM files. `ca_certificate` is the authority that signed the other side's certificate."""

    private_key: str
    certificate: str
    ca_certificate: str
