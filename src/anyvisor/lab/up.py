# SPDX-License-Identifier: Apache-2.0
"""`lab up`: from a topology to a running lab. Each thing is recorded before it is made."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from anyvisor.errors import TerminalError
from anyvisor.lab import (
    central,
    down,
    dpu,
    fabric,
    host,
    manifest,
    namespace,
    prober_client,
    programs,
    sitefile,
    topology_file,
    vm,
)
from anyvisor.lab.esxi import centre
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import CENTRAL, FABRIC, Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.progress import Say
from anyvisor.lab.topology import VCENTER, Topology
from anyvisor.lab.vcenter import program

NO_IPV6 = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
"""Hosts talk IPv4 to each other; their IPv6 neighbour discovery would only cost time."""
WORKERS = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to build. `chroot` is the folder of another system whose Open vSwitch and OVN are taken.

    `door` is where vCenter is reached from outside; a plain user opens it before he enters his lab's namespaces.
    """

    chroot: Path | None = None
    agents: bool = True
    keeper: str | None = None
    door: socket.socket | None = None
    emulated: bool = False
    """Emulated hosts are switched on by the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every stage of the building needs."""

    place: Place
    topology: Topology
    programs: Programs
    recorder: Recorder
    say: Say


def up(place: Place, topology: Topology, options: Options, say: Say) -> None:
    """Build the lab. If that fails or is interrupted, what was made is deleted again.

    Raises:
        TerminalError: there is a lab of that name already, a program is missing, or a part did not start.
    """
    if not options.emulated and (emulated := [one.name for one in topology.hosts if one.is_emulated]):
        raise TerminalError(
            f"{', '.join(emulated)}: a Xen host under an emulator, which this command does not switch on",
            hint="make conformance-xen",
        )
    _make_folder(place)
    with manifest.locked(place.folder):
        recorder = Recorder(place.manifest)
        chosen = {"chroot": str(options.chroot)} if options.chroot else {}
        recorder.lab(topology=topology.name, keeper=options.keeper, options=chosen)
        try:
            sources = programs_of(place, options.chroot)
            programs.require(sources)
            if topology.esxi_hosts:
                program.find()
            work = Work(place=place, topology=topology, programs=sources, recorder=recorder, say=say)
            _build(work, options)
            recorder.complete()
        except BaseException:
            say("failed; deleting what was made")
            down.delete(place)
            raise


def programs_of(place: Place, chroot: Path | None) -> Programs:
    """The programs that the lab runs, from this machine or from another system's folder."""
    return programs.from_folder(chroot.resolve(), place.folder / "chrooted") if chroot else Programs()


def _make_folder(place: Place) -> None:
    try:
        place.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        place.folder.mkdir(mode=0o755)
    except FileExistsError as error:
        message = f"there is a lab {place.name!r} already"
        hint = f"`anyvisor lab down --name {place.name}` deletes it; `anyvisor lab status` shows what is left of it"
        raise TerminalError(message, hint=hint) from error
    except OSError as error:
        raise TerminalError(f"cannot make the folder {place.folder}: {error.strerror}") from error
    if place.root.stat().st_uid != os.geteuid():
        place.folder.rmdir()
        raise TerminalError(
            f"{place.root} belongs to somebody else", hint="set ANYVISOR_LAB_ROOT to a folder of yours"
        )


def _build(work: Work, options: Options) -> None:
    place, topology, say = work.place, work.topology, work.say
    place.topology.write_text(topology_file.dump(topology), encoding="utf-8")
    _make_namespaces(work)
    say(f"{len(topology.hosts)} hosts, {len(topology.vms)} VMs: namespaces and cables")
    fabric.start(place, topology, work.programs, work.recorder)
    say("fabric: up")
    central.start(place, topology, work.programs, work.recorder)
    say("central: OVN northbound, southbound, northd; Anyvisor database")
    _each(topology.hosts, lambda one: host.start(place, topology, one, work.programs, work.recorder))
    for one in topology.hosts:
        card = f", DPU {one.dpu.serial}" if one.dpu is not None else ""
        alone = one.is_esxi and one.dpu is None
        if one.is_emulated:
            say(f"{one.name}: a machine under an emulator, switched on later")
            continue
        say(f"{one.name}: {one.switch.value}{card}" + ("" if alone else f" on {one.ip}"))
    if topology.esxi_hosts:
        centre.start(place, topology, work.recorder, options.door)
        say(
            f"{topology.vcenter.name}: vCenter with {len(topology.esxi_hosts)} hosts at {centre.url(place, topology)}"
        )
    _each(topology.vms, lambda one: vm.switch_on(place, one, work.recorder))
    for outsider in topology.outside:
        _start_outsider(work, outsider.name, outsider.addresses)
    prober_client.start(place, topology, work.recorder)
    if topology.esxi_hosts:
        centre.await_settled(place, seconds=30)
    say("VMs: switched on, asking for addresses")
    sitefile.write(place, topology)
    if options.agents and host.agent_is_there():
        ours = [one for one in topology.hosts if one.dpu is not None or not (one.is_esxi or one.is_emulated)]
        _each(ours, lambda one: host.start_agent(place, one.card, work.recorder))
        say("agents: started")


def _make_namespaces(work: Work) -> None:
    place, topology = work.place, work.topology
    centres = [CENTRAL, VCENTER] if topology.esxi_hosts else [CENTRAL]
    outsiders = (outsider.name for outsider in topology.outside)
    hosts = dict.fromkeys(part for one in topology.hosts for part in (one.name, one.card))
    underlay = [FABRIC, *centres, *hosts, *outsiders]
    names = {part: place.namespace(part) for part in (*underlay, *(one.name for one in topology.vms))}
    for part, name in names.items():
        if namespace.inode(name) is not None:
            raise TerminalError(
                f"a network namespace {name} exists that is not this lab's", hint="delete it first"
            )
        work.recorder.namespace(name)
        place.part(part).mkdir(exist_ok=True)
    namespace.create(names.values())
    for part in underlay:
        namespace.write_sysctls(names[part], NO_IPV6)
    namespace.batch(
        [
            *fabric.link_lines(place, topology),
            *(
                dpu.link_line(place, topology, one)
                for one in topology.hosts
                if one.dpu is not None and not one.is_esxi
            ),
            *(vm.link_line(place, topology, one) for one in topology.vms),
        ]
    )
    for one in topology.hosts:
        if one.dpu is not None and not one.is_esxi:
            continue  # representors: whoever plugs them brings them up, as on a real card
        taps = [f"link set {topology.device(machine)} up" for machine in topology.vms_of(one.name)]
        namespace.batch(taps, inside=names[one.card])


def _start_outsider(work: Work, name: str, addresses: tuple[str, ...]) -> None:
    inside = work.place.namespace(name)
    namespace.forgo_transmit_checksum(inside, [vm.CARD])
    namespace.write_sysctls(inside, {"net/ipv4/ping_group_range": "0 0"})
    lines = [f"address add {address} dev {vm.CARD}" for address in addresses]
    namespace.batch([*lines, f"link set {vm.CARD} up"], inside=inside)


def _each(items: Iterable[T], do: Callable[[T], None]) -> None:
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for _ in pool.map(do, items):
            pass
