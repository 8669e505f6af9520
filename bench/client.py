# SPDX-License-Identifier: Apache-2.0
"""Somebody else's OVSDB client: raw transactions over a unix socket, so cheap that they do not disturb the figures."""

from __future__ import annotations

import json
import socket
from typing import Any, Self

_decoder = json.JSONDecoder()


class Client:
    """One connection. A request is prepared, then sent, then answered, in steps that can be timed apart."""

    def __init__(self, remote: str, database: str) -> None:
        self._database = database
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(remote.removeprefix("unix:"))

    def prepare(self, *operations: object) -> bytes:
        """The request as it goes over the wire."""
        request = {"method": "transact", "params": [self._database, *operations], "id": 1}
        return json.dumps(request).encode()

    def send(self, request: bytes) -> None:
        """Send it, without waiting for the answer."""
        self._socket.sendall(request)

    def answer(self) -> list[Any]:
        """The results; RuntimeError if an operation failed."""
        text = ""
        while True:
            text += self._socket.recv(1 << 16).decode()
            try:
                reply, _ = _decoder.raw_decode(text)
            except ValueError:
                continue
            results: list[Any] = reply["result"]
            if reply["error"] or any(result and "error" in result for result in results):
                raise RuntimeError(f"the transaction failed: {reply}")
            return results

    def transact(self, *operations: object) -> list[Any]:
        """All three steps."""
        self.send(self.prepare(*operations))
        return self.answer()

    def close(self) -> None:
        """Give the connection up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
