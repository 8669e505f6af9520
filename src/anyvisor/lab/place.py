# SPDX-License-Identifier: Apache-2.0
"""Where everything of one lab is: its folder, its namespaces, its sockets. Names alone, nothing is touched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from anyvisor.errors import Fault, InputError

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
DEFAULT_NAME = "demo"
CENTRAL = "central"
FABRIC = "fabric"
DATABASE_PORT, NORTHBOUND_PORT, SOUTHBOUND_PORT = 6640, 6641, 6642
"""TCP ports of central's databases, on the underlay."""


def default_root() -> Path:
    """The folder of all labs: under /run for root, a folder of the user's own under /tmp for others.

    Unix sockets live there, so it must be short.
    """
    chosen = os.environ.get("ANYVISOR_LAB_ROOT")
    if chosen:
        return Path(chosen)
    return Path("/run/anyvisor/lab") if os.geteuid() == 0 else Path(f"/tmp/anyvisor-{os.geteuid()}/lab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One lab by name. Two labs share nothing, so their addresses may be equal."""

    name: str = DEFAULT_NAME
    root: Path = field(default_factory=default_root)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            message = f"{self.name!r}: 1 to 20 lower-case letters, digits or hyphens, a letter first"
            raise InputError([Fault("--name", message)])

    @property
    def folder(self) -> Path:
        """All files of the lab; deleted with it."""
        return self.root / self.name

    @property
    def manifest(self) -> Path:
        """The list of what was made."""
        return self.folder / "manifest"

    @property
    def topology(self) -> Path:
        """A copy of the topology that the lab was built from."""
        return self.folder / "topology.yaml"

    def part(self, part: str) -> Path:
        """The folder of a host, a VM, the fabric or central."""
        return self.folder / part

    def namespace(self, part: str) -> str:
        """The network namespace of a part."""
        return f"av-{self.name}-{part}"

    @property
    def northbound(self) -> str:
        """The northbound database, from outside the lab."""
        return f"unix:{self.part(CENTRAL)}/run/nb.sock"

    @property
    def southbound(self) -> str:
        """The southbound database, from outside the lab."""
        return f"unix:{self.part(CENTRAL)}/run/sb.sock"

    @property
    def database(self) -> str:
        """The Anyvisor database, from outside the lab."""
        return f"unix:{self.database_folder}/db.sock"

    @property
    def database_folder(self) -> Path:
        """Where the Anyvisor database keeps its files."""
        return self.part(CENTRAL) / "anyvisor"

    def switch_database(self, part: str) -> str:
        """The Open vSwitch database of a host or of the fabric."""
        return f"unix:{self.part(part)}/run/db.sock"

    def control(self, part: str) -> Path:
        """Where the prober of a VM (or of an outside host) takes orders."""
        return self.part(part) / "prober.sock"

    def site(self, variant: str | None = None) -> Path:
        """The site file, or a variant of it."""
        return self.folder / (f"site-{variant}.yaml" if variant else "site.yaml")
