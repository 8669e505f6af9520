# SPDX-License-Identifier: Apache-2.0
"""An emulated Xen host as a part of a lab: its cables in the fabric, its power, orders for its dom0."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.lab import daemon, manifest, namespace, process, switch
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import CENTRAL, FABRIC, Place
from anyvisor.lab.programs import PATH, Programs
from anyvisor.lab.topology import Underlay
from anyvisor.lab.xen import payload

PORT = 2222
CONSOLE = "console"
BOOT_SECONDS = 300.0
"""Emulated on a busy machine; alone it is about one minute."""
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class XenHost:
    """What it is to be. `number` tells it from others of the lab.

    `address` (``192.0.2.1/24``) is that of dom0's Linux bridge; `cards` gives the VLAN of each
    card's port in the fabric, None for the underlay's trunk.
    """

    number: int = 1
    address: str
    cards: tuple[int | None, ...] = (None, 200)
    appliance: str = ""
    """The address (with prefix length) that an appliance on it tunnels from; empty: there is to be none."""
    relayed: bool = False
    """It has one more card, for `anyvisor.lab.xen.relay`."""
    database: str = ""
    """The Anyvisor database, as an appliance reaches it."""
    memory_mib: int = 3072
    dom0_mib: int = 1024

    @property
    def name(self) -> str:
        """What it is called, as a host and as a part of the lab."""
        return f"xen{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an order came to."""

    status: int
    said: str
    complained: str


class XenMachine:
    """One Xen host of a lab. `base` is the folder that ``tools/xen.sh`` fills."""

    def __init__(
        self, place: Place, host: XenHost, underlay: Underlay, programs: Programs, base: Path
    ) -> None:
        self._place = place
        self._host = host
        self.name = host.name
        self.ip = host.address.partition("/")[0]
        self.mtu = underlay.mtu
        self._underlay = underlay
        self._programs = programs
        self._base = base

    @property
    def console(self) -> Path:
        """All that Xen, dom0's kernel and its first process print."""
        return self._place.part(self.name) / CONSOLE

    def start(self, recorder: Recorder) -> None:
        """Switch it on. It takes orders only once `await_orders` returns.

        Raises:
            TerminalError: QEMU is not installed or does not begin, or a disk was not or cannot be made.
        """
        emulator = shutil.which("qemu-system-x86_64", path=PATH)
        if emulator is None or not (self._base / "ready").exists():
            raise TerminalError("there is no emulated Xen host", hint="make test-xen makes what it needs")
        folder = self._place.part(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        disk = payload.build(folder, self._base, self._settings(), self._appliance())
        # Its cards' far ends are in the fabric, and so is its emulator.
        daemon.start_detached(
            self._place, FABRIC, self.name, [emulator, *self._arguments(disk)], recorder=recorder
        )
        self._connect()

    def await_orders(self, *, seconds: float = BOOT_SECONDS) -> None:
        """Return once dom0 takes orders.

        Raises:
            TerminalError: it does not within that time, or its emulator has ended.
        """
        give_up = time.monotonic() + seconds
        while True:
            try:
                self.order("true")
            except UnreachableError as error:
                if time.monotonic() > give_up or not self.is_on():
                    words = self.console.read_text(errors="replace")[-2000:] if self.console.exists() else ""
                    raise TerminalError(f"dom0 of {self.name} does not begin: {error}", hint=words) from error
                time.sleep(LOOK_SECONDS)
            else:
                return

    def is_on(self) -> bool:
        """Whether its emulator runs."""
        return any(
            (one.part, one.what) == (FABRIC, self.name) and process.alive(one.pid, one.start)
            for one in manifest.read(self._place.manifest).processes
        )

    def order(
        self, *argv: str, given: str = "", seconds: float = 60.0, detached: str | None = None
    ) -> Answer:
        """Let dom0 run a command as root.

        Raises:
            UnreachableError: nobody takes orders there.
        """
        wanted = {"argv": argv, "given": given, "seconds": seconds, "detached": detached}
        address = (self.ip, PORT)
        try:
            with namespace.entered(self._place.namespace(CENTRAL)):
                connection = socket.create_connection(address, timeout=3)
            with connection, connection.makefile("rw", encoding="utf-8") as line:
                connection.settimeout(seconds + 30)
                line.write(json.dumps(wanted) + "\n")
                line.flush()
                return Answer(**json.loads(line.readline()))
        except (OSError, ValueError) as error:
            raise UnreachableError(f"dom0 of {self.name} takes no orders: {error}") from error

    def do(self, *argv: str, given: str = "", seconds: float = 60.0) -> str:
        """The same for what must succeed; what it said.

        Raises:
            UnreachableError: nobody takes orders there.
            TerminalError: it failed, with its words.
        """
        answer = self.order(*argv, given=given, seconds=seconds)
        if answer.status != 0:
            raise TerminalError(f"{self.name}: {' '.join(argv)}: {answer.complained or answer.said}")
        return answer.said

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Put a file into dom0; raises as `do`."""
        self.do("install", "-D", "-m", mode, "/dev/stdin", path, given=text)

    def echoes(self, seconds: float) -> dict[tuple[Any, ...], list[tuple[str, bool, tuple[int, ...]]]]:
        """Per echo (source, target, type, identifier, number) where in dom0 it was heard in that time: device, whether
        it left by it, its VLANs. Raises as `do`."""
        program = (
            "env",
            "PYTHONPATH=/payload/site",
            "python3",
            "-m",
            "anyvisor.lab.xen.echoes",
            str(seconds),
        )
        found = defaultdict(list)
        for device, outgoing, tags, echo in json.loads(self.do(*program, seconds=seconds + 60)):
            found[tuple(echo)].append((device, outgoing, tuple(tags)))
        return found

    def _settings(self) -> str:
        return (
            f"name={self.name}\naddress={self._host.address}\nappliance={self._host.appliance}\n"
            f"mtu={self._underlay.mtu}\nport={PORT}\n"
            f"database={self._host.database}\nphysical={self._underlay.physical}\n"
        )

    def _appliance(self) -> str:
        said = {
            "host": self.name,
            "database": self._host.database,
            "appliance_trunk": "eth1",
            "appliance_uplink": "eth0",
            "appliance_physical": self._underlay.physical,
            "appliance_tunnel_ip": self._host.appliance.partition("/")[0],
            "interval_seconds": 2,
            "probe_seconds": 20,
        }
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items() if value)

    def _arguments(self, disk: Path) -> Sequence[str]:
        dom0 = "console=hvc0 root=/dev/sda rw init=/init-lab net.ifnames=0 panic=-1 quiet"
        hypervisor = (
            f"dom0_mem={self._host.dom0_mib}M,max:{self._host.dom0_mib}M console=com1 com1=115200 noreboot"
        )
        drive = "format=raw,if=ide"
        cards = [
            word
            for number, tap in enumerate(self._all_taps)
            for word in (
                "-netdev",
                f"tap,id=n{number},ifname={tap},script=no,downscript=no,vnet_hdr=off",
                "-device",
                f"e1000,netdev=n{number},mac=52:54:00:77:{self._host.number:02x}:{number:02x}",
            )
        ]
        return [
            *("-accel", "tcg", "-m", str(self._host.memory_mib), "-display", "none", "-no-reboot"),
            *("-serial", f"file:{self.console}", "-monitor", "none"),
            *("-kernel", str(self._base / "xen"), "-append", hypervisor),
            *("-initrd", f"{self._base / 'vmlinuz'} {dom0},{self._base / 'ramdisk'}"),
            *("-drive", f"file={self._base / 'root.img'},{drive},snapshot=on"),
            *("-drive", f"file={disk},{drive},snapshot=on"),
            # A copy of the first, which nobody mounts: the appliance's.
            *("-drive", f"file={self._base / 'root.img'},{drive},index=3,snapshot=on"),
            *cards,
        ]

    def _connect(self) -> None:
        """Put its cards into the fabric, as other hosts' are."""
        fabric = self._place.namespace(FABRIC)
        taps = self._all_taps
        self._await_taps(taps)
        namespace.batch([f"link set {tap} mtu {self._underlay.mtu} up" for tap in taps], inside=fabric)
        steps = []
        for tap, vlan in zip(self._taps, self._host.cards, strict=True):
            mode = ("vlan_mode=native-untagged", f"tag={self._underlay.vlan}")
            if vlan is not None:
                mode = ("vlan_mode=access", f"tag={vlan}")
            steps.append(("--may-exist", "add-port", "fabric", tap, *mode))
        switch.configure(self._place, FABRIC, self._programs, steps)

    def _await_taps(self, taps: Sequence[str]) -> None:
        give_up = time.monotonic() + 20
        while True:
            with namespace.entered(self._place.namespace(FABRIC)):
                there = {name for _, name in socket.if_nameindex()}
            if there >= set(taps):
                return
            if time.monotonic() > give_up or not self.is_on():
                log = self._place.part(FABRIC) / f"{self.name}.log"
                raise TerminalError(
                    f"the emulator of {self.name} does not begin", hint=log.read_text()[-2000:]
                )
            time.sleep(0.05)

    @property
    def relay_tap(self) -> str:
        """The fabric's end of the card for relaying."""
        return f"{self.name}-{len(self._host.cards)}"

    @property
    def relay_card(self) -> str:
        """What dom0 calls it."""
        return f"eth{len(self._host.cards)}"

    @property
    def _all_taps(self) -> list[str]:
        return [*self._taps, *([self.relay_tap] if self._host.relayed else ())]

    @property
    def _taps(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(len(self._host.cards))]
