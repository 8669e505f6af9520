# SPDX-License-Identifier: Apache-2.0
"""The operator of an emulated Xen host of a lab: switches it on and leads it from scheme to scheme.

The VMs are the lab's; their frames pass through guests of the Xen host (`anyvisor.lab.xen.relay`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from anyvisor.errors import TerminalError
from anyvisor.lab import session, sitefile, up, vm
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import DATABASE_PORT, Place
from anyvisor.lab.product import Product
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import LabVm, Topology
from anyvisor.lab.verify import Pace
from anyvisor.lab.xen import domains, relay
from anyvisor.lab.xen.machine import XenHost, XenMachine
from anyvisor.lab.xen.stage import Stage, is_last_of_its_guests
from anyvisor.model.kinds import Scheme
from anyvisor.model.names import HostName

READY_SECONDS = 300
PACE = Pace(at_once=3, patience_seconds=4.0)
"""What passes an emulated host takes its time, and many packets at once are lost there."""


class XenOperator:
    """Of the host `name` in the topology of a lab that is up. `base` is what ``tools/xen.sh`` has filled;
    `appliance_ip` the address that a domain which switches for others tunnels with.
    """

    def __init__(
        self, place: Place, topology: Topology, name: str, base: Path, say: Say, *, appliance_ip: str
    ) -> None:
        self._place = place
        self._topology = topology
        self._host = topology.host(name)
        self._product = Product(place)
        self._say = say
        self._recorder = Recorder(place.manifest)
        self._appliance_ip = appliance_ip
        self._database = f"tcp:{topology.underlay.central}:{DATABASE_PORT}"
        prefix = topology.underlay.prefix_length
        host = XenHost(
            number=int(name.removeprefix("xen")),
            address=f"{self._host.ip}/{prefix}",
            cards=tuple(nic.vlan for nic in self._host.nics),
            appliance=f"{appliance_ip}/{prefix}",
            database=self._database,
            relayed=True,
        )
        self._programs = up.programs_of(place, None)
        self._machine = XenMachine(place, host, topology.underlay, self._programs, base)
        self._vlans = {one: relay.FIRST_VLAN + n for n, one in enumerate(topology.vms_of(name))}
        self._running: list[LabVm] = []

    def boot(self) -> str:
        """Switch it on, with an agent in dom0 and the ways to the lab's VMs; what the agent's installation said.

        Raises:
            TerminalError: it does not begin.
        """
        self._machine.start(self._recorder)
        ends = [(self._topology.device(one), vlan) for one, vlan in self._vlans.items()]
        relay.join(self._place, self._host.name, self._machine.relay_tap, self._programs, ends)
        self._machine.await_orders()
        self._say(f"{self._host.name}: Xen is up")
        relay.prepare(self._machine, self._vlans.values())
        said = domains.install_agent(self._machine, self._database)
        domains.start_agent(self._machine)
        self._say(f"{self._host.name}: the agent in its dom0 is installed and started")
        return said

    def site(self, stage: Stage) -> Path:
        """The site file of the lab with this host under that scheme, and the VMs that it can serve."""
        guests = self._running if stage.goes_on else self._guests(stage)
        return self._written(stage, guests, f"{stage.scheme}-{stage.serves or 'dom0'}")

    def enter(self, stage: Stage) -> None:
        """Start what the scheme needs, and the guests; the product is told of the scheme, and not yet waited for.

        Raises:
            TerminalError: something does not begin.
        """
        if stage.goes_on:
            return
        # Nothing can be ready yet: it only has to be known what the host is to be.
        with suppress(TerminalError):
            self._product.run("apply", "-f", str(self.site(stage)), "--wait", "1", quiet=True)
        if stage.driver_domain:
            domains.create_driver_domain(self._machine)
        elif stage.serves:
            domains.create_appliance(self._machine, session.state_of(self._place).owner)
        if stage.serves:
            self._await("the domain that switches", lambda: self._carried(stage.scheme))
        for one in self._guests(stage):
            relay.create(
                self._machine, one, self._vlans[one], served=stage.serves if stage.driver_domain else ""
            )
            self._running.append(one)
        for one in self._running:
            self._await(f"the guest of {one.name}", partial(relay.passes, self._machine, one))
            vm.ask_anew(self._place, one, self._recorder)
        self._say(f"{self._host.name}: {len(self._running)} guests pass frames on")

    def leave(self, stage: Stage) -> None:
        """End the guests, and whatever switched for them, unless the next stage goes on with them.

        Raises:
            TerminalError: dom0's own switch is not back in time.
        """
        if not is_last_of_its_guests(stage):
            return
        serving = [stage.serves] if stage.serves else []
        domains.destroy(self._machine, [*(one.name for one in self._running), *serving])
        self._running.clear()
        if serving:
            # Else the next one's domain would be taken for this one's.
            bare = self._written(Stage(scheme=Scheme.SEPARATION), (), "bare")
            self._product.run("apply", "-f", str(bare), "--wait", str(READY_SECONDS), quiet=True)
            self._await("dom0's own switch", lambda: self._carried(Scheme.SEPARATION))

    def _guests(self, stage: Stage) -> list[LabVm]:
        """A native switch reaches only networks that have a VLAN."""
        vlans = {network["name"] for network in self._topology.site["networks"] if "vlan" in network}
        return [one for one in self._vlans if stage.scheme is not Scheme.SEPARATION or one.network in vlans]

    def _written(self, stage: Stage, guests: Collection[LabVm], variant: str) -> Path:
        document: dict[str, Any] = sitefile.document(self._place, self._topology, {})
        name = self._host.name
        entry = next(host for host in document["hosts"] if host["name"] == name)
        entry["scheme"] = stage.scheme.value
        if stage.driver_domain:
            entry["facts"] = {**entry.get("facts", {}), "driver_domain": True}
        if stage.serves:
            entry["tunnel_ip"] = self._appliance_ip
        known = {one.name for one in guests}
        document["ports"] = [
            port for port in document["ports"] if port["host"] != name or port["name"] in known
        ]
        path = self._place.site(variant)
        path.write_text(sitefile.in_words(self._place, self._topology, document), encoding="utf-8")
        return path

    def _carried(self, scheme: Scheme) -> bool:
        known = session.state_of(self._place).hosts.get(HostName(self._host.name))
        return known is not None and known.carried is scheme

    def _await(self, what: str, true: Callable[[], bool]) -> None:
        give_up = time.monotonic() + READY_SECONDS
        while not true():
            if time.monotonic() > give_up:
                words = self._machine.order("tail", "-n", "20", domains.LOG).said
                raise TerminalError(
                    f"{self._host.name}: {what}: not there after {READY_SECONDS} s", hint=words
                )
            time.sleep(1)
