# SPDX-License-Identifier: Apache-2.0
"""libvirt as the one that knows a host's VMs: domains, their interfaces, events, statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anyvisor.drivers.libvirt.connection import Connection
from anyvisor.drivers.libvirt.domain import counters_of, version_of, vnics_of
from anyvisor.drivers.libvirt.events import library
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic

if TYPE_CHECKING:
    from anyvisor.contracts.hypervisor import HypervisorDriver

_XEN = "Xen"
"""What libvirt's driver for Xen (libxl) calls itself; every other one here is QEMU's."""


class LibvirtHypervisor:
    """One libvirtd, which is one host: called `host` here, whatever the machine's own name is.

    Reads only, over a read-only connection. libvirtd may be down when this is made: every call connects if need be.
    """

    def __init__(self, uri: str, *, host: HostName) -> None:
        self._host = host
        self._watchers: list[Callable[[HostName], None]] = []
        self._connection = Connection(uri, self._tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def hosts(self) -> Mapping[HostName, Host]:
        """This host: its hypervisor and libvirt's version. What else a plan needs stands in the site file.

        Raises:
            UnreachableError: libvirtd does not answer.
        """

        def ask(opened: Any) -> Host:
            kind = Hypervisor.XEN if opened.getType() == _XEN else Hypervisor.KVM
            return Host(name=self._host, hypervisor=kind, version=version_of(opened.getLibVersion()))

        return {self._host: self._connection.ask(ask)}

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """The vNICs of the domains that run now.

        Raises:
            UnreachableError: libvirtd does not answer; nobody may conclude that there are no vNICs.
        """
        if host != self._host:
            return ()
        return tuple(
            replace(vnic, arriving=waits)
            for document, waits in self._connection.ask(_documents)
            for vnic in vnics_of(document)
        )

    def arriving(self, host: HostName) -> frozenset[str]:  # noqa: ARG002 - of the contract
        """Nothing that `vnics` does not tell: QEMU has a VM's devices from the first."""
        return frozenset()

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What libvirt counted per vNIC, seen from the guest; one call for all domains.

        Raises:
            UnreachableError: libvirtd does not answer.
        """
        devices = {vnic.device: vnic.mac for vnic in self.vnics(host) if vnic.device is not None}
        if not devices:
            return {}
        counted: dict[Mac, Counters] = {}
        for statistics in self._connection.ask(_statistics):
            for device, counters in counters_of(statistics).items():
                if device in devices:
                    counted[devices[device]] = counters
        return counted

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Tell, from libvirt's own thread, when a domain or one of its devices came or went, or libvirtd did."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[HostName], None]) -> Iterator[None]:
        self._watchers.append(notify)
        try:
            yield
        finally:
            self._watchers.remove(notify)

    def _tell(self) -> None:
        for notify in tuple(self._watchers):
            notify(self._host)


def _documents(opened: Any) -> list[tuple[str, bool]]:
    """Of each running domain its XML, and whether it is paused, as one is that another host sends."""
    libvirt = library()
    documents = []
    for domain in opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            state, _ = domain.state()
            documents.append((domain.XMLDesc(0), state == libvirt.VIR_DOMAIN_PAUSED))
        except libvirt.libvirtError as error:
            # It ended between the two calls: that is no fault of the connection.
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return documents


def _statistics(opened: Any) -> list[dict[str, Any]]:
    libvirt = library()
    found = opened.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_INTERFACE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    )
    return [statistics for _, statistics in found]


if TYPE_CHECKING:
    _conforms: type[HypervisorDriver] = LibvirtHypervisor
