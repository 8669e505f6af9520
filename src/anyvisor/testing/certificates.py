# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests: made with openssl, gone with its directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from anyvisor.model.tls import TlsFiles
from anyvisor.testing.daemons import program


class Authority:
    """Signs keys. What it makes lies in `directory`; every key is its owner's alone."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = directory / "ca-key.pem"
        self.certificate = directory / "ca-cert.pem"
        self._request(self._key, self.certificate, directory.name, "-x509", "-days", "2")

    def issue(self, name: str) -> TlsFiles:
        """Key and certificate of somebody whom the authority vouches for."""
        key, request, certificate = (
            self._directory / f"{name}-{kind}.pem" for kind in ("key", "request", "cert")
        )
        self._request(key, request, name)
        certificate.write_bytes(self.sign(request.read_bytes()))
        return TlsFiles(
            private_key=str(key), certificate=str(certificate), ca_certificate=str(self.certificate)
        )

    def sign(self, request: bytes) -> bytes:
        """The certificate for a request, both in PEM form."""
        authority = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial"]
        return _openssl("x509", "-req", "-days", "1", *authority, given=request)

    def _request(self, key: Path, out: Path, name: str, *more: str) -> None:
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl("req", "-new", *kind, "-keyout", str(key), "-out", str(out), "-subj", f"/CN={name}", *more)
        key.chmod(0o600)


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        [program("openssl"), *arguments], input=given, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
