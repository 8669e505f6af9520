# SPDX-License-Identifier: Apache-2.0
"""``python -m anyvisor.lab.esxi.doorway DESCRIPTOR HOST PORT``: from outside of the lab to a server in it.

A socket stays in the network it was made in. So this process listens on a socket that was opened outside, while it runs
inside and connects there.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress


class Doorway:
    """Every connection that comes in gets one of its own to the server; bytes are passed as they are."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def serve(self, door: socket.socket) -> None:
        """Pass on for as long as the process lives."""
        server = await asyncio.start_server(self._pass_on, sock=door)
        async with server:
            await server.serve_forever()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        for one in (writer, far_writer):
            one.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source says no more; then so does the target."""
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
            return
    target.transport.abort()


def main(argv: Sequence[str]) -> int:
    """Serve until killed."""
    door = socket.socket(fileno=int(argv[0]))
    door.setblocking(False)
    asyncio.run(Doorway(argv[1], int(argv[2])).serve(door))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
