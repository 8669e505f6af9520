# SPDX-License-Identifier: Apache-2.0
"""Labs of a plain user: in a user namespace of their own, where the user is root.

One process keeps the namespaces while no command runs. Its private /run holds a file that names the lab's folder: by
that file everything of the lab is found again, whatever was killed meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from anyvisor.errors import TerminalError, UnreachableError
from anyvisor.lab import process
from anyvisor.lab.namespace import CLONE_NEWNET, set_namespace
from anyvisor.lab.place import Place
from anyvisor.lab.programs import environment

CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000
KINDS = (("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS), ("net", CLONE_NEWNET))
MARK = "run/anyvisor-lab"
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount")
KEEP = (
    'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && printf %s "$1" >/run/anyvisor-lab'
)
ROUNDS = 5
SWITCHES = (
    (
        "user/max_user_namespaces",
        "0",
        "no user namespaces are allowed (sysctl user.max_user_namespaces is 0)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "only root may make user namespaces (sysctl kernel.unprivileged_userns_clone is 0)",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes all rights away in it (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)",
    ),
)


def needed() -> bool:
    """Whether this user must make namespaces without being root."""
    return os.geteuid() != 0


def require() -> None:
    """Try whether this user can have a lab.

    Raises:
        TerminalError: names what forbids it.
    """
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /run"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if tried.returncode != 0:
        raise TerminalError(forbidden(tried.stderr), hint="run it as root, or let root change that setting")


def forbidden(said: str, sysctls: Path = Path("/proc/sys")) -> str:
    """Why a user namespace could not be had, as far as the kernel's settings tell; else what was `said`."""
    for name, value, reason in SWITCHES:
        try:
            if (sysctls / name).read_text().strip() == value:
                return f"a lab without root needs a user namespace, and {reason}"
        except OSError:
            continue
    words = " ".join(said.split())
    return f"a lab without root needs a user namespace, which this system refuses: {words}"


def keepers(place: Place) -> tuple[int, ...]:
    """The processes of this user that run in the lab's namespaces and see its mark."""
    found = []
    for pid in process.pids():
        try:
            if Path("/proc", str(pid), "root", MARK).read_text() == str(place.folder):
                found.append(pid)
        except OSError:
            continue
    return tuple(found)


def start(place: Place) -> None:
    """Make the namespaces and move this process into them.

    Raises:
        TerminalError: they cannot be had, or the lab is there already.
    """
    require()
    if keepers(place) or place.folder.exists():
        hint = f"`anyvisor lab down --name {place.name}` deletes it"
        raise TerminalError(f"there is a lab {place.name!r} already", hint=hint)
    keep = [*UNSHARE, "sh", "-c", f"{KEEP} && exec sleep infinity", "sh", str(place.folder)]
    quiet = subprocess.DEVNULL
    subprocess.run(
        ["setsid", "--fork", *keep], stdin=quiet, stdout=quiet, stderr=quiet, env=environment(), check=True
    )
    give_up = time.monotonic() + 10
    while not keepers(place):
        if time.monotonic() > give_up:
            raise TerminalError("the lab's namespaces did not come up", hint=" ".join(keep))
        time.sleep(0.01)
    enter(place)


def enter(place: Place) -> None:
    """Move this process into the lab's namespaces; as if it were root there.

    Raises:
        UnreachableError: nothing of the lab runs any more.
    """
    found = keepers(place)
    if not found:
        raise UnreachableError(
            f"the lab {place.name!r} is not running", hint="`anyvisor lab down`, then `lab up`"
        )
    here = Path.cwd()
    held = [os.open(f"/proc/{found[0]}/ns/{name}", os.O_RDONLY) for name, _ in KINDS]
    try:
        for descriptor, (_, kind) in zip(held, KINDS, strict=True):
            set_namespace(descriptor, kind)
    finally:
        for descriptor in held:
            os.close(descriptor)
    os.chdir(here)


def inside(place: Place) -> bool:
    """Whether this process is in the lab's namespaces."""
    return os.getpid() in keepers(place)


def end(place: Place) -> None:
    """End everything in the lab's namespaces but this process; the namespaces go with the last one.

    From outside a process that sees the mark but is in our own user namespace is somebody's look into the lab: it is
    left alone.
    """
    own = os.getpid()
    ours = None if inside(place) else process.namespace_of(own, "user")
    for _ in range(ROUNDS):
        seen = {process.namespace_of(pid, "user") for pid in keepers(place) if pid != own}
        members = process.in_namespaces("user", {inode for inode in seen if inode not in {None, ours}}) - {
            own
        }
        if not members:
            return
        process.end(members)
