# SPDX-License-Identifier: Apache-2.0
"""A host that no manager reports: its vNICs are the network devices with the MACs that the site wants there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from anyvisor.drivers.listed.matching import match_devices
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic
from anyvisor.netlink.links import Link, read_links
from anyvisor.netlink.watch import watching_links

if TYPE_CHECKING:
    from anyvisor.contracts.hypervisor import HypervisorDriver


def _nothing_attached() -> Mapping[Mac, str]:
    return {}


class ListedHypervisor:
    """The network namespace that the program runs in, taken as one host.

    `wanted` gives the MACs to look for; `attached` the devices that a switch knows by their guest's MAC.
    """

    def __init__(
        self,
        host: HostName,
        wanted: Callable[[], Collection[Mac]],
        attached: Callable[[], Mapping[Mac, str]] = _nothing_attached,
    ) -> None:
        self._host = host
        self._wanted = wanted
        self._attached = attached

    def hosts(self) -> Mapping[HostName, Host]:
        """None: the site file describes the host."""
        return {}

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """The wanted vNICs that are there now."""
        devices = self._devices(host, read_links())
        return tuple(Vnic(mac=mac, device=device) for mac, device in sorted(devices.items()))

    def arriving(self, host: HostName) -> frozenset[str]:  # noqa: ARG002 - of the contract
        """Nothing is told of that here."""
        return frozenset()

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What the kernel counted on each device."""
        links = read_links()
        return {mac: links[device].counters for mac, device in self._devices(host, links).items()}

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Tell of each burst of changes to the namespace's devices."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[HostName], None]) -> Iterator[None]:
        with watching_links(lambda: notify(self._host)):
            yield

    def _devices(self, host: HostName, links: Mapping[str, Link]) -> dict[Mac, str]:
        if host != self._host:
            return {}
        return match_devices(links.values(), self._wanted(), self._attached())


if TYPE_CHECKING:
    _conforms: type[HypervisorDriver] = ListedHypervisor
