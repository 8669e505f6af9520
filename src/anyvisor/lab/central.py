# SPDX-License-Identifier: Apache-2.0
"""OVN central and the Anyvisor database, in a namespace of their own on the underlay."""

from __future__ import annotations

import shlex
from pathlib import Path

from anyvisor.lab import daemon, namespace
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import CENTRAL, DATABASE_PORT, NORTHBOUND_PORT, SOUTHBOUND_PORT, Place
from anyvisor.lab.programs import Programs
from anyvisor.lab.topology import Topology
from anyvisor.ovsdb.server import ensure_server

DAEMONS = ("nb", "sb", "ovn-northd")
SCHEMAS = {"nb": "/usr/share/ovn/ovn-nb.ovsschema", "sb": "/usr/share/ovn/ovn-sb.ovsschema"}
PORTS = {"nb": NORTHBOUND_PORT, "sb": SOUTHBOUND_PORT}


def start(place: Place, topology: Topology, programs: Programs, recorder: Recorder) -> None:
    """Start the northbound and southbound databases and northd; the cable lies already."""
    address = f"{topology.underlay.central}/{topology.underlay.prefix_length}"
    inside = place.namespace(CENTRAL)
    namespace.forgo_transmit_checksum(inside, ["eth0"])
    namespace.batch([f"address add {address} dev eth0", "link set eth0 up"], inside=inside)
    folder = place.part(CENTRAL)
    lines = [line for name in SCHEMAS for line in _database(folder, name, programs)]
    remotes = (f"--ovnnb-db={place.northbound}", f"--ovnsb-db={place.southbound}")
    northd = ("ovn-northd", f"--unixctl={folder}/run/ovn-northd.ctl", *remotes)
    path = daemon.script(
        folder,
        "start-central",
        what="Starts OVN central",
        lines=[*lines, daemon.start_line(programs, folder, *northd)],
    )
    daemon.start_by_script(place, CENTRAL, path, DAEMONS, recorder)
    # The server inherits the namespace of the thread that starts it.
    with namespace.entered(inside):
        ensure_server(place.database_folder, listen=(f"ptcp:{DATABASE_PORT}:0.0.0.0",))
    daemon.record(CENTRAL, "anyvisor-db", place.database_folder / "ovsdb-server.pid", recorder)


def _database(folder: Path, name: str, programs: Programs) -> tuple[str, ...]:
    create = programs.command("ovsdb-tool", "create", f"{folder}/{name}.db", SCHEMAS[name])
    init = programs.command(f"ovn-{name}ctl", f"--db=unix:{folder}/run/{name}.sock", "--timeout=20", "init")
    remotes = (f"--remote=punix:{folder}/run/{name}.sock", f"--remote=ptcp:{PORTS[name]}:0.0.0.0")
    serve = ("ovsdb-server", *remotes, f"--unixctl={folder}/run/{name}.ctl", f"{folder}/{name}.db")
    return (
        f"[ -f {name}.db ] || {shlex.join(create)}",
        daemon.start_line(programs, folder, *serve, name=name),
        shlex.join(init),
    )
