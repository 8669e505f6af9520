# SPDX-License-Identifier: Apache-2.0
"""What devlink says of the cards of this machine, by the ``devlink`` program of iproute2 (devlink(8))."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.card import Eswitch, FunctionKind, Representor
from anyvisor.model.names import Mac

_TIMEOUT_SECONDS = 10.0
_PHYSICAL = "physical"
_NO_DEVLINK = "Failed to connect to devlink"
"""What the program says in a kernel that was built without it."""
_NOBODY = "00:00:00:00:00:00"
"""What a function has as its address before anybody gave it one."""


class _RefusedError(TerminalError):
    """The program is there, and ended with a failure."""


class Devlink:
    """`command` is the program with what goes before its arguments."""

    def __init__(self, command: Sequence[str] = ("devlink",)) -> None:
        self._command = tuple(command)

    def devices(self) -> tuple[str, ...]:
        """The bus addresses of the cards that have a devlink instance.

        Raises:
            TerminalError: there is no such program, or this kernel has no devlink.
            RetryableError: it fails, or does not end.
        """
        return tuple(sorted(self._all("dev", "show").get("dev", {})))

    def eswitch(self, device: str) -> Eswitch:
        """The mode of its switch. One whose driver has no switch to set is `UNKNOWN`."""
        try:
            shown = self._ask("dev", "eswitch", "show", device)
        except TerminalError:
            return Eswitch.UNKNOWN
        mode = shown.get("dev", {}).get(device, {}).get("mode")
        return Eswitch(mode) if mode in set(Eswitch) else Eswitch.UNKNOWN

    def about(self, device: str) -> tuple[str, str | None]:
        """Its driver and the serial number of its board; empty and None where the driver tells nothing.

        The board's is the number on the card, and in its vital product data: what Nova calls ``card_serial_number``.
        """
        try:
            shown = self._ask("dev", "info", device).get("info", {}).get(device, {})
        except TerminalError:
            return "", None
        serial = shown.get("board.serial_number") or shown.get("serial_number")
        return str(shown.get("driver", "")), str(serial) if serial else None

    def ports(self) -> Mapping[str, tuple[tuple[str, ...], tuple[Representor, ...]]]:
        """Per card the devices of its physical ports, and its representors.

        Raises:
            TerminalError: there is no such program, or this kernel has no devlink.
            RetryableError: it fails, or does not end.
        """
        return parse_ports(self._all("port", "show"))

    def _all(self, *arguments: str) -> Mapping[str, Any]:
        """Of a question that names no card the kernel can refuse nothing: a failure says nothing of the cards."""
        try:
            return self._ask(*arguments)
        except _RefusedError as error:
            if _NO_DEVLINK in str(error):
                raise
            raise RetryableError(str(error)) from error

    def _ask(self, *arguments: str) -> Mapping[str, Any]:
        argv = [*self._command, "-j", *arguments]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise RetryableError(f"{' '.join(argv)} does not end") from error
        except OSError as error:
            raise TerminalError(f"{argv[0]}: {error.strerror}", hint="install iproute2") from error
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise _RefusedError(f"{' '.join(argv)}: {said}")
        try:
            shown = json.loads(done.stdout or "{}")
        except ValueError as error:
            raise RetryableError(f"{' '.join(argv)} prints no JSON: {error}") from error
        return shown if isinstance(shown, dict) else {}


def parse_ports(shown: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], tuple[Representor, ...]]]:
    """The same from the document of ``devlink -j port show``. Ports without a network device are left out."""
    found: dict[str, tuple[list[str], list[Representor]]] = {}
    for handle, port in sorted(shown.get("port", {}).items()):
        physical, representors = found.setdefault(handle.rpartition("/")[0], ([], []))
        device = port.get("netdev")
        if device and port.get("flavour") == _PHYSICAL:
            physical.append(device)
        elif device and port.get("flavour") in set(FunctionKind):
            representors.append(_representor(port))
    return {
        card: (tuple(sorted(physical)), tuple(_ordered(representors)))
        for card, (physical, representors) in found.items()
    }


def _representor(port: Mapping[str, Any]) -> Representor:
    address = str(port.get("function", {}).get("hw_addr", _NOBODY)).lower()
    number = port.get("vfnum", port.get("sfnum"))
    return Representor(
        device=str(port["netdev"]),
        kind=FunctionKind(port["flavour"]),
        pf=int(port.get("pfnum", 0)),
        number=None if number is None else int(number),
        controller=int(port.get("controller", 0)),
        mac=None if address == _NOBODY else Mac(address),
    )


def _ordered(representors: list[Representor]) -> Iterator[Representor]:
    yield from sorted(representors, key=lambda r: (r.controller, r.pf, r.kind, r.number or 0, r.device))
