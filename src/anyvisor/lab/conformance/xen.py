# SPDX-License-Identifier: Apache-2.0
"""The suite on a real Xen host under emulation, which goes through its schemes one after the other.

The VMs under test are the lab's; their frames pass through guests of the Xen host (`anyvisor.lab.xen.relay`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from anyvisor.errors import TerminalError
from anyvisor.lab import down, session, topology_file, up, vm
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.trial import Trial
from anyvisor.lab.conformance.version import versions
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import DATABASE_PORT, Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import LabVm, Topology
from anyvisor.lab.up import Options
from anyvisor.lab.verify import Pace
from anyvisor.lab.xen import domains, relay
from anyvisor.lab.xen.machine import XenHost, XenMachine
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.names import HostName

TOPOLOGY = "conformance-xen"
HOST = "xen1"
APPLIANCE_IP = "192.168.77.42"
READY_SECONDS = 300
PACE = Pace(at_once=3, patience_seconds=4.0)
"""What passes an emulated host takes its time, and many packets at once are lost there."""
OVERLAY = "app"
"""The network whose VM is left out where a scheme has no overlays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One scheme. `serves` is the domain that switches for the others, if any; with `goes_on` the guests of the stage
    before run on."""

    scheme: Scheme
    facts: Mapping[str, bool] = field(default_factory=dict)
    serves: str = ""
    goes_on: bool = False


STAGES = (
    Stage(scheme=Scheme.APPLIANCE, serves=domains.APPLIANCE),
    Stage(scheme=Scheme.APPLIANCE, facts={"driver_domain": True}, serves=domains.DRIVER_DOMAIN),
    Stage(scheme=Scheme.SEPARATION),
    Stage(scheme=Scheme.SUBSTITUTION, goes_on=True),
)


def run(place: Place, base: Path, say: Say) -> Outcome:
    """Build the lab and boot the Xen host, try every case in every stage, delete the lab. `base` is what
    ``tools/xen.sh`` has filled.

    Raises:
        TerminalError: there is a lab of that name already, or a step of it or of the product failed.
    """
    topology = topology_file.load(TOPOLOGY)
    up.up(place, topology, Options(emulated=True), say)
    try:
        product = Product(place)
        with product.serving():
            trial = Trial(
                place, topology, product, say, only=Hypervisor.XEN, wait_seconds=str(READY_SECONDS), pace=PACE
            )
            host = _Host(place, topology, product, base, say)
            host.boot()
            for stage in STAGES:
                trial.round(host.enter(stage))
                host.leave(stage)
        return Outcome(
            verdicts=tuple(trial.verdicts),
            versions=versions(up.programs_of(place, None)),
            crashes=tuple(trial.crashes),
        )
    finally:
        down.down(place)


class _Host:
    """The Xen host, and what its operator does between the stages."""

    def __init__(self, place: Place, topology: Topology, product: Product, base: Path, say: Say) -> None:
        self._place = place
        self._topology = topology
        self._product = product
        self._say = say
        self._recorder = Recorder(place.manifest)
        self._database = f"tcp:{topology.underlay.central}:{DATABASE_PORT}"
        prefix = topology.underlay.prefix_length
        host = XenHost(
            address=f"{topology.host(HOST).ip}/{prefix}",
            appliance=f"{APPLIANCE_IP}/{prefix}",
            database=self._database,
            relayed=True,
        )
        self._programs = up.programs_of(place, None)
        self._machine = XenMachine(place, host, topology.underlay, self._programs, base)
        self._vlans = {one: relay.FIRST_VLAN + n for n, one in enumerate(topology.vms_of(HOST))}
        self._running: list[LabVm] = []

    def boot(self) -> None:
        """Switch it on, with an agent in dom0 and the ways to the lab's VMs."""
        self._machine.start(self._recorder)
        ends = [(self._topology.device(one), vlan) for one, vlan in self._vlans.items()]
        relay.join(self._place, HOST, self._machine.relay_tap, self._programs, ends)
        self._machine.await_orders()
        relay.prepare(self._machine, self._vlans.values())
        domains.install_agent(self._machine, self._database)
        domains.start_agent(self._machine)
        self._say(f"{HOST}: Xen is up, and the agent in its dom0")

    def enter(self, stage: Stage) -> Path:
        """Say what is wanted, start what the scheme needs and the guests; the site file."""
        path = self._site(stage, self._running if stage.goes_on else self._guests(stage))
        if stage.goes_on:
            return path
        # Nothing can be ready yet: it only has to be known what the host is to be.
        with suppress(TerminalError):
            self._product.run("apply", "-f", str(path), "--wait", "1", quiet=True)
        if stage.serves == domains.APPLIANCE:
            domains.create_appliance(self._machine, session.state_of(self._place).owner)
        elif stage.serves:
            domains.create_driver_domain(self._machine)
        if stage.serves:
            self._await("the domain that switches", lambda: self._carried(stage.scheme))
        served = domains.DRIVER_DOMAIN if stage.serves == domains.DRIVER_DOMAIN else ""
        for one in self._guests(stage):
            relay.create(self._machine, one, self._vlans[one], served=served)
            self._running.append(one)
        for one in self._running:
            self._await(f"the guest of {one.name}", partial(relay.passes, self._machine, one))
            vm.ask_anew(self._place, one, self._recorder)
        self._say(f"{HOST}: {len(self._running)} guests pass frames on under {stage.scheme}")
        return path

    def leave(self, stage: Stage) -> None:
        """End the guests, and whatever switched for them, unless the next stage goes on with them."""
        after = STAGES[STAGES.index(stage) + 1 :]
        if after and after[0].goes_on:
            return
        serving = [stage.serves] if stage.serves else []
        domains.destroy(self._machine, [*(one.name for one in self._running), *serving])
        self._running.clear()
        if after:
            # Else the next one's domain would be taken for this one's.
            bare = self._site(Stage(scheme=Scheme.SEPARATION), guests=())
            self._product.run("apply", "-f", str(bare), "--wait", str(READY_SECONDS), quiet=True)
            self._await("dom0's own switch", lambda: self._carried(Scheme.SEPARATION))

    def _guests(self, stage: Stage) -> list[LabVm]:
        overlays = stage.scheme is not Scheme.SEPARATION
        return [one for one in self._vlans if overlays or one.network != OVERLAY]

    def _site(self, stage: Stage, guests: Collection[LabVm]) -> Path:
        document: dict[str, Any] = yaml.safe_load(self._place.site().read_text(encoding="utf-8"))
        entry = next(host for host in document["hosts"] if host["name"] == HOST)
        entry["scheme"] = stage.scheme.value
        if stage.facts:
            entry["facts"] = dict(stage.facts)
        if stage.serves:
            entry["tunnel_ip"] = APPLIANCE_IP
        known = {one.name for one in guests}
        document["ports"] = [
            port for port in document["ports"] if port["host"] != HOST or port["name"] in known
        ]
        path = self._place.site(f"{stage.scheme}-{stage.serves or 'dom0'}")
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return path

    def _carried(self, scheme: Scheme) -> bool:
        known = session.state_of(self._place).hosts.get(HostName(HOST))
        return known is not None and known.carried is scheme

    def _await(self, what: str, true: Callable[[], bool]) -> None:
        give_up = time.monotonic() + READY_SECONDS
        while not true():
            if time.monotonic() > give_up:
                words = self._machine.order("tail", "-n", "20", domains.LOG).said
                raise TerminalError(f"{HOST}: {what}: not there after {READY_SECONDS} s", hint=words)
            time.sleep(1)
