# SPDX-License-Identifier: Apache-2.0
"""The lab's vCenter with all that belongs to it: its account, its door to the outside, the emulator of its hosts."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.lab import daemon, manifest, namespace, process
from anyvisor.lab.esxi import emulator, inventory
from anyvisor.lab.manifest import Process, Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.topology import VCENTER, Topology
from anyvisor.lab.vcenter import program
from anyvisor.lab.vcenter.client import Control
from anyvisor.lab.vcenter.model import State

EMULATOR, DOORWAY = "emulator", "doorway"
PASSWORD_VARIABLE = "ANYVISOR_LAB_VCENTER_PASSWORD"  # noqa: S105 - a name, not the password
START_SECONDS = 30.0
"""On a busy machine; usually it is less than one."""


def files(place: Place, topology: Topology) -> program.Place:
    """Where vCenter keeps its files, and where it listens."""
    return program.Place(
        folder=place.part(VCENTER),
        listen=f"{topology.vcenter.address}:{topology.vcenter.port}",
        user=topology.vcenter.user,
        password_variable=PASSWORD_VARIABLE,
    )


def control(place: Place) -> Control:
    """The line on which the lab gives vCenter orders."""
    return Control(program.Place(folder=place.part(VCENTER)).control)


def certificate(place: Place) -> Path:
    """What a client verifies vCenter by."""
    return place.part(VCENTER) / "control.pem"


def credentials(place: Place) -> Path:
    """The account, in a file that its owner alone may read."""
    return place.part(VCENTER) / "credentials"


def url(place: Place, topology: Topology) -> str:
    """Where vCenter answers commands outside of the lab's namespaces; without a door, where it does inside."""
    try:
        port = json.loads(_door_file(place).read_text(encoding="utf-8"))["port"]
    except FileNotFoundError:
        return inside_url(topology)
    return f"https://127.0.0.1:{port}/sdk"


def inside_url(topology: Topology) -> str:
    """Where vCenter answers on the underlay."""
    return f"https://{topology.vcenter.address}:{topology.vcenter.port}/sdk"


def open_door() -> socket.socket:
    """A socket in this process's own network, on a port that nobody has; to be opened before a lab is entered."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.bind(("127.0.0.1", 0))
    door.listen(128)
    return door


def start(place: Place, topology: Topology, recorder: Recorder, door: socket.socket | None = None) -> None:
    """Start everything; the cable and the hosts are there already."""
    address = f"{topology.vcenter.address}/{topology.underlay.prefix_length}"
    inside = place.namespace(VCENTER)
    namespace.forgo_transmit_checksum(inside, ["eth0"])
    namespace.batch([f"address add {address} dev eth0", "link set eth0 up"], inside=inside)
    _write_secret(credentials(place), f"{topology.vcenter.user}:{secrets.token_urlsafe(18)}\n")
    where = files(place, topology)
    where.inventory.write_text(json.dumps(inventory.inventory(topology), indent=1), encoding="utf-8")
    start_vcenter(place, topology, recorder)
    start_doorway(place, topology, recorder, door or open_door())
    start_emulator(place, recorder)


def start_vcenter(place: Place, topology: Topology, recorder: Recorder) -> None:
    """Start vCenter, or start it again: it is the same one. Returns when it answers.

    Raises:
        TerminalError: it does not begin.
    """
    where = files(place, topology)
    _, _, password = credentials(place).read_text(encoding="utf-8").strip().partition(":")
    extra = {PASSWORD_VARIABLE: password}
    daemon.start_detached(place, VCENTER, VCENTER, program.command(where), recorder=recorder, extra=extra)
    give_up = time.monotonic() + START_SECONDS
    while not _answers(place):
        if time.monotonic() > give_up or not _alive(place, VCENTER):
            raise TerminalError("the lab's vCenter does not begin", hint=f"see {where.log}")
        time.sleep(0.02)


def start_emulator(place: Place, recorder: Recorder) -> None:
    """Start the emulator, or start it again.

    It is not put into its namespace by `ip netns exec`: what it mounts (namespaces of appliances) shall be seen by
    everybody. As a member of vCenter's namespace it ends with the lab.
    """
    folder = place.part(VCENTER)
    argv = [sys.executable, "-m", "anyvisor.lab.esxi", place.name, str(place.root)]
    _spawn(place, EMULATOR, argv, folder / f"{EMULATOR}.log", recorder)


def start_doorway(place: Place, topology: Topology, recorder: Recorder, door: socket.socket) -> None:
    """Let what comes through a door of the outside to vCenter."""
    port = door.getsockname()[1]
    _door_file(place).write_text(json.dumps({"port": port}), encoding="utf-8")
    target = [topology.vcenter.address, str(topology.vcenter.port)]
    argv = [sys.executable, "-m", "anyvisor.lab.esxi.doorway", str(door.fileno()), *target]
    log = place.part(VCENTER) / f"{DOORWAY}.log"
    with door:
        _spawn(place, DOORWAY, argv, log, recorder, keep=(door.fileno(),))


def await_settled(place: Place, *, seconds: float = 10.0) -> None:
    """Wait until the frames do what vCenter says now.

    Raises:
        TerminalError: they do not, in that time.
    """
    wanted = control(place).state()
    give_up = time.monotonic() + seconds
    while not _settled(place, wanted):
        if time.monotonic() > give_up:
            hint = f"see {place.part(VCENTER)}/{EMULATOR}.log"
            raise TerminalError("the lab's ESXi hosts do not follow their vCenter", hint=hint)
        time.sleep(0.01)


def _settled(place: Place, wanted: State) -> bool:
    try:
        instance, generation = emulator.settled_file(place).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    return instance == wanted.instance and int(generation) >= wanted.generation


def restart_emulator(place: Place) -> None:
    """Kill the emulator, if it runs, and start it anew."""
    end(place, EMULATOR)
    start_emulator(place, Recorder(place.manifest))


def restart_vcenter(place: Place, topology: Topology) -> None:
    """Kill vCenter, if it runs, and start it anew; it remembers everything but its sessions."""
    end(place, VCENTER)
    start_vcenter(place, topology, Recorder(place.manifest))


def end(place: Place, what: str) -> None:
    """End vCenter, its doorway or the emulator, if it runs."""
    for one in manifest.read(place.manifest).processes:
        if (one.part, one.what) == (VCENTER, what) and process.alive(one.pid, one.start):
            process.end([one.pid])


def _spawn(
    place: Place, what: str, argv: list[str], log: Path, recorder: Recorder, *, keep: tuple[int, ...] = ()
) -> None:
    """Start a process that is born in vCenter's namespace and runs on by itself."""
    with namespace.entered(place.namespace(VCENTER)), log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=keep,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    # It is nobody's child to wait for: it ends with the lab.
    child.returncode = 0
    recorder.process(
        Process(what=what, part=VCENTER, pid=child.pid, start=process.start_time(child.pid) or 0)
    )


def _answers(place: Place) -> bool:
    try:
        control(place).state()
    except UnreachableError:
        return False
    return True


def _alive(place: Place, what: str) -> bool:
    return any(
        process.alive(one.pid, one.start)
        for one in manifest.read(place.manifest).processes
        if (one.part, one.what) == (VCENTER, what)
    )


def _door_file(place: Place) -> Path:
    return place.part(VCENTER) / "door.json"


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
