# SPDX-License-Identifier: Apache-2.0
"""Chassis in the southbound database: who is there, who lags, who must be reaped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from anyvisor.contracts.controller import ChassisState
from anyvisor.drivers.ovn.index import OWNER
from anyvisor.model.names import HostName
from anyvisor.ovsdb.connection import Connection


def _physical(mappings: str) -> tuple[str, ...]:
    return tuple(sorted(entry.partition(":")[0] for entry in mappings.split(",") if ":" in entry))


class Chassis:
    """Reads and tidies the southbound database; ovn-controller alone makes chassis."""

    def __init__(self, southbound: Connection, owner: str) -> None:
        self._southbound = southbound
        self._owner = owner

    def all(self) -> Mapping[HostName, ChassisState]:
        """Every chassis by its system-id, which for ours is the host's name."""
        return self._southbound.read(self._all)

    def adopt(self, names: Collection[HostName]) -> None:
        """Mark the chassis of our hosts as ours, so that they can be told from others once the host is gone."""
        unmarked = [name for name, state in self.all().items() if name in names and not state.ours]
        if not unmarked:
            return

        def build(txn: Any) -> None:
            for row in txn.idl.tables["Chassis"].rows.values():
                if row.name in unmarked:
                    row.setkey("external_ids", OWNER, self._owner)

        self._southbound.write(build, comment="anyvisor: adopt chassis")

    def reap(self, keep: Collection[HostName]) -> tuple[HostName, ...]:
        """Delete the rows of our chassis whose host is not in `keep`; returns them.

        A chassis row that nobody serves keeps tunnels towards it on every other chassis and stalls every ``hv_cfg``
        barrier for ever (measured).
        """
        stale = tuple(sorted(name for name, state in self.all().items() if state.ours and name not in keep))
        if not stale:
            return ()

        def build(txn: Any) -> None:
            for table in ("Chassis", "Chassis_Private"):
                for row in list(txn.idl.tables[table].rows.values()):
                    if row.name in stale:
                        row.delete()

        self._southbound.write(build, comment="anyvisor: reap stale chassis")
        return stale

    def _all(self, idl: Any) -> dict[HostName, ChassisState]:
        current = max((row.nb_cfg for row in idl.tables["SB_Global"].rows.values()), default=0)
        reached = {row.name: row.nb_cfg for row in idl.tables["Chassis_Private"].rows.values()}
        found: dict[HostName, ChassisState] = {}
        for row in idl.tables["Chassis"].rows.values():
            marks = row.external_ids
            mappings = row.other_config.get("ovn-bridge-mappings") or marks.get("ovn-bridge-mappings", "")
            name = HostName(row.name)
            found[name] = ChassisState(
                name=name,
                hostname=row.hostname,
                tunnel_ips=tuple(sorted({encap.ip for encap in row.encaps})),
                mappings=_physical(mappings),
                lag=max(0, current - reached.get(row.name, 0)),
                ours=marks.get(OWNER) == self._owner,
            )
        return found
