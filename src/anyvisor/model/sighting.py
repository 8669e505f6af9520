# SPDX-License-Identifier: Apache-2.0
"""A vNIC that an agent sees on its host, though its port is attached elsewhere, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.names import Mac


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """`vm` is None where the hypervisor hides it; `mac` is None for a VM that has no vNIC yet."""

    vm: str | None = None
    mac: Mac | None = None
    arriving: bool = False
    """The VM does not run here yet: it is being received."""
