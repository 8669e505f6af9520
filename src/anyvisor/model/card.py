# SPDX-License-Identifier: Apache-2.0
"""A network card that can switch, as the kernel of the machine that drives it shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anyvisor.model.names import Mac


class Eswitch(StrEnum):
    """The mode of a card's switch (devlink-dev(8): eswitch)."""

    SWITCHDEV = "switchdev"
    """Each function has a representor; what no rule of the card takes comes up to it."""
    LEGACY = "legacy"
    """The card forwards by MAC address alone, and nobody can program it."""
    UNKNOWN = "unknown"
    """The driver does not say."""


class FunctionKind(StrEnum):
    """What a representor stands for (devlink-port(8): flavour)."""

    PF = "pcipf"
    VF = "pcivf"
    SF = "pcisf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Representor:
    """The device that stands for one function of a card. A frame that it receives is one that the function sent.

    `number` is the function's among those of its kind (from 0), None for a physical function. `controller` is which
    machine the function belongs to: 0 the one that drives the card, on a DPU 1 its host. `mac` is the function's
    address as whoever gave it to a VM has set it, None where nobody has.
    """

    device: str
    kind: FunctionKind
    pf: int
    number: int | None = None
    controller: int = 0
    mac: Mac | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchingCard:
    """One card. `address` is its bus address in devlink's words (``pci/0000:03:00.0``); `serial` the board's."""

    address: str
    driver: str = ""
    serial: str | None = None
    eswitch: Eswitch = Eswitch.UNKNOWN
    ports: tuple[str, ...] = ()
    """The devices of its physical ports."""
    representors: tuple[Representor, ...] = ()

    @property
    def functions(self) -> tuple[Representor, ...]:
        """Those that may be given to a VM."""
        return tuple(each for each in self.representors if each.kind is not FunctionKind.PF)
