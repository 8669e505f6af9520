# SPDX-License-Identifier: Apache-2.0
"""OpenFlow to the bridges of this machine, by `ovs-ofctl` on their management sockets."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from anyvisor.errors import RetryableError, UnreachableError
from anyvisor.model.vnic import Counters

_TIMEOUT_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_GREETING_BYTES = 1024
"""A greeting may list versions; one that is not read to its end makes the other side complain."""
_HELLO = struct.pack("!BBHI", 5, 0, 8, 1)
"""OpenFlow 1.4 and all before it; no elements."""
_FLOW = re.compile(
    r"cookie=(?P<cookie>0x[0-9a-f]+), .*?n_packets=(?P<packets>\d+), n_bytes=(?P<bytes>\d+),"
    r"(?P<rest>.*?) actions=(?P<actions>.*)$"
)
_PORT = re.compile(r"^\s+port\s+(\d+): rx pkts=(\d+), bytes=(\d+)")
_SENT = re.compile(r"^\s+tx pkts=(\d+), bytes=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow as it stands in a table, with what it has counted."""

    cookie: int
    match: str
    actions: str
    packets: int = 0
    bytes: int = 0


class OpenFlow:
    """The bridges whose management sockets are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def beside(cls, remote: str) -> OpenFlow | None:
        """The bridges of the Open vSwitch whose database is at `remote`; None if that is not on this machine."""
        method, _, path = remote.partition(":")
        return cls(Path(path).parent) if method == "unix" else None

    def flows(self, bridge: str) -> tuple[Flow, ...]:
        """All flows of a bridge."""
        text = self._ofctl("--no-names", "dump-flows", self._socket(bridge))
        return parse_flows(text)

    def change(self, bridge: str, lines: Iterable[str]) -> None:
        """Add and delete flows in one bundle: all or none. Lines as `ovs-ofctl add-flows` reads them."""
        text = "".join(f"{line}\n" for line in lines)
        if text:
            self._ofctl("--bundle", "add-flows", self._socket(bridge), "-", text=text)

    def ports(self, bridge: str) -> Mapping[int, Counters]:
        """What is counted now per OpenFlow port, seen from what is behind it."""
        return parse_ports(self._ofctl("--no-names", "dump-ports", self._socket(bridge)))

    def flow_count(self, bridge: str) -> int:
        """How many flows a bridge has."""
        text = self._ofctl("dump-aggregate", self._socket(bridge))
        found = re.search(r"flow_count=(\d+)", text)
        return int(found.group(1)) if found is not None else 0

    def fault(self, bridge: str) -> str | None:
        """Why ovs-vswitchd does not answer for a bridge; None if it does. Costs one connection.

        Both sides greet (OpenFlow 1.4, section 7.5.1): a daemon that hangs still gets connections, but does not greet,
        and one that is left without a greeting complains in its log.
        """
        where = self._folder / f"{bridge}.mgmt"
        try:
            folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
            try:
                # By its folder's descriptor: a socket's address holds 107 bytes only.
                _greet(f"/proc/self/fd/{folder}/{where.name}")
            finally:
                os.close(folder)
        except FileNotFoundError:
            return f"there is no {where}: ovs-vswitchd does not run, or could not make {bridge}"
        except ConnectionRefusedError:
            return f"ovs-vswitchd does not run: nobody listens at {where}"
        except (TimeoutError, BlockingIOError):
            return f"ovs-vswitchd hangs: no answer at {where} within {_ANSWER_SECONDS:g} s"
        except OSError as error:
            return f"ovs-vswitchd does not answer at {where}: {error}"
        return None

    def _socket(self, bridge: str) -> str:
        return f"unix:{self._folder}/{bridge}.mgmt"

    def _ofctl(self, *arguments: str, text: str | None = None) -> str:
        command = ["ovs-ofctl", "-O", "OpenFlow14", *arguments]
        try:
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreachableError(f"{' '.join(command)}: {error}") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or [""]
            message = f"{' '.join(command)}: {said[-1]}"
            if "failed to connect" in done.stderr or "connecting to" in done.stderr:
                raise UnreachableError(message)
            raise RetryableError(message)
        return done.stdout


def _greet(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        probe.connect(address)
        if not probe.recv(_GREETING_BYTES):
            raise ConnectionResetError("it hung up")
        probe.sendall(_HELLO)


def parse_flows(text: str) -> tuple[Flow, ...]:
    """The flows in the output of ``ovs-ofctl dump-flows``."""
    found = (_FLOW.search(line) for line in text.splitlines())
    return tuple(
        Flow(
            cookie=int(flow["cookie"], 16),
            # Figures are separated by ", ", the parts of a match by "," alone: the match is the last of them.
            match=flow["rest"].split(", ")[-1].strip(),
            actions=flow["actions"],
            packets=int(flow["packets"]),
            bytes=int(flow["bytes"]),
        )
        for flow in found
        if flow is not None
    )


def parse_ports(text: str) -> dict[int, Counters]:
    """The ports in the output of ``ovs-ofctl dump-ports``, but for the bridge's own."""
    found: dict[int, Counters] = {}
    number: int | None = None
    received = (0, 0)
    for line in text.splitlines():
        if (port := _PORT.match(line)) is not None:
            number, received = int(port[1]), (int(port[2]), int(port[3]))
        elif (sent := _SENT.match(line)) is not None and number is not None:
            found[number] = Counters(
                tx_packets=received[0], tx_bytes=received[1], rx_packets=int(sent[1]), rx_bytes=int(sent[2])
            )
            number = None
    return found
