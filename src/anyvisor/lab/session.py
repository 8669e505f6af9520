# SPDX-License-Identifier: Apache-2.0
"""Working with a lab that is up: what it is, what is in force in it, checking it, measuring in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from anyvisor import wiring
from anyvisor.errors import TerminalError
from anyvisor.lab import checks, host, manifest, prober_client, process, topology_file, verify, vm
from anyvisor.lab.checks import Check
from anyvisor.lab.esxi import centre
from anyvisor.lab.expectation import Picture, picture_of
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.outage import Flow, Measurement, streaming
from anyvisor.lab.place import Place
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import Topology
from anyvisor.lab.verify import Pace, Report
from anyvisor.model.names import PortName
from anyvisor.model.state import State
from anyvisor.settings import Settings

SETTLE_SECONDS = 30.0
"""How long the emulator of ESXi hosts is given to follow vCenter."""
LEASE_SECONDS = 30.0
"""How long a VM is given to get its address."""


def settings_of(place: Place) -> Settings:
    """The lab's databases, from outside."""
    return Settings(state_dir=str(place.folder), database=place.database)


def topology_of(place: Place) -> Topology:
    """What the lab was built from.

    Raises:
        TerminalError: there is no such lab, or it was never finished.
    """
    if not place.folder.exists():
        hint = "`anyvisor lab up` builds one; `anyvisor lab status` lists those there are"
        raise TerminalError(f"there is no lab {place.name!r}", hint=hint)
    if not manifest.read(place.manifest).complete:
        hint = f"`anyvisor lab down --name {place.name}`, then `anyvisor lab up`"
        raise TerminalError(f"the lab {place.name!r} was not built to its end", hint=hint)
    return topology_file.parse(place.topology.read_text(encoding="utf-8"), source=str(place.topology))


def state_of(place: Place) -> State:
    """What the lab's Anyvisor database says now.

    Raises:
        UnreachableError: it does not answer.
    """
    with wiring.open_store(settings_of(place)) as store:
        return store.snapshot()


def picture_in_force(place: Place) -> Picture:
    """What packets should obey now.

    Raises:
        TerminalError: nothing has been applied yet.
    """
    picture = picture_of(state_of(place))
    if not picture.addresses:
        hint = f"export ANYVISOR_DATABASE={place.database}; anyvisor apply -f {place.site()}"
        raise TerminalError(f"nothing has been applied to the lab {place.name!r} yet", hint=hint)
    return picture


def check(
    place: Place, say: Say, *, only: Callable[[Check], bool] | None = None, pace: Pace | None = None
) -> Report:
    """Check every pair of VMs against what is in force, with real packets; with `only` what that admits.

    Raises:
        TerminalError: nothing has been applied yet, or the ESXi hosts of the lab do not follow their vCenter.
    """
    topology = topology_of(place)
    if topology.esxi_hosts:
        # A real vCenter has done what it says; the lab's is followed by an emulator, which may be behind.
        centre.await_settled(place, seconds=SETTLE_SECONDS)
    planned = checks.plan(topology, picture_in_force(place))
    if only is not None:
        planned = replace(planned, checks=tuple(filter(only, planned.checks)))
    prober_client.ensure(place, topology, Recorder(place.manifest))
    ends = {end for one in planned.checks for end in (one.source, one.target)}
    vms = sum(machine.name in ends for machine in topology.vms)
    say(f"{len(planned.checks)} checks between {vms} VMs and the outside")
    return verify.verify(place, planned, say, pace)


def flow(place: Place, source: str, target: str, *, version: int = 4, port: int | None = None) -> Flow:
    """A stream from one VM or outside host to the address that another VM has now.

    Raises:
        TerminalError: the target has no address of that IP version.
    """
    addresses = picture_in_force(place).addresses.get(PortName(target), ())
    address = next((a for a in addresses if (":" in a) == (version == 6)), None)
    if address is None:
        raise TerminalError(f"{target} has no IPv{version} address")
    return Flow(source=source, target=target, address=address, port=port)


@contextmanager
def measuring(place: Place, *flows: Flow) -> Iterator[Measurement]:
    """Stream while the context lasts; begins once both ends of every stream have their addresses.

    Raises:
        TerminalError: one has none in time.
    """
    # A target that still asks for its address would be counted as an outage.
    _await_leases(place, {end for flow in flows for end in (flow.source, flow.target)})
    with streaming(place, flows) as measurement:
        yield measurement


def _await_leases(place: Place, ends: Collection[str]) -> None:
    asking = {end for end in ends if (place.part(end) / "take-lease").exists()}
    give_up = time.monotonic() + LEASE_SECONDS
    while lacking := sorted(end for end in asking if not vm.lease(place, end)):
        if time.monotonic() > give_up:
            raise TerminalError(f"no address was given to {', '.join(lacking)}")
        time.sleep(0.05)


def restart_agent(place: Place, name: str) -> None:
    """End a host's agent, if it runs, and start it anew."""
    for one in manifest.read(place.manifest).processes:
        if (one.part, one.what) == (name, host.AGENT) and process.alive(one.pid, one.start):
            process.end([one.pid])
    host.start_agent(place, name, Recorder(place.manifest))
