# SPDX-License-Identifier: Apache-2.0
"""One vCenter of the lab with anyvisord's parts before it: store, engine, driver, reconciler, tally, watch.

Stepped by hand, but by the events that the daemon hears. OVN's northbound database is a real one; nobody compiles it.
What agents of appliances report (the way is laid) is written as their clients would.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from anyvisor.drivers.vsphere.estate import Patience, VsphereEstate
from anyvisor.errors import AnyvisorError
from anyvisor.lab.vcenter import program
from anyvisor.model.estate import EstateStep
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.model.names import HostName, Mac, ObjectKey, PortName
from anyvisor.model.site import Controller, Manager
from anyvisor.model.state import Plugged
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.planner.plugs import pair_names
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.tally import Tally
from anyvisor.testing.sandbox import AnyvisorDatabase, OvnSandbox
from anyvisor.wiring import ApplianceWishes, open_controller
from bench.client import Client
from bench.vcenter.inventory import OFFICE, Size, inventory, site

PATIENCE_SECONDS = 600.0
_TURNS_AT_MOST = 200
_SETTLE_SECONDS = 0.05
"""As an attendant does: a burst of events is one look."""
_QUIET_SECONDS = 0.2
"""So long nothing was heard and nothing is to be done: it has settled."""


class World:
    """Everything of one size. Leaving the block ends what was started."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.looks = 0
        self.done = 0.0
        """When the last thing was done, by `time.perf_counter`."""
        self._parts = ExitStack()
        self._told: set[ObjectKey] = set()
        self._heard = threading.Event()
        self._last: tuple[EstateStep, ...] = ()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _start(self) -> None:
        enter = self._parts.enter_context
        folder = Path(tempfile.mkdtemp(prefix="vc-"))
        self._parts.callback(shutil.rmtree, folder, ignore_errors=True)
        self.vcenter = enter(
            program.start(
                program.Place(folder=folder), inventory(self.size), patience_seconds=PATIENCE_SECONDS
            )
        )
        self.control = self.vcenter.control
        self.control.set(vmotion_seconds=0.0)
        shown = self.control.state()
        self.keys = {vm.name: vm.key for vm in shown.vms}
        self.macs = {vm.name: Mac(vm.nics[0].mac) for vm in shown.vms}
        office = next(group for group in shown.port_groups if group.name == OFFICE)
        switch = next(each for each in shown.switches if office.switch in {each.key, each.uuid})
        self.office = (switch.uuid, office.key)
        credentials = folder / "credentials"
        credentials.write_text("admin:secret\n", encoding="utf-8")
        credentials.chmod(0o600)
        certificate = str(self.vcenter.place.certificate)
        self.manager = Manager(
            name="vc1",
            driver="vsphere",
            url=self.vcenter.url,
            credentials=f"file:{credentials}",
            ca=certificate,
        )
        self._start_hand(certificate)
        ovn = OvnSandbox()
        self._parts.callback(ovn.close)
        ovn.start(northd=False)
        self.database = enter(AnyvisorDatabase())
        self.store = enter(OvsdbStore(self.database.remote, timeout_seconds=PATIENCE_SECONDS))
        self.telemetry = enter(TelemetryStore(self.database.remote))
        self.client = enter(Client(self.database.remote, "Anyvisor"))
        controller = Controller(northbound=ovn.northbound, southbound=ovn.southbound)
        self.site = site(self.size, self.manager, controller, self.macs)
        owner = self.store.snapshot().owner
        self.engine = Engine(self.store, enter(open_controller(controller, owner)), clock=time.time)

    # --- the operator -----------------------------------------------------------------------------------------------

    def _start_hand(self, certificate: str) -> None:
        argv = [sys.executable, "-m", "bench.vcenter.hand", self.vcenter.url, certificate]
        self._hand = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._parts.callback(self._end_hand)
        self._hand_is_ready()

    def _hand_is_ready(self) -> None:
        assert self._hand.stdout is not None
        if self._hand.stdout.readline() != "ready\n":
            raise RuntimeError("the operator's client failed; see above")

    def _end_hand(self) -> None:
        self._hand.kill()
        self._hand.communicate()

    def displace(self, vm: str) -> None:
        """The operator puts the card of a VM back into his own group."""
        assert self._hand.stdin is not None
        self._hand.stdin.write(" ".join((self.keys[vm], *self.office)) + "\n")
        self._hand.stdin.flush()
        self._hand_is_ready()

    # --- the product ------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Log in and learn everything: afterwards `driver.estate()` is there. The watch is another matter."""
        patience = Patience(answer_seconds=120.0, task_seconds=PATIENCE_SECONDS, news_seconds=60)
        self.driver = VsphereEstate.connect(self.manager, self.store.snapshot().owner, patience=patience)
        self._parts.callback(self.driver.close)
        self.reconciler = EstateReconciler(
            self.manager.name,
            self.driver,
            self.store,
            wishes=ApplianceWishes(),
            clock=time.time,
            tell=self._told.add,
            tally=Tally(self.driver, lambda: self.telemetry, clock=time.time),
        )

    def watch(self) -> None:
        """Begin to hear of changes."""
        self._parts.enter_context(self.driver.watch(lambda _: self._heard.set()))

    def round(self, keys: Iterable[ObjectKey] = (), *, everything: bool = False) -> bool:
        """The engine looks at some keys, then the agents at what it decided; whether there is anything new."""
        before = self.store.snapshot()
        outcome = self.engine.round(keys, everything=everything)
        self._agents(PortName(key.name) for key in outcome.looked_at if key.kind == "port")
        return self._acted(really=before is not self.store.snapshot() or bool(outcome.changes))

    def look(self, *, afresh: bool = False) -> bool:
        """The reconciler looks once, `afresh` at everything; whether there is more to do.

        Raises:
            AnyvisorError: it could not.
        """
        before = self.store.snapshot()
        looked = self.reconciler.reconcile(afresh=afresh)
        self.looks += 1
        if looked.error is not None:
            raise looked.error
        again = bool(looked.steps) and looked.steps != self._last
        self._last = looked.steps
        self._acted(really=bool(looked.steps) or before is not self.store.snapshot())
        return again

    def _acted(self, *, really: bool) -> bool:
        if really:
            self.done = time.perf_counter()
        return really

    def settle(self, *, quiet_seconds: float = _QUIET_SECONDS) -> None:
        """Until nothing is left to do, and nothing is heard any more.

        Raises:
            AnyvisorError: a look went wrong.
            TimeoutError: it does not come to rest.
        """
        due = False
        turns = 0
        idle = time.perf_counter()
        while time.perf_counter() - idle < quiet_seconds:
            if turns > _TURNS_AT_MOST:
                raise TimeoutError("it does not come to rest")
            keys = self._told | self.store.changed(0.0)
            self._told.clear()
            if keys:
                due |= self.round(keys)
            elif due or self._heard.wait(_SETTLE_SECONDS / 2):
                time.sleep(_SETTLE_SECONDS)
                self._heard.clear()
                due = self.look()
            else:
                continue
            turns += 1
            idle = time.perf_counter()

    def build(self) -> None:
        """From the intent to every card in its place."""
        self.store.write_site(self.site)
        self.round(everything=True)
        self.settle()
        missing = self.unplugged()
        if missing:
            raise AnyvisorError(f"{len(missing)} of {self.size.vnics} cards are not where they belong")

    def unplugged(self) -> list[PortName]:
        """Ports whose card is not where it belongs."""
        state = self.store.snapshot()
        return [port for port in state.site.ports if state.plugged.get(port, Plugged()).card is None]

    def _agents(self, ports: Iterable[PortName]) -> None:
        """Lay the ways of these ports that are not laid yet, and say so."""
        state = self.store.snapshot()
        operations = []
        carried: set[HostName] = set()
        for port in ports:
            attachment = state.attachments.get(port)
            if attachment is None or attachment.kind is not AttachmentKind.VLAN_ACCESS:
                continue
            if state.hosts[attachment.host].carried is None:
                carried.add(attachment.host)
            if state.plugged.get(port, Plugged()).device is None:
                operations.append(_said("Attachment", "port", port, {"device": pair_names(port)[0]}))
        operations += [
            _said("Host", "name", name, {"carried": Scheme.APPLIANCE.value}) for name in sorted(carried)
        ]
        if operations:
            self.client.transact(*operations)

    def database_cpu(self) -> float:
        """Seconds of CPU that the server of our own database has used so far."""
        # clock_getcpuclockid(3) makes the clock of another process in the same way.
        return time.clock_gettime((~self.database.server.pid << 3) | 2)


def _said(table: str, column: str, name: str, row: dict[str, str]) -> dict[str, object]:
    return {"op": "update", "table": table, "where": [[column, "==", name]], "row": row}
