# SPDX-License-Identifier: Apache-2.0
"""anyvisord: waits for the lock, then works until it loses it or is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Mapping

from anyvisor import wiring
from anyvisor.errors import AnyvisorError, RetryableError
from anyvisor.model.site import Controller, Manager, Site
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.reconcile.backoff import Backoff
from anyvisor.settings import Settings

log = logging.getLogger(__name__)

_LOCK_SECONDS = 1.0
_HEALTH_SECONDS = 1.0


class Daemon:
    """One anyvisord. Packets do not need it: with it dead, what was attached stays attached and filtered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._backoff: Backoff[str] = Backoff()

    def run(self) -> None:
        """Run until `stop` or a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        wiring.secure(self._settings)
        wiring.ensure_database(self._settings)
        while not self._stopping.is_set():
            try:
                self._session()
                self._backoff.forget("session")
            except AnyvisorError as error:
                delay = self._backoff.after_failure("session")
                log.warning("%s; trying again in %.1f s", error, delay)
                self._stopping.wait(delay)
        log.info("stopped")

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    def _session(self) -> None:
        with wiring.open_store(self._settings, lock=True) as store:
            log.info("waiting for the lock %r on %s", wiring.LOCK, wiring.database_of(self._settings))
            while not self._stopping.is_set() and not store.wait_for_lock(_LOCK_SECONDS):
                pass
            if self._stopping.is_set():
                return
            log.info("active")
            self._wait_for_intent(store)
            if not self._stopping.is_set():
                self._work(store)

    def _wait_for_intent(self, store: OvsdbStore) -> None:
        while not self._stopping.is_set() and store.snapshot().site.controller is None:
            if not store.has_lock:
                raise RetryableError("lost the lock while waiting for a first intent")
            self._stopping.wait(_HEALTH_SECONDS)

    def _work(self, store: OvsdbStore) -> None:
        begun = _surroundings(store.snapshot().site)
        with wiring.open_works(store, self._settings) as works:
            while not self._stopping.is_set():
                works.runner.step(_HEALTH_SECONDS)
                if not store.has_lock:
                    log.warning("lost the lock: another anyvisord is, or will be, active")
                    return
                if _surroundings(store.snapshot().site) != begun:
                    log.info("the site names another controller, or other managers, now")
                    return


def _surroundings(site: Site) -> tuple[Controller | None, Mapping[str, Manager]]:
    """What the engine is connected to: another one needs another engine."""
    return site.controller, site.managers
