# SPDX-License-Identifier: Apache-2.0
"""A xenstored of our own for tests without Xen: the real protocol on a unix socket, over a tree in memory.

It reads, lists and watches for clients, which are in dom0 unless said otherwise; the test writes. As the real one does,
it tells of a watch once when it is set, puts the folder of the asking domain before a relative path, and answers what
is not there with ENOENT, and with EACCES what a domain other than dom0 may not see.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

_HEADER = struct.Struct("=IIII")
_DIRECTORY, _READ, _WATCH, _EVENT, _ERROR = 1, 2, 4, 15, 16
_MOST = 4096
_DOM0 = "/local/domain/0"


class FakeXenstore:
    """Serves from `start` to `stop`; both may be called again."""

    def __init__(self, path: Path, *, asked_by: int = 0) -> None:
        self.path = path
        self._own = f"/local/domain/{asked_by}"
        self._privileged = asked_by == 0
        self._lock = threading.RLock()
        self._tree: dict[str, str] = {f"{self._own}/domid": str(asked_by)}
        self._clients: list[_Client] = []
        self._listening: socket.socket | None = None
        self.asked = 0
        """How many requests were answered."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. What was written before is still there."""
        self.path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(self.path))
        self._listening.listen(16)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def stop(self) -> None:
        """End every connection, as when the daemon is killed."""
        listening, self._listening = self._listening, None
        if listening is not None:
            _shut(listening)
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            _shut(client.socket)
        self.path.unlink(missing_ok=True)

    def write(self, nodes: Mapping[str, str]) -> None:
        """Set values; who watches there or above is told."""
        with self._lock:
            self._tree |= nodes
            self._tell(nodes)

    def remove(self, path: str) -> None:
        """Remove a node with all that is below it."""
        with self._lock:
            gone = [one for one in self._tree if one == path or one.startswith(f"{path}/")]
            for one in gone:
                del self._tree[one]
            self._tell([path])

    def introduce(self, domain: int, name: str) -> None:
        """A domain begins."""
        self.write({f"/local/domain/{domain}/name": name})
        with self._lock:
            self._tell(["@introduceDomain"])

    def release(self, domain: int) -> None:
        """A domain has ended."""
        self.remove(f"/local/domain/{domain}")
        with self._lock:
            self._tell(["@releaseDomain"])

    def vif(self, domain: int, handle: int, mac: str, *, backend: int = 0, **more: str) -> None:
        """Give a domain a vif, served by `backend`, that its hotplug script is done with."""
        folder = f"/local/domain/{backend}/backend/vif/{domain}/{handle}"
        values = {"mac": mac, "state": "4", "handle": str(handle), "hotplug-status": "connected", **more}
        self.write({f"{folder}/{key}": value for key, value in values.items()})

    def unplug(self, domain: int, handle: int) -> None:
        """Take a vif away."""
        self.remove(f"{_DOM0}/backend/vif/{domain}/{handle}")

    def _tell(self, paths: Iterable[str]) -> None:
        for client in self._clients:
            for path in paths:
                for watch in client.watches:
                    if path == watch or path.startswith(f"{watch}/"):
                        client.send(_EVENT, 0, f"{path}\0{watch}\0".encode())

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            client = _Client(connection)
            with self._lock:
                self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: _Client) -> None:
        try:
            while (header := client.receive(_HEADER.size)) is not None:
                kind, request, _, length = _HEADER.unpack(header)
                body = client.receive(length)
                if length > _MOST or body is None:
                    break
                with self._lock:
                    self.asked += 1
                    self._answer(client, kind, request, body)
        except OSError:
            pass  # the client went away
        finally:
            with self._lock:
                if client in self._clients:
                    self._clients.remove(client)
            client.socket.close()

    def _answer(self, client: _Client, kind: int, request: int, body: bytes) -> None:
        path = body.split(b"\0")[0].decode()
        if not path.startswith(("/", "@")):
            path = f"{self._own}/{path}"
        if not self._privileged and path != self._own and not path.startswith(f"{self._own}/"):
            client.send(_ERROR, request, b"EACCES\0")
        elif kind == _WATCH:
            client.watches.append(path)
            client.send(kind, request, b"OK\0")
            client.send(_EVENT, 0, f"{path}\0{path}\0".encode())
        elif kind == _READ and path in self._tree:
            client.send(kind, request, self._tree[path].encode())
        elif kind == _DIRECTORY and (names := self._below(path)):
            client.send(kind, request, b"".join(name.encode() + b"\0" for name in names))
        else:
            known = kind in {_READ, _DIRECTORY}
            client.send(_ERROR, request, b"ENOENT\0" if known else b"ENOSYS\0")

    def _below(self, path: str) -> list[str]:
        start = f"{path}/"
        return sorted({one[len(start) :].partition("/")[0] for one in self._tree if one.startswith(start)})


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.watches: list[str] = []

    def send(self, kind: int, request: int, body: bytes) -> None:
        self.socket.sendall(_HEADER.pack(kind, request, 0, len(body)) + body)

    def receive(self, length: int) -> bytes | None:
        """So many bytes, None if the client has gone."""
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                return None
            data += more
        return data


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # nobody may be connected
        one.shutdown(socket.SHUT_RDWR)
    one.close()
