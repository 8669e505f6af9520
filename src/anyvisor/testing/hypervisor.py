# SPDX-License-Identifier: Apache-2.0
"""A hypervisor whose VMs come and go as a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from anyvisor.errors import AnyvisorError
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic

if TYPE_CHECKING:
    from anyvisor.contracts.hypervisor import HypervisorDriver


class FakeHypervisor:
    """Put vNICs into `running` by host, VMs that arrive into `received`, counters into `counted`; `failure` makes
    every call fail."""

    def __init__(self) -> None:
        self.known: dict[HostName, Host] = {}
        self.running: dict[HostName, tuple[Vnic, ...]] = {}
        self.counted: dict[Mac, Counters] = {}
        self.received: dict[HostName, frozenset[str]] = {}
        self.failure: AnyvisorError | None = None
        self._watchers: list[Callable[[HostName], None]] = []

    def start(self, host: HostName, *vnics: Vnic) -> None:
        """Run these vNICs beside the others, and tell the watchers."""
        self.running[host] = (*self.running.get(host, ()), *vnics)
        for notify in self._watchers:
            notify(host)

    def stop(self, host: HostName, mac: Mac) -> None:
        """End one vNIC."""
        self.running[host] = tuple(vnic for vnic in self.running.get(host, ()) if vnic.mac != mac)
        for notify in self._watchers:
            notify(host)

    def hosts(self) -> Mapping[HostName, Host]:
        """What is in `known`."""
        self._maybe_fail()
        return dict(self.known)

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """What runs on that host."""
        self._maybe_fail()
        return self.running.get(host, ())

    def arriving(self, host: HostName) -> frozenset[str]:
        """What is in `received` for that host."""
        self._maybe_fail()
        return self.received.get(host, frozenset())

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What was counted for what runs."""
        self._maybe_fail()
        return {vnic.mac: self.counted.get(vnic.mac, Counters()) for vnic in self.running.get(host, ())}

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Tell of `start` and `stop`, in the caller's thread."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[HostName], None]) -> Iterator[None]:
        self._watchers.append(notify)
        try:
            yield
        finally:
            self._watchers.remove(notify)

    def _maybe_fail(self) -> None:
        if self.failure is not None:
            raise self.failure


if TYPE_CHECKING:
    _conforms: type[HypervisorDriver] = FakeHypervisor
