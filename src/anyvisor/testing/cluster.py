# SPDX-License-Identifier: Apache-2.0
"""The Anyvisor database on several ovsdb-servers that agree by Raft, in a temporary directory."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

from anyvisor.testing.daemons import Daemon, Scratch, database_server, run, wait_until
from anyvisor.testing.sandbox import schema

DATABASE = "Anyvisor"


class Cluster:
    """`members` servers on unix sockets for clients and loopback ports among themselves.

    A member's daemon can be killed and started again; it finds its place in the cluster by itself.
    """

    def __init__(self, members: int = 3) -> None:
        self._scratch = Scratch()
        self.directory = self._scratch.path
        self.servers: list[Daemon] = []
        addresses = [f"tcp:127.0.0.1:{port}" for port in _free_ports(members)]
        for number, address in enumerate(addresses):
            file = self._file(number)
            if number == 0:
                with schema("anyvisor") as path:
                    run("ovsdb-tool", "create-cluster", str(file), str(path), address)
            else:
                run("ovsdb-tool", "join-cluster", str(file), DATABASE, address, addresses[0])
            self.servers.append(database_server(self.directory, f"m{number}", [file]))

    @property
    def remote(self) -> str:
        """All members, as a client names them."""
        return ",".join(self.remote_of(number) for number in range(len(self.servers)))

    def remote_of(self, number: int) -> str:
        """One member."""
        return f"unix:{self.directory}/m{number}.sock"

    def start(self) -> Self:
        """Start all members and wait until each has joined."""
        for number, server in enumerate(self.servers):
            server.start()
            run("ovsdb-client", "--timeout=20", "wait", self.remote_of(number), DATABASE, "connected")
        return self

    def leader(self) -> int:
        """The number of the member that leads now, waiting for an election if need be."""
        found: list[int] = []

        def elected() -> bool:
            found[:] = [number for number in range(len(self.servers)) if self._leads(number)]
            return len(found) == 1

        wait_until(elected, "the cluster has one leader")
        return found[0]

    def _leads(self, number: int) -> bool:
        if not self.servers[number].running:
            return False
        with suppress(AssertionError):
            status = run(
                "ovs-appctl",
                "--timeout=5",
                "-t",
                f"{self.directory}/m{number}.ctl",
                "cluster/status",
                DATABASE,
            )
            return "Role: leader" in status
        return False

    def _file(self, number: int) -> Path:
        return self.directory / f"m{number}.db"

    def close(self) -> None:
        """End all members and remove the directory."""
        for server in self.servers:
            server.kill()
        self._scratch.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody uses now (Raft members reach each other by TCP alone)."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
