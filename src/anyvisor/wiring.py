# SPDX-License-Identifier: Apache-2.0
"""The one place that knows every adapter: it turns settings into connected parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from anyvisor.codec.appliance_network import appliance_metadata, card_macs
from anyvisor.codec.user_data import appliance_user_data
from anyvisor.contracts.estate import EstateDriver
from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.errors import AnyvisorError, RetryableError, TerminalError, UnreachableError
from anyvisor.model.estate import Estate, Health
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, ObjectKey
from anyvisor.model.site import Controller, Manager, Site
from anyvisor.model.state import Beat, State, Telemetry
from anyvisor.ovsdb.beats import BeatStore
from anyvisor.ovsdb.server import ensure_server
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.ovsdb.tls import use_tls
from anyvisor.planner import seats
from anyvisor.planner.appliances import ApplianceWish, appliance_key
from anyvisor.planner.found import completed, reported_by
from anyvisor.planner.vigil import Seat, seat_of
from anyvisor.reconcile import findings
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.engine import Engine, Outcome
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.notices import MANAGER, say
from anyvisor.reconcile.preview import Preview
from anyvisor.reconcile.preview import preview as find
from anyvisor.reconcile.queue import KeyQueue
from anyvisor.reconcile.runner import Runner
from anyvisor.reconcile.tally import Tally
from anyvisor.reconcile.vigil import Vigil, Witnesses
from anyvisor.settings import Settings

log = logging.getLogger(__name__)

LOCK = "anyvisor"
"""The OVSDB lock that the one active engine holds."""


def own_socket(settings: Settings) -> str:
    """The remote of the server that we run ourselves where no database is named."""
    return f"unix:{settings.state_dir}/db.sock"


def database_of(settings: Settings) -> str:
    """The remote of the Anyvisor database."""
    return settings.database or own_socket(settings)


def telemetry_of(settings: Settings) -> str:
    """The remote of the telemetry database: beside the other one unless it is named."""
    return settings.telemetry or database_of(settings)


def secure(settings: Settings) -> None:
    """Give all ``ssl:`` connections of this process the files that the settings name.

    Raises:
        TerminalError: a file cannot be used, or others can read the key.
    """
    use_tls(settings.tls)


def ensure_database(settings: Settings) -> None:
    """Start our own ovsdb-server where no database is named; it outlives us, as packets need no anyvisor process."""
    if not settings.database:
        ensure_server(Path(settings.state_dir), listen=tuple(settings.listen.split()), tls=settings.tls)


def database_exists(settings: Settings) -> bool:
    """Whether there is a database to ask, without starting one."""
    return bool(settings.database) or Path(settings.state_dir, "db.sock").exists()


@contextmanager
def open_store(
    settings: Settings, *, lock: bool = False, timeout_seconds: float = 10.0
) -> Iterator[OvsdbStore]:
    """The store, connected. With `lock` its writes need the lock, which may still be somebody else's."""
    store = OvsdbStore(database_of(settings), lock=LOCK if lock else None, timeout_seconds=timeout_seconds)
    try:
        store.start()
    except UnreachableError as error:
        raise UnreachableError(
            str(error),
            hint="Is the Anyvisor database running? Name it with --database or ANYVISOR_DATABASE; "
            "`anyvisor serve` and `anyvisor apply` start one of their own where none is named",
        ) from error
    try:
        yield store
    finally:
        store.close()


def read_telemetry(settings: Settings) -> Telemetry:
    """All readings now; raises UnreachableError."""
    with TelemetryStore(telemetry_of(settings)) as telemetry:
        return telemetry.read()


@contextmanager
def open_controller(controller: Controller | None, owner: str) -> Iterator[OvnController]:
    """The controller driver that the site names, connected."""
    if controller is None:
        raise TerminalError(
            "the site names no controller",
            hint="add `controller: {driver: ovn, northbound: …, southbound: …}`",
        )
    if controller.driver != "ovn":
        raise TerminalError(f"no controller driver {controller.driver!r}; there is: ovn")
    driver = OvnController(controller.northbound, controller.southbound, owner)
    driver.start()
    try:
        yield driver
    finally:
        driver.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """An engine with all that feeds it."""

    engine: Engine
    runner: Runner
    controller: OvnController


@contextmanager
def open_works(
    store: OvsdbStore, settings: Settings | None = None, *, observe: Callable[[Outcome], None] | None = None
) -> Iterator[Works]:
    """Connect the engine to the controller that the stored intent names, and start to listen.

    The caller holds the lock. Without `settings` no manager is attended.
    """
    with ExitStack() as open_parts:
        state = store.snapshot()
        controller = open_parts.enter_context(open_controller(state.site.controller, state.owner))
        queue: KeyQueue[ObjectKey] = KeyQueue()
        controller.watch(queue.add)
        engine = Engine(store, controller, clock=time.time)

        attendants = tuple(_attendants(store, settings, queue.add)) if settings is not None else ()

        def observed(outcome: Outcome) -> None:
            for attendant in attendants if outcome.looked_at else ():
                attendant.wake()
            if any(key.kind == "host" for key in outcome.looked_at):
                _tidy(controller, store)
            if observe is not None:
                observe(outcome)

        runner = Runner(engine, store, queue, observe=observed)
        runner.start()
        open_parts.callback(runner.stop)
        for attendant in attendants:
            attendant.start()
            open_parts.callback(attendant.stop)
        if attendants and settings is not None:
            beats = LazyBeats(telemetry_of(settings))
            open_parts.callback(beats.close)
            vigil = _vigil(store, beats, attendants, queue.add)
            vigil.start()
            open_parts.callback(vigil.stop)
        yield Works(engine=engine, runner=runner, controller=controller)


def _vigil(
    store: OvsdbStore,
    beats: LazyBeats,
    attendants: tuple[Attendant, ...],
    tell: Callable[[ObjectKey], None],
) -> Vigil:
    """Over the appliances of all managers."""

    def healths() -> dict[Seat, Health]:
        shown = {key: health for each in attendants for key, health in each.healths().items()}
        return {seat: health for key, health in shown.items() if (seat := seat_of(key)) is not None}

    witnesses = Witnesses(healths=healths, beats=beats)
    return Vigil(store, witnesses, monotonic=time.monotonic, clock=time.time, tell=tell)


def _tidy(controller: OvnController, store: OvsdbStore) -> None:
    try:
        site = store.snapshot().site
        controller.tidy_chassis(
            [seats.chassis_name(host, number) for host in site.hosts for number in seats.numbers(site.policy)]
        )
    except RetryableError as error:
        log.warning("stale chassis are left for now: %s", error)


def _attendants(
    store: OvsdbStore, settings: Settings, tell: Callable[[ObjectKey], None]
) -> Iterator[Attendant]:
    """One for each manager of the intent that is driven from here; a libvirtd is its host's agent's business."""
    state = store.snapshot()
    for manager in state.site.managers.values():
        if manager.driver == "vsphere":
            yield _vsphere(manager, store, LazyReadings(telemetry_of(settings)), tell)


def _vsphere(
    manager: Manager, store: OvsdbStore, readings: LazyReadings, tell: Callable[[ObjectKey], None]
) -> Attendant:
    from anyvisor.drivers.vsphere.estate import VsphereEstate

    def connect() -> EstateDriver:
        return VsphereEstate.connect(manager, store.snapshot().owner)

    def serve(driver: EstateDriver) -> EstateReconciler:
        return EstateReconciler(
            manager.name,
            driver,
            store,
            wishes=appliance_wishes,
            clock=time.time,
            tell=tell,
            tally=Tally(driver, readings, clock=time.time),
        )

    def close(driver: EstateDriver) -> None:
        readings.close()
        if isinstance(driver, VsphereEstate):
            driver.close()

    def failed(error: AnyvisorError) -> None:
        say(store, manager.name, findings.failed(MANAGER, error))

    return Attendant(manager.name, connect, serve, close=close, failed=failed)


class LazyReadings:
    """The telemetry database, connected to when there is something to write."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._store: TelemetryStore | None = None

    def __call__(self) -> TelemetryStore:
        """The store; raises UnreachableError while it does not answer."""
        if self._store is None:
            store = TelemetryStore(self._remote)
            store.start()
            self._store = store
        return self._store

    def close(self) -> None:
        """End the connection."""
        if self._store is not None:
            self._store.close()
            self._store = None


class LazyBeats:
    """The signs of life in the telemetry database, connected to at the first question."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._parts = ExitStack()
        self._store: BeatStore | None = None

    def __call__(self) -> tuple[Beat, ...]:
        """The last one of each appliance; raises UnreachableError while the database does not answer."""
        if self._store is None:
            self._store = self._parts.enter_context(BeatStore(self._remote))
        return self._store.read()

    def close(self) -> None:
        """End the connection."""
        self._parts.close()


def appliance_wishes(state: State, hosts: Iterable[HostName]) -> dict[str, ApplianceWish]:
    """How the appliances of these hosts are made, by `appliance_key`; none where the operator makes them."""
    policy = state.site.policy.appliance
    if policy is None:
        return {}
    networks = {"management": policy.management, "tunnel": policy.tunnel}
    return {
        appliance_key(host, number): ApplianceWish(
            template=policy.template,
            networks=networks,
            user_data=appliance_user_data(state.site.hosts[host], policy, number, owner=state.owner),
            macs=card_macs(state.owner, host, number),
            metadata=partial(appliance_metadata, state.owner, host, number),
        )
        for host in hosts
        for number in seats.numbers(state.site.policy)
    }


ASK_SECONDS = 10.0
"""How long a manager is asked for its hosts by a command that a person waits for."""


def ask_managers(site: Site, owner: str) -> tuple[dict[HostName, Host], dict[str, AnyvisorError]]:
    """The hosts that the site's managers report now, and the managers that could not be asked, with why."""
    from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate

    found: dict[HostName, Host] = {}
    silent: dict[str, AnyvisorError] = {}
    for manager in site.managers.values():
        if manager.driver != "vsphere":
            continue
        try:
            driver = VsphereEstate.connect(manager, owner, patience=Patience(answer_seconds=ASK_SECONDS))
            try:
                found |= reported_by(manager.name, driver.estate().hosts)
            finally:
                driver.close()
        except AnyvisorError as error:
            silent[manager.name] = error
    return found, silent


def complete(site: Site, state: State) -> tuple[Site, dict[str, AnyvisorError]]:
    """The site with the hosts that its managers report, and the managers that could not be asked, with why."""
    reported, silent = ask_managers(site, state.owner)
    return completed(site, state, reported, silent), silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The stored state, the site with the hosts that its managers report, and what that would change of everything.

    `silent` are the managers that could not be asked, with why.
    """

    state: State
    site: Site
    preview: Preview
    silent: Mapping[str, AnyvisorError]


def preview(settings: Settings, site: Site) -> Foreseen:
    """What applying `site` would do, found without writing anything."""
    from anyvisor.drivers.vsphere.estate import VsphereEstate

    with ExitStack() as open_parts:
        store = open_parts.enter_context(open_store(settings))
        state = store.snapshot()
        controller = open_parts.enter_context(open_controller(site.controller, state.owner))
        estates: dict[str, Estate] = {}
        silent: dict[str, AnyvisorError] = {}
        for manager in site.managers.values():
            if manager.driver != "vsphere":
                continue
            try:
                driver = VsphereEstate.connect(manager, state.owner)
                open_parts.callback(driver.close)
                estates[manager.name] = driver.estate()
            except AnyvisorError as error:
                silent[manager.name] = error
        reported = {
            name: host
            for manager, estate in estates.items()
            for name, host in reported_by(manager, estate.hosts).items()
        }
        whole = completed(site, state, reported, silent)
        wanted = replace(state, site=whole)
        found = find(wanted, controller, estates, wishes=appliance_wishes, now_seconds=int(time.time()))
        return Foreseen(state=state, site=whole, preview=found, silent=silent)
