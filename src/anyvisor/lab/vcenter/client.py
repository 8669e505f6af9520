# SPDX-License-Identifier: Apache-2.0
"""Giving orders to the program that plays vCenter, through its unix socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.lab.vcenter.model import State, read_state


class RefusedError(TerminalError):
    """The program does not do that; its words say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a port or NIC has counted since it was connected, seen from the VM. Totals include multicast and broadcast.

    The key is "switch-uuid/port" of a distributed port, "vm-key/nic-key" of a NIC.
    """

    key: str
    tx_bytes: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    rx_packets: int = 0
    tx_multicast_bytes: int = 0
    rx_multicast_bytes: int = 0
    tx_multicast_packets: int = 0
    rx_multicast_packets: int = 0
    tx_broadcast_bytes: int = 0
    rx_broadcast_bytes: int = 0
    tx_broadcast_packets: int = 0
    rx_broadcast_packets: int = 0
    tx_dropped: int = 0
    rx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault to come. `fault` is a type of vSphere's, or "cut"; `http` a bare status; neither: only a delay."""

    method: str  # "*": every one
    fault: str = ""
    object: str = ""  # only calls on this object
    http: int = 0
    count: int = 1  # below 0: for ever
    skip: int = 0  # so many calls pass first
    delay_seconds: float = 0.0
    after: bool = False  # the work is done, the answer is lost
    in_task: bool = False  # the call succeeds, its task fails


class _Connection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """The control API. Every call is a connection of its own, so that threads may share an object.

    Raises, from every method:
        UnreachableError: the program does not answer.
        RefusedError: it says no.
    """

    def __init__(self, path: Path, *, patience_seconds: float = 30.0) -> None:
        self.path = path
        self._patience = patience_seconds

    def state(self) -> State:
        """The whole world."""
        return read_state(self._ask("GET", "/state"))

    def wait(self, known: State, *, seconds: float) -> State:
        """What changed since then, as soon as anything did; after that time also if nothing did."""
        query = urlencode({"after": known.generation, "instance": known.instance, "timeout": seconds})
        return read_state(self._ask("GET", f"/state?{query}", patience=self._patience + seconds))

    def push(
        self, *, ports: Iterable[Counters] = (), nics: Iterable[Counters] = (), at: float = 0.0
    ) -> tuple[str, ...]:
        """Set counters; a distributed port's are its NIC's, too. The keys that nothing has come back.

        `at` is the time they were read, in seconds since 1970; 0 is now.
        """
        body = {"at": at, "ports": [asdict(c) for c in ports], "nics": [asdict(c) for c in nics]}
        return tuple(self._ask("POST", "/counters", body)["unknown"])

    def inject(self, fault: Fault) -> int:
        """Let a fault come; its number."""
        return int(self._ask("POST", "/faults", asdict(fault))["id"])

    def struck(self, number: int) -> int:
        """How many calls that fault has struck."""
        faults = self._ask("GET", "/faults")["faults"]
        return next((int(fault["struck"]) for fault in faults if fault["id"] == number), 0)

    def clear_faults(self) -> None:
        """No fault comes any more."""
        self._ask("DELETE", "/faults")

    def calls(self) -> Mapping[str, int]:
        """How often each method of the vSphere API was called, by whomever, since the program began."""
        return {name: int(count) for name, count in self._ask("GET", "/calls")["calls"].items()}

    def pins(self) -> Mapping[str, Any]:
        """What clusters and hosts say of single VMs: groups, rules, overrides by cluster, autostart by host."""
        return self._ask("GET", "/pins")

    def drop_sessions(self) -> int:
        """Log everybody out; how many that were."""
        return int(self._ask("POST", "/sessions/drop")["dropped"])

    def freeze(self) -> None:
        """Answer no client until thawed."""
        self._ask("POST", "/freeze")

    def thaw(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._ask("POST", "/thaw")

    def set(self, **settings: Any) -> None:
        """Change settings: vmotion_seconds, ha_seconds, task_seconds, tools, port_statistics."""
        self._ask("POST", "/settings", settings)

    def host(self, name: str, **change: Any) -> None:
        """Change a host: power (dies, returns), connection (lost, disconnected, back), maintenance."""
        self._ask("POST", f"/hosts/{quote(name)}", change)

    def vm(self, name: str, **change: Any) -> Mapping[str, Any]:
        """Change a VM: power (dies, on, off, reset), guest (tools, host_name, ip_address), move_to (as DRS would)."""
        return self._ask("POST", f"/vms/{quote(name)}", change)

    def migrations(self, do: str, *, vm: str = "", fault: str = "", count: int = 1) -> None:
        """Let migrations to come fail or hang; or let those that hang proceed; or clear all such orders."""
        self._ask("POST", "/migrations", {"do": do, "vm": vm, "fault": fault, "count": count})

    def _ask(
        self, method: str, path: str, body: Any = None, *, patience: float | None = None
    ) -> dict[str, Any]:
        connection = _Connection(self.path, patience if patience is not None else self._patience)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            response = connection.getresponse()
            said = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise UnreachableError(f"the vCenter's control socket {self.path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise RefusedError(f"vCenter's control: {said.get('error', response.reason)}")
        return dict(said)
