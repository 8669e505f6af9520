# SPDX-License-Identifier: Apache-2.0
"""The one place that knows every adapter: it turns settings into connected parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anyvisor.contracts.entity import EntityDriver
from anyvisor.contracts.estate import EstateDriver
from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.errors import AnyvisorError, RetryableError, TerminalError, UnreachableError
from anyvisor.model.estate import Estate, Health, MissingRight
from anyvisor.model.host import Host
from anyvisor.model.names import HostName, ObjectKey, SwitchName
from anyvisor.model.site import Controller, Manager, Site
from anyvisor.model.state import State, Telemetry
from anyvisor.ovsdb.lazy import LazyBeats, LazyReadings
from anyvisor.ovsdb.server import ensure_server
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.ovsdb.tls import use_tls
from anyvisor.planner import seats
from anyvisor.planner.found import completed, reported_by
from anyvisor.planner.vigil import Seat, seat_of
from anyvisor.reconcile import findings
from anyvisor.reconcile.attendant import Attendant
from anyvisor.reconcile.engine import Engine, Outcome
from anyvisor.reconcile.entity import EntityReconciler, Polled
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.notices import MANAGER, say
from anyvisor.reconcile.preview import Preview
from anyvisor.reconcile.preview import preview as find
from anyvisor.reconcile.queue import KeyQueue
from anyvisor.reconcile.runner import Runner
from anyvisor.reconcile.tally import Tally
from anyvisor.reconcile.vigil import Vigil, Witnesses
from anyvisor.reconcile.wishes import ApplianceWishes
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

        estates = tuple(_estates(store, settings, queue.add)) if settings is not None else ()
        attendants = (*estates, *(_entities(store) if settings is not None else ()))

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
        if settings is not None:
            beats = LazyBeats(telemetry_of(settings))
            open_parts.callback(beats.close)
            vigil = _vigil(store, beats, estates, queue.add)
            vigil.start()
            open_parts.callback(vigil.stop)
        yield Works(engine=engine, runner=runner, controller=controller)


def _vigil(
    store: OvsdbStore,
    beats: LazyBeats,
    attendants: tuple[Attendant[EstateDriver], ...],
    tell: Callable[[ObjectKey], None],
) -> Vigil:
    """Over the appliances of all managers, and over cards that switch."""

    def healths() -> dict[Seat, Health]:
        drivers = [each.driver for each in attendants]
        shown = {key: h for driver in drivers if driver is not None for key, h in driver.healths().items()}
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


def _estates(
    store: OvsdbStore, settings: Settings, tell: Callable[[ObjectKey], None]
) -> Iterator[Attendant[EstateDriver]]:
    """One for each manager of hosts that is driven from here; a libvirtd is its host's agent's business."""
    state = store.snapshot()
    for manager in state.site.managers.values():
        if manager.driver == "vsphere":
            yield _vsphere(manager, store, LazyReadings(telemetry_of(settings)), tell)


def _vsphere(
    manager: Manager, store: OvsdbStore, readings: LazyReadings, tell: Callable[[ObjectKey], None]
) -> Attendant[EstateDriver]:
    from anyvisor.drivers.vsphere.estate import VsphereEstate

    def connect() -> EstateDriver:
        return VsphereEstate.connect(manager, store.snapshot().owner)

    def serve(driver: EstateDriver) -> EstateReconciler:
        return EstateReconciler(
            manager.name,
            driver,
            store,
            wishes=ApplianceWishes(),
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


def _entities(store: OvsdbStore) -> Iterator[Attendant[Polled]]:
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
def _open_nsx(manager: Manager, owner: str) -> Iterator[EntityDriver]:
    from anyvisor.drivers.nsx.entity import NsxEntity

    driver = NsxEntity.connect(manager, owner)
    try:
        yield driver
    finally:
        driver.close()


ASK_SECONDS = 10.0
"""How long a manager is asked for its hosts by a command that a person waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the site's managers say now: hosts, versions of inner switches, rights that we lack; and who could not be
    asked, with why.
    """

    hosts: Mapping[HostName, Host]
    inner: Mapping[SwitchName, str]
    lacking: Mapping[str, tuple[MissingRight, ...]]
    silent: Mapping[str, AnyvisorError]


def ask_managers(site: Site, owner: str) -> Asked:
    """Ask each manager of the site."""
    from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate

    found: dict[HostName, Host] = {}
    inner: dict[SwitchName, str] = {}
    lacking: dict[str, tuple[MissingRight, ...]] = {}
    silent: dict[str, AnyvisorError] = {}
    for manager in site.managers.values():
        if manager.driver != "vsphere":
            continue
        try:
            driver = VsphereEstate.connect(manager, owner, patience=Patience(answer_seconds=ASK_SECONDS))
            try:
                estate = driver.estate()
                found |= reported_by(manager.name, estate.hosts)
                inner |= inner_versions(estate)
                lacking[manager.name] = driver.missing_rights()
            finally:
                driver.close()
        except AnyvisorError as error:
            silent[manager.name] = error
    return Asked(hosts=found, inner=inner, lacking=lacking, silent=silent)


def inner_versions(estate: Estate) -> dict[SwitchName, str]:
    """The versions of the distributed inner switches that a manager shows."""
    return {name: switch.version for name, switch in estate.switches.items() if switch.version}


def complete(site: Site, state: State) -> tuple[Site, Asked]:
    """The site with the hosts that its managers report, and all that they said."""
    asked = ask_managers(site, state.owner)
    return completed(site, state, asked.hosts, asked.silent), asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The stored state, the site with the hosts that its managers report, and what that would change of everything.

    `silent` are the managers that could not be asked, with why; `inner` are versions of inner switches that exist.
    `lacking` are the rights that we miss on the managers that answered.
    """

    state: State
    site: Site
    preview: Preview
    silent: Mapping[str, AnyvisorError]
    inner: Mapping[SwitchName, str]
    lacking: Mapping[str, tuple[MissingRight, ...]]


def preview(settings: Settings, site: Site) -> Foreseen:
    """What applying `site` would do, found without writing anything."""
    from anyvisor.drivers.vsphere.estate import VsphereEstate

    with ExitStack() as open_parts:
        store = open_parts.enter_context(open_store(settings))
        state = store.snapshot()
        controller = open_parts.enter_context(open_controller(site.controller, state.owner))
        estates: dict[str, Estate] = {}
        entities: dict[str, EntityDriver] = {}
        silent: dict[str, AnyvisorError] = {}
        lacking: dict[str, tuple[MissingRight, ...]] = {}
        for manager in site.managers.values():
            try:
                if manager.driver == "vsphere":
                    driver = VsphereEstate.connect(manager, state.owner)
                    open_parts.callback(driver.close)
                    estates[manager.name] = driver.estate()
                    lacking[manager.name] = driver.missing_rights()
                elif manager.driver == "nsx":
                    entities[manager.name] = open_parts.enter_context(_open_nsx(manager, state.owner))
            except AnyvisorError as error:
                silent[manager.name] = error
        reported = {
            name: host
            for manager, estate in estates.items()
            for name, host in reported_by(manager, estate.hosts).items()
        }
        whole = completed(site, state, reported, silent)
        wanted = replace(state, site=whole)
        found = find(
            wanted, controller, estates, entities, wishes=ApplianceWishes(), now_seconds=int(time.time())
        )
        inner = {name: v for estate in estates.values() for name, v in inner_versions(estate).items()}
        return Foreseen(state=state, site=whole, preview=found, silent=silent, inner=inner, lacking=lacking)
