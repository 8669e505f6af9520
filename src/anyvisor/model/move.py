# SPDX-License-Identifier: Apache-2.0
"""One migration of a VM from host to host, as anyvisord saw it for one of its ports."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.names import HostName


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Times are milliseconds since the epoch, at which anyvisord saw it; None for what was not seen (yet).

    `begun`: the manager showed a migration, or, where it told of none, the new host. `staged`: the target's chassis had
    claimed the port beside the old one. `arrived`: the manager showed the new host. `finalised`: the port was up on
    the chassis of the new host; behind a native switch, the vNIC was in its group. `returned`: nothing came of it.
    """

    begun: int
    origin: HostName
    target: HostName
    staged: int | None = None
    arrived: int | None = None
    finalised: int | None = None
    returned: int | None = None

    @property
    def over(self) -> bool:
        """Nothing more is to come."""
        return self.finalised is not None or self.returned is not None

    @property
    def outage_ms(self) -> int | None:
        """How long the port was not ready where the VM had arrived; 0 where it was staged before; None if unknown.

        The VM's own standstill while its hypervisor hands it over is not in it: nobody tells anyvisord of that.
        """
        if self.arrived is None or self.finalised is None:
            return None
        return 0 if self.staged is not None else max(0, self.finalised - self.arrived)

    def since_begun(self) -> dict[str, int]:
        """Milliseconds from the beginning to each thing that was seen."""
        seen = {
            "staged": self.staged,
            "arrived": self.arrived,
            "finalised": self.finalised,
            "returned": self.returned,
        }
        return {name: max(0, when - self.begun) for name, when in seen.items() if when is not None}
