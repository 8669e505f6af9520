# SPDX-License-Identifier: Apache-2.0
"""Builds the agent of one host from its settings and runs it until it is told to end."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from anyvisor.agent.beating import beating
from anyvisor.agent.daemons import CommandDaemons
from anyvisor.agent.loop import AgentLoop, until_done
from anyvisor.agent.memory import StateFolder
from anyvisor.agent.settings import AgentSettings
from anyvisor.agent.sink import TelemetrySink
from anyvisor.agent.switch import LazySwitch
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.contracts.store import Store
from anyvisor.drivers.libvirt.hypervisor import LibvirtHypervisor
from anyvisor.drivers.linuxbridge.switch import LinuxBridges
from anyvisor.drivers.listed.hypervisor import ListedHypervisor
from anyvisor.drivers.openvswitch.datapath import Datapath
from anyvisor.drivers.openvswitch.openflow import OpenFlow
from anyvisor.drivers.openvswitch.stations import Stations
from anyvisor.drivers.smartnic.cards import Cards
from anyvisor.drivers.smartnic.devlink import Devlink
from anyvisor.drivers.smartnic.hypervisor import SmartNicHypervisor
from anyvisor.drivers.xl.hypervisor import XlHypervisor
from anyvisor.drivers.xl.uplink import lends_pages
from anyvisor.errors import AnyvisorError
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import Mac
from anyvisor.netlink.echo import Echo, device_mtu
from anyvisor.netlink.functions import function_macs
from anyvisor.netlink.host import HostNetwork
from anyvisor.netlink.surroundings import Surroundings
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.tls import use_tls
from anyvisor.planner.seats import FIRST, chassis_name
from anyvisor.reconcile.carding import Carding
from anyvisor.reconcile.carrying import Carrying
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.conversion import Conversion, Grounds
from anyvisor.reconcile.counting import Counting
from anyvisor.reconcile.driver_domain import DriverDomain
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.measuring import Measuring, every
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.parting import Parting
from anyvisor.reconcile.patience import Patience
from anyvisor.reconcile.separation import Separation
from anyvisor.reconcile.trunking import Ground, Trunking
from anyvisor.reconcile.underlay import Underlay

log = logging.getLogger(__name__)

_PROBE_ENDS_SECONDS = 2.0
"""A probe that is under way changes nothing: nobody has to wait for its end."""


def run(settings: AgentSettings) -> None:
    """Serve until SIGTERM or SIGINT. What is plugged stays plugged when this returns, however it returns."""
    loop = AgentLoop(settings.host, interval_seconds=settings.interval_seconds)
    with _signals(loop.stop):
        serve(settings, loop)


def serve(settings: AgentSettings, loop: AgentLoop) -> None:
    """The same for a caller that has its own way to stop `loop`.

    Raises:
        TerminalError: a TLS file cannot be used.
    """
    use_tls(settings.tls)
    store = OvsdbStore(settings.database, host=settings.host)
    with ExitStack() as parts:
        parts.callback(store.close)
        agent = parts.enter_context(assembled(settings, store, loop.wake))
        # Before the database: a host that is half converted may be unable to reach it.
        if not until_done("recovery", lambda: _succeeds(agent.conversion.recover), loop.stopping):
            return
        if not until_done("database", lambda: _succeeds(store.start), loop.stopping):
            return
        log.info("the agent of %s is at work", settings.host)
        if settings.is_appliance or settings.hypervisor == "smartnic":
            parts.enter_context(
                beating(
                    settings.telemetry or settings.database,
                    settings.host,
                    settings.appliance_number,
                    every_seconds=settings.beat_seconds,
                    well=loop.well,
                )
            )
        loop.run(agent.reconciler, store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The parts that have a turn of their own."""

    reconciler: ChassisReconciler
    conversion: Conversion


@contextmanager
def assembled(settings: AgentSettings, store: Store, wake: Callable[[], None]) -> Iterator[Agent]:
    """The agent of the host that this program runs on, with all that feeds it. The store may be started later."""
    with ExitStack() as parts:
        memory = StateFolder(settings.state_dir)

        def owner() -> str:
            return store.snapshot().owner or conversion.owner

        switch = LazySwitch(settings.ovs, owner=owner, notify=wake)
        parts.callback(switch.close)
        outages = Outages(memory, time.monotonic)
        hypervisor = parts.enter_context(_hypervisor(settings, store, switch, wake))
        surroundings = Surroundings()
        integration = Integration(
            switch,
            outages=outages,
            hypervisor=hypervisor,
            surroundings=surroundings,
            datapath=settings.ovn_bridge_datapath,
            tls=settings.tls,
        )
        grounds = Grounds(
            switch=switch,
            network=HostNetwork(),
            surroundings=surroundings,
            daemons=CommandDaemons(settings),
            memory=memory,
            patience=Patience(settings.patience_seconds),
            database=settings.database,
            datapath=settings.ovn_bridge_datapath,
        )
        conversion = Conversion(grounds, integration, outages)
        bridges = LinuxBridges(owner=owner, natives=lambda: _native_bridges(settings, store))
        reconciler = ChassisReconciler(
            settings.host,
            store,
            integration,
            outages=outages,
            ways=Ways(
                separation=Separation(bridges, hypervisor),
                parting=None if settings.is_appliance else Parting(bridges, hypervisor, surroundings),
                conversion=conversion,
                trunking=_trunking(settings, integration),
                driver_domain=_driver_domain(settings, integration),
                carrying=Carrying(
                    settings.host,
                    switch,
                    parts.enter_context(_underlay(settings, wake)),
                    trunk=settings.appliance_trunk,
                    mtu_of=device_mtu,
                ),
                carding=_carding(settings, integration, hypervisor),
                lookout=_lookout(settings, hypervisor),
            ),
            measuring=parts.enter_context(_measuring(settings, memory, hypervisor, switch)),
            time_to_measure=every(settings.interval_seconds, time.monotonic),
            number=settings.appliance_number,
        )
        yield Agent(reconciler=reconciler, conversion=conversion)


@contextmanager
def _hypervisor(
    settings: AgentSettings, store: Store, switch: LazySwitch, wake: Callable[[], None]
) -> Iterator[HypervisorDriver]:
    def wanted() -> Collection[Mac]:
        attachments = store.snapshot().attachments.values()
        return [a.mac for a in attachments if a.host == settings.host]

    listed = ListedHypervisor(settings.host, wanted, switch.attached)
    if settings.hypervisor == "libvirt":
        libvirt = LibvirtHypervisor(settings.libvirt_uri, host=settings.host)
        with libvirt, libvirt.watch(lambda _: wake()):
            yield libvirt
    elif settings.hypervisor == "xl":
        xen = XlHypervisor(settings.host, path=settings.way_to_xenstored)
        with xen.watch(lambda _: wake()):
            yield xen
    elif settings.hypervisor == "smartnic":
        card = SmartNicHypervisor(settings.host, Cards(Devlink(settings.devlink), macs=function_macs))
        with card.watch(lambda _: wake()):
            yield card
    else:
        with listed.watch(lambda _: wake()):
            yield listed


@contextmanager
def _measuring(
    settings: AgentSettings, memory: StateFolder, hypervisor: HypervisorDriver, switch: LazySwitch
) -> Iterator[Measuring]:
    number = settings.appliance_number if settings.appliance_trunk else None
    chassis = chassis_name(settings.host, number or FIRST)
    sink = TelemetrySink(settings.telemetry or settings.database, settings.host, chassis=chassis)
    openflow = OpenFlow.beside(settings.ovs)
    stations = Stations(openflow, lambda bridge: switch().uplinks(bridge)) if openflow is not None else None
    try:
        yield Measuring(
            settings.host,
            Counting(settings.host, memory, time.time, chassis=chassis),
            sink,
            # From inside an appliance the vNICs of its host cannot be seen; but no frame of theirs has another way.
            hypervisor=None if settings.appliance_trunk else hypervisor,
            stations=stations,
            slow_path=Datapath.beside(settings.ovs) if settings.hypervisor == "smartnic" else None,
            number=number,
        )
    finally:
        sink.close()


@contextmanager
def _underlay(settings: AgentSettings, wake: Callable[[], None]) -> Iterator[Underlay]:
    """The underlay's watch, with its thread."""
    watch = Underlay(Echo(), every_seconds=settings.probe_seconds, clock=time.monotonic, tell=wake)
    thread = threading.Thread(target=watch.run, name="underlay", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join(_PROBE_ENDS_SECONDS)


def _trunking(settings: AgentSettings, integration: Integration) -> Trunking | None:
    if not settings.appliance_trunk:
        return None
    return Trunking(integration, _ground(settings), datapath=settings.ovn_bridge_datapath)


def _lookout(settings: AgentSettings, hypervisor: HypervisorDriver) -> HypervisorDriver | None:
    """Who sees VMs of others: not an appliance, and not a card, which knows addresses alone and moves no VM."""
    return None if settings.appliance_trunk or settings.hypervisor == "smartnic" else hypervisor


def _driver_domain(settings: AgentSettings, integration: Integration) -> DriverDomain | None:
    if not settings.driver_domain:
        return None
    return DriverDomain(integration, _ground(settings), fault_of=lends_pages)


def _carding(
    settings: AgentSettings, integration: Integration, hypervisor: HypervisorDriver
) -> Carding | None:
    if not isinstance(hypervisor, SmartNicHypervisor):
        return None
    return Carding(integration, hypervisor, datapath=settings.ovn_bridge_datapath)


def _ground(settings: AgentSettings) -> Ground:
    return Ground(
        trunk=settings.appliance_trunk,
        uplink=settings.appliance_uplink,
        bridge=settings.appliance_bridge,
        physical=settings.appliance_physical,
        tunnel_ip=settings.appliance_tunnel_ip or None,
        number=settings.appliance_number,
    )


def _native_bridges(settings: AgentSettings, store: Store) -> Iterable[str]:
    host = store.snapshot().site.hosts.get(settings.host)
    switches = host.switches if host is not None else ()
    return [switch.name for switch in switches if switch.kind is SwitchKind.LINUX_BRIDGE]


def _succeeds(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except AnyvisorError as error:
        log.warning("%s; trying again", error)
        return False
    return True


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: stop())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
