# SPDX-License-Identifier: Apache-2.0
"""A card as the one that knows its host's vNICs: each is a function, and its representor is what can be plugged.

It is the same on a DPU (this program runs on the card) and in host mode (it runs on the host that drives the card).
That a function was given to a VM shows in its address, which whoever starts the VM sets; nothing of the host is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from anyvisor.drivers.smartnic.cards import Cards
from anyvisor.model.card import SwitchingCard
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic
from anyvisor.netlink.links import change_link, read_links
from anyvisor.netlink.watch import watching_links
from anyvisor.planner.cards import function_vnics

if TYPE_CHECKING:
    from anyvisor.contracts.host import SwitchingCards
    from anyvisor.contracts.hypervisor import HypervisorDriver


class SmartNicHypervisor:
    """The cards that this machine drives, as those of `host`."""

    def __init__(self, host: HostName, cards: Cards) -> None:
        self._host = host
        self._cards = cards

    def cards(self) -> tuple[SwitchingCard, ...]:
        """The cards as they are now.

        Raises:
            RetryableError: the kernel does not answer.
        """
        return self._cards.read()

    def bring_up(self, devices: Collection[str]) -> None:
        """See to it that these representors are up.

        Raises:
            RetryableError: one went away meanwhile.
        """
        links = read_links() if devices else {}
        for device in sorted(devices):
            if device in links and not links[device].up:
                change_link(device, state="up")

    def hosts(self) -> Mapping[HostName, Host]:
        """None: from a card its host is not to be seen. The site file describes it."""
        return {}

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """The functions that were given to VMs, by their representors."""
        return function_vnics(self.cards()) if host == self._host else ()

    def arriving(self, host: HostName) -> frozenset[str]:  # noqa: ARG002 - of the contract
        """Nothing is told of that here."""
        return frozenset()

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What was counted on each representor: by drivers that offload, with what never left the card."""
        devices = {vnic.device: vnic.mac for vnic in self.vnics(host) if vnic.device is not None}
        links = read_links() if devices else {}
        return {mac: links[device].counters for device, mac in devices.items() if device in links}

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Tell of each burst of changes to this machine's devices. That a function's address was set is no such
        change: the next look in turn sees it."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[HostName], None]) -> Iterator[None]:
        with watching_links(lambda: notify(self._host)):
            yield


if TYPE_CHECKING:
    _conforms: type[HypervisorDriver] = SmartNicHypervisor
    _also: type[SwitchingCards] = SmartNicHypervisor
