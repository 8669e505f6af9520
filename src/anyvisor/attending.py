# SPDX-License-Identifier: Apache-2.0
"""Which driver a manager is driven by, connected; and who attends it in the daemon.

Drivers are imported when a manager needs them: each stands on a library that need not be installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from anyvisor.contracts.entity import EntityDriver
from anyvisor.contracts.estate import EstateDriver
from anyvisor.errors import AnyvisorError, TerminalError
from anyvisor.model.names import ObjectKey
from anyvisor.model.site import Manager
from anyvisor.ovsdb.lazy import LazyReadings
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.reconcile import findings
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.entity import EntityReconciler, Polled
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.notices import MANAGER, say
from anyvisor.reconcile.tally import Tally
from anyvisor.reconcile.wishes import ApplianceWishes

ESTATE_DRIVERS = frozenset({"vsphere", "xapi"})
"""Of managers whose hosts are driven from here."""


class ConnectedEstate(EstateDriver, Protocol):
    """An estate driver that was logged in."""

    def close(self) -> None:
        """Log out."""


def connected_estate(manager: Manager, owner: str, *, answer_seconds: float | None = None) -> ConnectedEstate:
    """The driver of a manager in `ESTATE_DRIVERS`; `answer_seconds`: the patience of somebody who waits for it.

    Raises:
        TerminalError: it cannot be driven as it is described.
        UnreachableError: it does not answer.
    """
    if manager.driver == "xapi":
        try:
            from anyvisor.drivers.xapi import estate as xapi
        except ModuleNotFoundError as error:
            raise _not_installed(manager, error, "xen") from error
        pool = xapi.Patience() if answer_seconds is None else xapi.Patience(answer_seconds=answer_seconds)
        return xapi.XapiEstate.connect(manager, owner, patience=pool)
    try:
        from anyvisor.drivers.vsphere import estate as vsphere
    except ModuleNotFoundError as error:
        raise _not_installed(manager, error, "vsphere") from error
    patience = (
        vsphere.Patience() if answer_seconds is None else vsphere.Patience(answer_seconds=answer_seconds)
    )
    return vsphere.VsphereEstate.connect(manager, owner, patience=patience)


def _not_installed(manager: Manager, error: ModuleNotFoundError, extra: str) -> AnyvisorError:
    """Vendors' clients are extras: who has no such hosts installs none."""
    missing = str(error.name)
    if missing.partition(".")[0] == __package__.partition(".")[0]:
        raise error  # a part of anyvisor itself is not there: no extra brings it
    return TerminalError(
        f"{manager.name}: its driver needs the Python package {missing}, which is not installed here",
        hint=f"pip install 'anyvisor[{extra}]'",
    )


def estates(
    store: OvsdbStore, telemetry: str, tell: Callable[[ObjectKey], None]
) -> Iterator[Attendant[ConnectedEstate]]:
    """One for each manager of hosts that is driven from here; a libvirtd is its host's agent's business. `telemetry` is
    the remote of the telemetry database.
    """
    for manager in store.snapshot().site.managers.values():
        if manager.driver in ESTATE_DRIVERS:
            yield _attended(manager, store, LazyReadings(telemetry), tell)


def _attended(
    manager: Manager, store: OvsdbStore, readings: LazyReadings, tell: Callable[[ObjectKey], None]
) -> Attendant[ConnectedEstate]:
    def connect() -> ConnectedEstate:
        return connected_estate(manager, store.snapshot().owner)

    def serve(driver: ConnectedEstate) -> EstateReconciler:
        return EstateReconciler(
            manager.name,
            driver,
            store,
            wishes=ApplianceWishes(),
            clock=time.time,
            tell=tell,
            tally=Tally(driver, readings, clock=time.time),
        )

    def close(driver: ConnectedEstate) -> None:
        readings.close()
        driver.close()

    def failed(error: AnyvisorError) -> None:
        say(store, manager.name, findings.failed(MANAGER, error))

    return Attendant(manager.name, connect, serve, close=close, failed=failed)


def entities(store: OvsdbStore) -> Iterator[Attendant[Polled]]:
    """One for each vendor's own controller."""
    for manager in store.snapshot().site.managers.values():
        if manager.driver == "nsx":
            yield _nsx(manager, store)


def _nsx(manager: Manager, store: OvsdbStore) -> Attendant[Polled]:
    from anyvisor.drivers.nsx.entity import NsxEntity

    def connect() -> Polled:
        return Polled(NsxEntity.connect(manager, store.snapshot().owner))

    def serve(polled: Polled) -> EntityReconciler:
        return EntityReconciler(manager.name, polled.driver, store)

    def close(polled: Polled) -> None:
        if isinstance(polled.driver, NsxEntity):
            polled.driver.close()

    def failed(error: AnyvisorError) -> None:
        say(store, manager.name, findings.failed(MANAGER, error))

    return Attendant(manager.name, connect, serve, close=close, failed=failed)


@contextmanager
def open_nsx(manager: Manager, owner: str) -> Iterator[EntityDriver]:
    """The driver of an NSX, logged in."""
    from anyvisor.drivers.nsx.entity import NsxEntity

    driver = NsxEntity.connect(manager, owner)
    try:
        yield driver
    finally:
        driver.close()
