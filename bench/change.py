# SPDX-License-Identifier: Apache-2.0
"""Changes to one port as somebody else's client writes them: raw operations on the Anyvisor database."""

from __future__ import annotations

from typing import Any, TypeAlias

from anyvisor.model.names import HostName
from anyvisor.model.port import Port

Operation: TypeAlias = dict[str, Any]
Uuid: TypeAlias = list[str]
"""Of a row, in OVSDB's notation. Rows are named by it, as every client with a replica does: the server then searches
nothing."""


def insert(port: Port) -> Operation:
    """It appears. It must have a VM and a host, and no fixed addresses."""
    groups = [[index, group] for index, group in enumerate(port.security_groups)]
    row = {
        "name": port.name,
        "network": port.network,
        "vm": port.vm,
        "host": port.host,
        "security_groups": ["map", groups],
    }
    return {"op": "insert", "table": "Port", "row": row}


def move(row: Uuid, host: HostName) -> Operation:
    """The port in that row goes to another host."""
    return {"op": "update", "table": "Port", "where": [["_uuid", "==", row]], "row": {"host": host}}


def delete(row: Uuid) -> Operation:
    """The port in that row disappears."""
    return {"op": "delete", "table": "Port", "where": [["_uuid", "==", row]]}
