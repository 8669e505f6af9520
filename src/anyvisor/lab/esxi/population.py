# SPDX-License-Identifier: Apache-2.0
"""Which VM of vCenter is which machine of the lab, and the life of those that are appliances."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from anyvisor.errors import AnyvisorError, TerminalError
from anyvisor.lab.esxi import appliance, userdata
from anyvisor.lab.esxi.appliance import Appliance, Machines
from anyvisor.lab.esxi.picture import Cable, Machine
from anyvisor.lab.place import Place
from anyvisor.lab.vcenter.model import State, Vm

log = logging.getLogger(__name__)

AT_ONCE = 2


class Population:
    """Lab VMs are known by name; any other VM that was given user-data is an appliance."""

    def __init__(
        self, place: Place, machines: Machines, *, known: Collection[str], taken: Collection[str]
    ) -> None:
        self._place = place
        self._machines = machines
        self._known = frozenset(known)
        self._taken = frozenset(taken)
        self._appliances: dict[str, Appliance] = {}
        self._given: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._vms: dict[str, Vm] = {}
        self._instance = ""
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="boot")
        self._booting: dict[str, Future[None]] = {}

    def machine_of(self, vm: Vm) -> Machine | None:
        """The machine that a VM is; None: the lab has none for it."""
        if vm.name in self._known:
            return Machine(part=vm.name)
        one = self._appliances.get(vm.key)
        return one.machine if one is not None else None

    def look(self, state: State) -> None:
        """Take in which VMs there are and what they were given."""
        self._instance = state.instance
        self._vms = {
            vm.key: vm
            for vm in state.vms
            if not vm.template and vm.name not in self._known and userdata.has(vm.guestinfo)
        }
        for key in self._given.keys() - self._vms.keys():
            del self._given[key]
            self._appliances.pop(key, None)
        for key, vm in self._vms.items():
            given = (vm.name, vm.guestinfo)
            if self._given.get(key) != given:
                self._given[key] = given
                self._read(vm)

    def _read(self, vm: Vm) -> None:
        try:
            one = appliance.appliance_of(vm.name, vm.key, vm.guestinfo, self._taken)
        except TerminalError as error:
            log.warning("%s: %s", vm.name, error)
            self._appliances.pop(vm.key, None)
            return
        before = self._appliances.get(vm.key)
        if before is not None and before.machine.part != one.machine.part:
            # A renamed VM stays the machine that it is.
            machine = replace(one.machine, part=before.machine.part)
            one = Appliance(key=one.key, machine=machine, wish=one.wish)
        self._appliances[vm.key] = one

    def make(self) -> bool:
        """Make, kill and delete machines, but boot none; True: something has to wait for a boot under way."""
        waiting = False
        wanted = {one.machine.part: key for key, one in self._appliances.items()}
        for part in appliance.parts(self._place):
            key = wanted.get(part)
            if self._is_busy(part):
                waiting = True
            elif key is None:
                self._machines.delete(part)
            elif not self._vms[key].running and self._machines.booted(part) is not None:
                self._machines.kill(part)
        for part, key in wanted.items():
            if self._vms[key].running:
                self._machines.ensure(part)
        return waiting

    def run(self, cables: Iterable[Cable]) -> None:
        """Boot what is on and has not been booted; the cards are there."""
        cards: dict[str, list[str]] = {}
        for cable in cables:
            cards.setdefault(cable.part, []).append(cable.card)
        for key, one in self._appliances.items():
            part, vm = one.machine.part, self._vms[key]
            # Off and on again may lie between two looks; the time of its start tells.
            boot = f"{self._instance} {vm.boot}"
            if vm.running and not self._is_busy(part) and must_boot(self._machines.booted(part), boot):
                self._booting[part] = self._pool.submit(self._machines.boot, one, cards.get(part, []), boot)

    def has_news(self) -> bool:
        """Whether a boot has come to its end since the last time."""
        done = [part for part, future in self._booting.items() if future.done()]
        for part in done:
            self._ended(part, self._booting.pop(part))
        return bool(done)

    def _is_busy(self, part: str) -> bool:
        return part in self._booting

    @staticmethod
    def _ended(part: str, future: Future[None]) -> None:
        try:
            future.result()
        except (AnyvisorError, OSError) as error:
            log.error("%s did not boot: %s", part, error)
        except Exception:
            log.exception("%s did not boot", part)


def must_boot(booted: str | None, boot: str) -> bool:
    """Whether a machine in boot `booted` has been switched on again since. Another run of vCenter counts anew."""
    if booted is None:
        return True
    before, now = booted.split(), boot.split()
    return before[:1] == now[:1] and before != now
