# SPDX-License-Identifier: Apache-2.0
"""The cards of this machine that can switch, put together from devlink, sysfs and the physical functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from anyvisor.drivers.smartnic import sysfs
from anyvisor.drivers.smartnic.devlink import Devlink
from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.card import Eswitch, FunctionKind, Representor, SwitchingCard
from anyvisor.model.names import Mac


class Cards:
    """Reads them anew at each call, but for what never changes of a card. One thread.

    `macs` gives what was set for the virtual functions of a physical one, by their number: for drivers of which devlink
    does not show that.
    """

    def __init__(
        self,
        devlink: Devlink,
        *,
        root: Path = sysfs.SYSFS,
        macs: Callable[[str], Mapping[int, Mac]] = lambda _: {},
    ) -> None:
        self._devlink = devlink
        self._root = root
        self._macs = macs
        self._about: dict[str, tuple[str, str | None]] = {}
        self._has_devlink = False

    def read(self) -> tuple[SwitchingCard, ...]:
        """Every card whose switch has a mode or whose functions have representors.

        Raises:
            RetryableError: the kernel does not answer now.
        """
        found = self._by_devlink()
        if not any(card.representors for card in found):
            # Ports of a card that devlink shows whole have a switch in sysfs, too: only functions are news.
            found = (*found, *(card for card in sysfs.cards(self._root) if card.representors))
        return tuple(self._addressed(card) for card in found)

    def _by_devlink(self) -> tuple[SwitchingCard, ...]:
        try:
            ports = self._devlink.ports()
            devices = sorted({*self._devlink.devices(), *ports})
        except TerminalError as error:
            if self._has_devlink:
                # sysfs knows no addresses: to read it instead would take every function from its VM.
                raise RetryableError(str(error), hint=error.hint) from error
            return ()  # a kernel or a machine without devlink
        self._has_devlink = True
        self._about = {device: about for device, about in self._about.items() if device in devices}
        cards = (self._card(device, *ports.get(device, ((), ()))) for device in devices)
        return tuple(card for card in cards if card.representors or card.eswitch is not Eswitch.UNKNOWN)

    def _card(
        self, device: str, physical: tuple[str, ...], representors: tuple[Representor, ...]
    ) -> SwitchingCard:
        if device not in self._about:
            self._about[device] = self._devlink.about(device)
        driver, serial = self._about[device]
        return SwitchingCard(
            address=device,
            driver=driver,
            serial=serial,
            # Without asking where it is known: only a switch in that mode has representors.
            eswitch=Eswitch.SWITCHDEV if representors else self._devlink.eswitch(device),
            ports=physical,
            representors=representors,
        )

    def _addressed(self, card: SwitchingCard) -> SwitchingCard:
        """With the addresses that only the physical function knows: of functions of this very machine."""
        lacking = {
            each.pf
            for each in card.representors
            if each.mac is None and each.kind is FunctionKind.VF and each.controller == 0
        }
        told = {pf: self._macs(device) for pf in lacking if (device := _physical(card, pf)) is not None}
        return replace(card, representors=tuple(_with_mac(each, told) for each in card.representors))


def _physical(card: SwitchingCard, pf: int) -> str | None:
    """The device of a physical function: a card has one per cable, or this is one of the functions of a card."""
    if len(card.ports) == 1:
        return card.ports[0]
    return card.ports[pf] if pf < len(card.ports) else None


def _with_mac(each: Representor, told: Mapping[int, Mapping[int, Mac]]) -> Representor:
    if each.mac is not None or each.kind is not FunctionKind.VF or each.number is None:
        return each
    mac = told.get(each.pf, {}).get(each.number) if each.controller == 0 else None
    return replace(each, mac=mac)
