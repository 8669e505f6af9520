# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of one host's own: in its namespace, with its Open vSwitch, sharing no file with this machine's libvirt.

libvirt's folders are fixed when it is built, so private ones are mounted over them where nobody else sees it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from pathlib import Path

from anyvisor.errors import TerminalError
from anyvisor.lab import daemon, manifest, process
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import PATH

LIBVIRTD = "libvirtd"
SETTINGS = {
    "libvirtd.conf": ('auth_unix_rw = "none"', 'unix_sock_rw_perms = "0700"'),
    # Everything that would need systemd, virtlogd, cgroups or another user.
    "qemu.conf": (
        'user = "root"',
        'group = "root"',
        "dynamic_ownership = 0",
        "remember_owner = 0",
        'security_driver = "none"',
        "namespaces = []",
        "cgroup_controllers = []",
        'stdio_handler = "file"',
    ),
}
FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}

SCRIPT = """\
#!/bin/sh
# Runs libvirtd of {part}. To be started in the host's network namespace by `ip netns exec`, which gives it a mount
# namespace of its own as well: what is mounted here is seen by libvirtd and its guests alone.
set -e
export PATH={path} OVS_RUNDIR={folder}/run
{mounts}
# Without sockets of systemd and D-Bus libvirtd asks nobody to help; the lab's own folder stays in sight.
mkdir -p {libvirt}{root}
mount --rbind {root} {libvirt}{root}
mount --rbind {libvirt}/run /run
exec libvirtd --config /etc/libvirt/libvirtd.conf
"""


def uri(place: Place, part: str) -> str:
    """What libvirt's clients connect to, from anywhere on this machine."""
    return f"qemu+unix:///system?socket={_folder(place, part)}/run/libvirt/libvirt-sock"


def start(place: Place, part: str, recorder: Recorder) -> None:
    """Start it as a daemon of the lab; guests that an earlier one left running are taken over.

    It may not listen yet when this returns.

    Raises:
        TerminalError: it is not installed, or could not be started.
    """
    if shutil.which(LIBVIRTD, path=PATH) is None:
        raise TerminalError(
            "not found: libvirtd", hint="apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu"
        )
    folder = _folder(place, part)
    for name in ("run", *FOLDERS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, lines in SETTINGS.items():
        (folder / "etc" / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    script = place.part(part) / "run-libvirtd"
    script.write_text(_script(place, part), encoding="utf-8")
    script.chmod(0o755)
    daemon.start_detached(place, part, LIBVIRTD, [str(script)], recorder=recorder)


def kill(place: Place, part: str) -> None:
    """End it as a crash would, with no time to do anything; its guests run on."""
    for one in manifest.read(place.manifest).processes:
        if (one.part, one.what) == (part, LIBVIRTD) and process.alive(one.pid, one.start):
            os.kill(one.pid, signal.SIGKILL)
            process.end([one.pid])


def _folder(place: Place, part: str) -> Path:
    return place.part(part) / "libvirt"


def _script(place: Place, part: str) -> str:
    folder = _folder(place, part)
    mounts = (shlex.join(["mount", "--bind", f"{folder}/{name}", path]) for name, path in FOLDERS.items())
    return SCRIPT.format(
        part=part,
        path=shlex.quote(PATH),
        folder=place.part(part),
        libvirt=folder,
        mounts="\n".join(mounts),
        root=place.root,
    )
