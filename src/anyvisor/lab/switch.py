# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch of one namespace: its database and its switch in user space, started by a script in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from anyvisor.lab import daemon
from anyvisor.lab.place import Place
from anyvisor.lab.programs import Programs, run

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DAEMONS = ("ovsdb-server", "ovs-vswitchd")


def start_script(place: Place, part: str, programs: Programs) -> Path:
    """Write ``start-openvswitch``: the host's own way to start Open vSwitch, for the lab and for the agent.

    ovn-controller makes the integration bridge itself if it is there first, so it is told which datapath there is.
    """
    folder = place.part(part)
    database = place.switch_database(part)
    create = programs.command("ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA)
    settings = (f"external-ids:hostname={part}", "external-ids:ovn-bridge-datapath-type=netdev")
    set_up = ("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *settings)
    server = (f"--remote=p{database}", f"--unixctl={folder}/run/ovsdb-server.ctl", f"{folder}/conf.db")
    switch = (f"--unixctl={folder}/run/ovs-vswitchd.ctl", database)
    return daemon.script(
        folder,
        "start-openvswitch",
        what=f"Starts Open vSwitch of {part}",
        lines=[
            f"[ -f conf.db ] || {shlex.join(create)}",
            daemon.start_line(programs, folder, "ovsdb-server", *server),
            shlex.join(programs.command("ovs-vsctl", f"--db={database}", "--timeout=20", *set_up)),
            daemon.start_line(programs, folder, "ovs-vswitchd", *switch),
        ],
    )


def controller_script(place: Place, part: str, programs: Programs) -> Path:
    """Write ``start-ovn-controller``."""
    folder = place.part(part)
    return daemon.script(
        folder,
        "start-ovn-controller",
        what=f"Starts ovn-controller of {part}",
        lines=[daemon.start_line(programs, folder, "ovn-controller", place.switch_database(part))],
    )


def stop_scripts(place: Place, part: str) -> None:
    """Write ``stop-openvswitch`` and ``stop-ovn-controller``."""
    folder = place.part(part)
    what = f"Stops Open vSwitch of {part}"
    daemon.stop_script(folder, "stop-openvswitch", what=what, daemons=reversed(DAEMONS))
    what = f"Stops ovn-controller of {part}"
    daemon.stop_script(folder, "stop-ovn-controller", what=what, daemons=["ovn-controller"])


def configure(place: Place, part: str, programs: Programs, steps: Sequence[Sequence[str]]) -> None:
    """Apply `ovs-vsctl` commands in one transaction and wait until the switch has carried them out.

    Raises:
        TerminalError: with what `ovs-vsctl` said.
    """
    argv = ["ovs-vsctl", f"--db={place.switch_database(part)}", "--timeout=20"]
    for step in steps:
        argv += ["--", *step]
    run(programs.command(*argv))
