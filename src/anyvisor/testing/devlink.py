# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the ``devlink`` program, for labs and tests: ``python -m anyvisor.testing.devlink STATE …``.

It keeps the cards in the JSON file STATE and obeys what the kernel's devlink does (devlink-dev(8), devlink-port(8)): a
card or port that is not there is refused, only a function has an address, a card in legacy mode has no representors.
It answers ``dev show``, ``dev info``, ``dev eswitch show|set``, ``port show`` and ``port function set`` in JSON.

STATE: ``{"CARD": {"driver", "serial", "mode", "ports": {"NUMBER": PORT}}}``, PORT as ``devlink -j port show`` has it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FUNCTIONS = frozenset({"pcipf", "pcivf", "pcisf"})
_ADDRESS_LENGTH = 17


class Refused(Exception):  # noqa: N818 - the kernel's answer, not a mistake of this program
    """What the kernel answers with."""


class Cards:
    """The cards in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cards: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def dev_show(self) -> Mapping[str, Any]:
        """``dev show``."""
        return {"dev": {name: {} for name in self._cards}}

    def dev_info(self, card: str) -> Mapping[str, Any]:
        """``dev info CARD``."""
        found = self._card(card)
        info = {"driver": found["driver"]}
        if found.get("serial"):
            info["board.serial_number"] = found["serial"]
        return {"info": {card: info}}

    def eswitch_show(self, card: str) -> Mapping[str, Any]:
        """``dev eswitch show CARD``."""
        return {"dev": {card: {"mode": self._card(card)["mode"], "inline-mode": "none"}}}

    def eswitch_set(self, card: str, word: str, mode: str) -> Mapping[str, Any]:
        """``dev eswitch set CARD mode MODE``."""
        if word != "mode" or mode not in {"legacy", "switchdev"}:
            raise Refused("Invalid argument")
        self._card(card)["mode"] = mode
        self._save()
        return {}

    def port_show(self) -> Mapping[str, Any]:
        """``port show``."""
        return {
            "port": {
                f"{name}/{number}": port
                for name, card in self._cards.items()
                for number, port in card["ports"].items()
                if card["mode"] == "switchdev" or port["flavour"] not in _FUNCTIONS
            }
        }

    def function_set(self, handle: str, word: str, address: str) -> Mapping[str, Any]:
        """``port function set CARD/NUMBER hw_addr MAC``."""
        name, _, number = handle.rpartition("/")
        port = self._card(name)["ports"].get(number)
        if port is None:
            raise Refused("No such device")
        if word != "hw_addr" or len(address) != _ADDRESS_LENGTH or port["flavour"] not in _FUNCTIONS:
            raise Refused("Invalid argument" if port["flavour"] in _FUNCTIONS else "Operation not supported")
        port.setdefault("function", {})["hw_addr"] = address
        self._save()
        return {}

    def _card(self, name: str) -> Any:
        if name not in self._cards:
            raise Refused("No such device")
        return self._cards[name]

    def _save(self) -> None:
        new = self._path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(self._cards), encoding="utf-8")
        new.replace(self._path)


def answer(path: Path, arguments: Sequence[str]) -> Mapping[str, Any]:
    """What the kernel answers to those words.

    Raises:
        Refused: as the kernel would.
    """
    cards = Cards(path)
    orders: Mapping[tuple[str, ...], Callable[..., Mapping[str, Any]]] = {
        ("dev", "eswitch", "show"): cards.eswitch_show,
        ("dev", "eswitch", "set"): cards.eswitch_set,
        ("dev", "show"): cards.dev_show,
        ("dev", "info"): cards.dev_info,
        ("port", "function", "set"): cards.function_set,
        ("port", "show"): cards.port_show,
    }
    words = tuple(arguments)
    for order, do in orders.items():
        if words[: len(order)] == order:
            try:
                return do(*words[len(order) :])
            except TypeError as error:
                raise Refused("Invalid argument") from error
    raise Refused(f'Command "{" ".join(words)}" not found')


def main() -> None:
    """Print the answer as JSON, or the kernel's refusal as devlink prints it, with status 1."""
    path, *words = sys.argv[1:]
    try:
        sys.stdout.write(f"{json.dumps(answer(Path(path), [word for word in words if word != '-j']))}\n")
    except Refused as refused:
        sys.stderr.write(f"kernel answers: {refused}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
