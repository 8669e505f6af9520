# SPDX-License-Identifier: Apache-2.0
"""One OVN with one anyvisord over it, filled with a site of a given size."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from typing import Any, Self

from anyvisor.model.names import PortName
from anyvisor.model.site import Controller, Site
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.reconcile.engine import Outcome
from anyvisor.testing.sandbox import AnyvisorDatabase, Chassis, OvnSandbox
from anyvisor.wiring import LOCK, open_works
from bench.client import Client
from bench.journal import Journal
from bench.site import REAL, hosts_of, reserve, site

PATIENCE_SECONDS = 300.0
_QUIET_SECONDS = 0.02


class World:
    """Real databases and northd, one real host, pretended hosts, and our engine as `anyvisor serve` wires it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.journal = Journal()
        self._parts = ExitStack()

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
        self.ovn = enter(OvnSandbox())
        self.database = enter(AnyvisorDatabase())
        self.real: Chassis = self.ovn.add_chassis(REAL)
        self._start_binder()
        self.store = enter(OvsdbStore(self.database.remote, lock=LOCK, timeout_seconds=PATIENCE_SECONDS))
        if not self.store.wait_for_lock(10):
            raise TimeoutError("the lock of a fresh database is taken")
        self.site: Site = site(
            self.size, Controller(northbound=self.ovn.northbound, southbound=self.ovn.southbound)
        )
        self.store.write_site(Site(controller=self.site.controller))
        self.works = enter(open_works(self.store, observe=self._observed))
        self.works.controller._northbound._timeout = PATIENCE_SECONDS  # noqa: SLF001 - a slow machine may take longer
        self.rounds = 0
        self.journal.follow(self.store, self.works.controller)
        self._running = True
        self._thread = threading.Thread(
            target=self.works.runner.run, args=(lambda: self._running,), name=f"engine {self.size}"
        )
        self._thread.start()
        self._parts.callback(self.stop_engine)
        self.client = enter(Client(self.database.remote, "Anyvisor"))
        self.plugs = enter(Client(self.real.remote, "Open_vSwitch"))
        self.wait_applied(self.store.snapshot().generation)

    def _observed(self, _outcome: Outcome) -> None:
        self.rounds += 1

    def stop_engine(self) -> None:
        """End the thread of the engine; what follows may call the engine directly."""
        self._running = False
        self.works.runner.stop()
        self._thread.join()

    # --- hosts ------------------------------------------------------------------------------------------------------

    def _start_binder(self) -> None:
        argv = [sys.executable, "-m", "bench.binder", self.ovn.southbound]
        # In a session of its own: Ctrl-C ends it by way of `_end_binder` and not in the middle of its work.
        self._binder = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._parts.callback(self._end_binder)
        self._binder_answers()
        self._tell_binder("keep", *(name for names in reserve(self.size) for name in names))
        self._tell_binder("hosts", *hosts_of(self.size))

    def _tell_binder(self, *words: str) -> None:
        assert self._binder.stdin is not None
        self._binder.stdin.write(" ".join(words) + "\n")
        self._binder.stdin.flush()
        self._binder_answers()

    def _binder_answers(self) -> None:
        assert self._binder.stdout is not None
        if self._binder.stdout.readline() != "ready\n":
            raise RuntimeError("the pretended hosts failed; see above")

    def _end_binder(self) -> None:
        assert self._binder.stdin is not None
        self._binder.stdin.close()
        self._binder.kill()
        self._binder.wait()

    def plug_pretended(self, name: PortName) -> None:
        """The vNIC of a port on a pretended host appears."""
        self._tell_binder("plug", name)

    def plug_real(self, name: str) -> None:
        """The vNIC of a port appears on the real host: what its agent writes to Open vSwitch."""
        interface = {"name": name, "type": "dummy", "external_ids": ["map", [["iface-id", name]]]}
        port = {"name": name, "interfaces": ["named-uuid", "i"]}
        self.plugs.transact(
            {"op": "insert", "table": "Interface", "row": interface, "uuid-name": "i"},
            {"op": "insert", "table": "Port", "row": port, "uuid-name": "p"},
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", "br-int"]],
                "mutations": [["ports", "insert", ["named-uuid", "p"]]],
            },
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [["next_cfg", "+=", 1]],
            },
        )

    def stop_northd(self) -> None:
        """Hold OVN's compiler for good, so that only our own part is at work.

        By a signal: told to pause, the one of OVN 25.03 spins.
        """
        self.ovn.sync()
        os.kill(self.ovn.northd.pid, signal.SIGSTOP)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait_applied(self, generation: int) -> None:
        """Until the engine has carried that generation out."""
        self.journal.wait(
            lambda: self.journal.applied >= generation, f"generation {generation} applied", PATIENCE_SECONDS
        )

    def wait_up(self, names: AbstractSet[PortName]) -> None:
        """Until all of these ports are said to be up."""
        self.journal.wait(lambda: names <= self.journal.up.keys(), f"{len(names)} ports up", PATIENCE_SECONDS)

    def settle(self) -> None:
        """Until the engine has had nothing to do for a moment."""
        seen = -1
        while seen != self.rounds:
            seen = self.rounds
            time.sleep(0.3)

    def wait_quiet(self) -> None:
        """Until nothing of ours uses the processor any more: neither this process nor the server of our database."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        busy = True
        while busy and time.monotonic() < deadline:
            before = time.process_time() + self.database_cpu()
            time.sleep(_QUIET_SECONDS)
            busy = time.process_time() + self.database_cpu() - before > _QUIET_SECONDS / 20

    def database_cpu(self) -> float:
        """Seconds of CPU that the server of our own database has used so far."""
        # clock_getcpuclockid(3) makes the clock of another process in the same way.
        return time.clock_gettime((~self.database.server.pid << 3) | 2)

    def bump(self) -> dict[str, Any]:
        """The operation by which a client counts the generation on."""
        return {"op": "mutate", "table": "Global", "where": [], "mutations": [["generation", "+=", 1]]}
