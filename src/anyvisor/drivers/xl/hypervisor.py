# SPDX-License-Identifier: Apache-2.0
"""Xen's dom0 as the one that knows its VMs, whatever made them: xl, or libvirt on top of the same library."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anyvisor.drivers.xl.vifs import OWN_ID, received, vifs, watched
from anyvisor.drivers.xl.xenstore import Xenstore
from anyvisor.errors import UnreachableError
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor
from anyvisor.model.names import HostName, Mac
from anyvisor.model.vnic import Counters, Vnic
from anyvisor.netlink.links import read_links

if TYPE_CHECKING:
    from anyvisor.contracts.hypervisor import HypervisorDriver

log = logging.getLogger(__name__)

VERSION = Path("/sys/hypervisor/version")
_AGAIN_SECONDS = 2.0
"""How long a watcher that lost xenstored waits before it tries again."""


class XlHypervisor:
    """Dom0, which this program runs in: called `host`, whatever its own name is.

    xenstored, whose socket is `path`, may be away when this is made: each look makes a connection of its own. `version`
    is where the kernel tells Xen's version.
    """

    def __init__(self, host: HostName, *, path: str, version: Path = VERSION) -> None:
        self._host = host
        self._path = path
        self._version = version

    def hosts(self) -> Mapping[HostName, Host]:
        """This host with Xen's version. What else a plan needs stands in the site file.

        Raises:
            UnreachableError: this is no Xen, or the kernel does not tell.
        """
        try:
            parts = [(self._version / part).read_text().strip() for part in ("major", "minor", "extra")]
        except OSError as error:
            raise UnreachableError(f"{self._host}: no Xen is seen from here: {error}") from error
        version = f"{parts[0]}.{parts[1]}{parts[2] if parts[2].startswith('.') else ''}"
        return {self._host: Host(name=self._host, hypervisor=Hypervisor.XEN, version=version)}

    def vnics(self, host: HostName) -> tuple[Vnic, ...]:
        """The vifs of the domains that run now.

        Raises:
            UnreachableError: xenstored does not answer; nobody may conclude that there are no vNICs.
        """
        if host != self._host:
            return ()
        with Xenstore(self._path) as store:
            return tuple(vifs(store))

    def arriving(self, host: HostName) -> frozenset[str]:
        """The domains that `xl migrate` is sending here.

        Raises:
            UnreachableError: xenstored does not answer.
        """
        if host != self._host:
            return frozenset()
        with Xenstore(self._path) as store:
            return received(store)

    def counters(self, host: HostName) -> Mapping[Mac, Counters]:
        """What the kernel counted on the vifs that this domain serves.

        Raises:
            UnreachableError: xenstored does not answer.
            RetryableError, TerminalError: the kernel does not list its devices.
        """
        devices = {vnic.device: vnic.mac for vnic in self.vnics(host) if vnic.device is not None}
        links = read_links() if devices else {}
        return {mac: links[device].counters for device, mac in devices.items() if device in links}

    def watch(self, notify: Callable[[HostName], None]) -> AbstractContextManager[None]:
        """Tell, from a thread of its own, when a domain or a vif came or went."""
        return self._watching(notify)

    @contextmanager
    def _watching(self, notify: Callable[[HostName], None]) -> Iterator[None]:
        watcher = _Watcher(self._path, lambda: notify(self._host))
        watcher.start()
        try:
            yield
        finally:
            watcher.end()


class _Watcher(threading.Thread):
    def __init__(self, path: str, tell: Callable[[], None]) -> None:
        super().__init__(name="xenstore", daemon=True)
        self._path = path
        self._tell = tell
        self._ends = threading.Event()
        self._open: Xenstore | None = None
        self._lost = False
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._ends.is_set():
            try:
                self._follow()
            except UnreachableError as error:
                if not self._ends.is_set() and not self._lost:
                    log.warning("%s; vNICs are looked at in turn until it is back", error)
                self._lost = True
            self._ends.wait(_AGAIN_SECONDS)

    def end(self) -> None:
        """Stop, also in the midst of waiting."""
        self._ends.set()
        with self._lock:
            if self._open is not None:
                self._open.interrupt()
        self.join()

    def _follow(self) -> None:
        with Xenstore(self._path) as store:
            with self._lock:
                self._open = store
            try:
                store.watch(watched(store.read(OWN_ID)))
                if self._lost:
                    log.info("xenstored is back at %s", self._path)
                    self._lost = False
                while not self._ends.is_set():
                    store.next_event(seconds=None)
                    self._tell()
            finally:
                with self._lock:
                    self._open = None


if TYPE_CHECKING:
    _conforms: type[HypervisorDriver] = XlHypervisor
