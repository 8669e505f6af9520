# SPDX-License-Identifier: Apache-2.0
"""Appliances: a VM with user-data becomes a namespace that runs the switch of its host while it is on.

What an appliance's image does at its first boot (network, Open vSwitch, ovn-controller, the agent as a service) is done
here, with the lab's programs. Off means that everything in it is killed at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from anyvisor.errors import TerminalError
from anyvisor.lab import daemon, host, manifest, namespace, process, switch
from anyvisor.lab.esxi import userdata
from anyvisor.lab.esxi.picture import Machine
from anyvisor.lab.esxi.userdata import Wish
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.topology import Underlay

log = logging.getLogger(__name__)

DISK, BOOTED, MARK = "disk", "booted", "appliance"
"""In an appliance's folder: the files it was given; which boot it is in; and that it is one."""
LONGEST = 30
COUNTED = re.compile(r"eth[0-9]+")
NO_IPV6 = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """A VM that is one: where it lives in the lab, and what it was given."""

    key: str
    machine: Machine
    wish: Wish = field(repr=False)


def part_name(vm: str, key: str, taken: Collection[str]) -> str:
    """The part that a VM of that name becomes; as it is called, where that makes a path and is free."""
    plain = re.sub(r"[^a-z0-9-]+", "-", vm.lower()).strip("-")
    if plain == vm and plain not in taken and len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def appliance_of(vm: str, key: str, guestinfo: Mapping[str, str], taken: Collection[str]) -> Appliance:
    """The appliance that a VM with user-data is.

    Raises:
        TerminalError: the user-data cannot be read.
    """
    wish = userdata.read(guestinfo)
    trunk = _setting(wish, "appliance_trunk") or "trunk0"
    counted = COUNTED.fullmatch(trunk) is not None
    machine = Machine(
        part=part_name(vm, key, taken),
        appliance=True,
        trunk="" if counted else trunk,
        names=tuple(sorted(wish.names.items())),
    )
    return Appliance(key=key, machine=machine, wish=wish)


def parts(place: Place) -> tuple[str, ...]:
    """The appliances that the lab has, switched on or off."""
    return tuple(sorted(path.parent.name for path in place.folder.glob(f"*/{MARK}")))


def is_on(place: Place, part: str) -> bool:
    """Whether an appliance has been booted and not been switched off since."""
    return (place.part(part) / BOOTED).exists()


class Machines:
    """Makes, boots, kills and deletes the machines of appliances. Calls for one part do not overlap."""

    def __init__(self, place: Place, underlay: Underlay, programs: Programs, recorder: Recorder) -> None:
        self._place = place
        self._underlay = underlay
        self._programs = programs
        self._recorder = recorder

    def ensure(self, part: str) -> None:
        """Make the namespace. Whoever deletes the lab holds its lock, so nothing is made behind his back.

        Raises:
            TerminalError: a namespace has the name and is not this lab's.
            RetryableError: another command is at work on the lab.
        """
        name = self._place.namespace(part)
        folder = self._place.part(part)
        if namespace.inode(name) is not None and (folder / MARK).exists():
            return
        with manifest.locked(self._place.folder, timeout_seconds=1.0):
            if (
                namespace.inode(name) is not None
                and name not in manifest.read(self._place.manifest).namespaces
            ):
                raise TerminalError(f"a network namespace {name} exists that is not this lab's")
            self._recorder.namespace(name)
            folder.mkdir(exist_ok=True)
            (folder / MARK).touch()
            if namespace.inode(name) is None:
                namespace.create([name])
                namespace.write_sysctls(name, NO_IPV6)

    def booted(self, part: str) -> str | None:
        """Which boot the machine is in; None: it is off."""
        try:
            return (self._place.part(part) / BOOTED).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def boot(self, one: Appliance, cards: Collection[str], boot: str) -> None:
        """Start everything; the cards with those names are there. What an earlier boot left running is killed first."""
        part = one.machine.part
        self.kill(part)
        folder = self._place.part(part)
        # Noted first: a boot that fails is not tried again and again, as a real machine's is not.
        (folder / BOOTED).write_text(boot, encoding="utf-8")
        _write(folder / DISK, one.wish)
        shutil.rmtree(folder / "run", ignore_errors=True)
        self._network(one, cards)
        self._start(one)
        log.info("%s: booted", part)

    def kill(self, part: str) -> None:
        """End everything in the machine at once, as when its power is cut."""
        inode = namespace.inode(self._place.namespace(part))
        (self._place.part(part) / BOOTED).unlink(missing_ok=True)
        give_up = time.monotonic() + KILL_SECONDS
        while inode is not None and (found := process.residents(inode)):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > give_up:
                raise TerminalError(f"{part}: processes {sorted(found)} do not end")
            time.sleep(0.01)

    def delete(self, part: str) -> None:
        """Remove the machine with its disk."""
        self.kill(part)
        namespace.delete([self._place.namespace(part)])
        shutil.rmtree(self._place.part(part), ignore_errors=True)

    def _network(self, one: Appliance, cards: Collection[str]) -> None:
        """The operator's bridge with the card to the underlay, and the address on it: tunnels of a switch in user
        space need it there.
        """
        part, inside = one.machine.part, self._place.namespace(one.machine.part)
        path = switch.start_script(self._place, part, self._programs)
        switch.controller_script(self._place, part, self._programs)
        switch.stop_scripts(self._place, part)
        daemon.start_by_script(self._place, part, path, switch.DAEMONS, self._recorder)
        if one.wish.sysctl:
            namespace.write_sysctls(inside, one.wish.sysctl)
        mtu = self._underlay.mtu
        namespace.batch([f"link set {card} up mtu {mtu}" for card in cards], inside=inside)
        bridge = _setting(one.wish, "appliance_bridge") or "br-ex"
        uplink = _setting(one.wish, "appliance_uplink") or one.wish.bridged.get(bridge, "eth0")
        if uplink in cards:
            hardware = one.wish.hardware.get(bridge)
            steps = (
                ("--may-exist", "add-br", bridge),
                ("set", "bridge", bridge, "datapath_type=netdev", "fail-mode=standalone"),
                ("--may-exist", "add-port", bridge, uplink),
                ("set", "Interface", bridge, f"mtu_request={mtu}"),
                *([("set", "bridge", bridge, f'other_config:hwaddr="{hardware}"')] if hardware else []),
            )
            switch.configure(self._place, part, self._programs, steps)
            namespace.batch(self._addresses(one.wish, bridge, uplink, cards), inside=inside)

    def _addresses(self, wish: Wish, bridge: str, uplink: str, cards: Collection[str]) -> list[str]:
        given = {card: wish.addresses[card] for card in (*cards, bridge) if wish.addresses.get(card)}
        if uplink not in given and bridge not in given and (tunnel := _setting(wish, "appliance_tunnel_ip")):
            given[bridge] = (f"{tunnel}/{self._underlay.prefix_length}",)
        lines = [f"link set {bridge} up"]
        for card, listed in given.items():
            device = bridge if card == uplink else card
            lines += [f"address replace {address} dev {device}" for address in listed]
        for card, gateway in wish.gateways.items():
            lines.append(f"route replace default via {gateway} dev {bridge if card == uplink else card}")
        return lines

    def _start(self, one: Appliance) -> None:
        part = one.machine.part
        folder = self._place.part(part)
        controller = folder / "start-ovn-controller"
        daemon.start_by_script(self._place, part, controller, ["ovn-controller"], self._recorder)
        found = one.wish.agent
        if found is None:
            # What it is told at its first boot stands in the switch's own database, and so is told again.
            steps = [shlex.split(line)[1:] for line in one.wish.commands if line.startswith("ovs-vsctl ")]
            if steps:
                switch.configure(self._place, part, self._programs, steps)
            else:
                log.warning("%s: its user-data have no settings for an agent", part)
            return
        if not host.agent_is_there():
            return
        (folder / "agent").mkdir(exist_ok=True)
        config = _on_disk(folder / DISK, found[0])
        argv = [sys.executable, "-m", "anyvisor", "agent", "--config", str(config)]
        extra = {"PYTHONUNBUFFERED": "1", **agent_environment(self._place, part, one.wish)}
        daemon.start_detached(self._place, part, host.AGENT, argv, recorder=self._recorder, extra=extra)


def agent_environment(place: Place, part: str, wish: Wish) -> dict[str, str]:
    """What differs between an appliance and a machine of the lab; weighs more than the file of settings."""
    folder = place.part(part)
    values = {
        "ovs": place.switch_database(part),
        "start_openvswitch": f"{folder}/start-openvswitch",
        "stop_openvswitch": f"{folder}/stop-openvswitch",
        "start_ovn_controller": f"{folder}/start-ovn-controller",
        "stop_ovn_controller": f"{folder}/stop-ovn-controller",
        "ovn_bridge_datapath": "netdev",
        "interval_seconds": "1",
        "probe_seconds": "5",
        "state_dir": f"{folder}/agent",
    }
    said = wish.agent[1] if wish.agent is not None else {}
    for key, value in said.items():
        if isinstance(value, str) and key not in values:
            # Also what is not changed, since the lab's own environment may say something else.
            values[key] = str(_on_disk(folder / DISK, value)) if value in wish.files else value
    return {f"ANYVISOR_{key.upper()}": value for key, value in values.items()}


def _on_disk(disk: Path, path: str) -> Path:
    """Where a file of the machine lies; no path leads out of its disk."""
    return disk / os.path.normpath("/" + path.lstrip("/"))[1:]


def _write(disk: Path, wish: Wish) -> None:
    for path, content in wish.files.items():
        target = _on_disk(disk, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, content.mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content.text)
    disk.mkdir(exist_ok=True)
    (disk / "runcmd").write_text("".join(f"{line}\n" for line in wish.commands), encoding="utf-8")


def _setting(wish: Wish, name: str) -> str:
    """What the agent's settings say; empty where they say nothing."""
    return str(wish.agent[1].get(name, "")) if wish.agent is not None else ""
