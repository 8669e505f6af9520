# SPDX-License-Identifier: Apache-2.0
"""A certificate for loopback, signed by itself."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where it and its key lie."""

    certificate: Path
    key: Path

    @property
    def thumbprint(self) -> str:
        """SHA-256, as `ca` takes it."""
        shown = ssl.PEM_cert_to_DER_cert(self.certificate.read_text(encoding="ascii"))
        return f"sha256:{hashlib.sha256(shown).hexdigest()}"


def made(folder: Path) -> Certificate:
    """A new one in `folder`, by the program `openssl`."""
    paths = Certificate(folder / "nsx.pem", folder / "nsx.key")
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(paths.key), "-out", str(paths.certificate)]
    subprocess.run(["openssl", "req", "-x509", *options, *name, *files], check=True, capture_output=True)
    return paths
