# SPDX-License-Identifier: Apache-2.0
"""Who plays which part in the topology `conformance`: what the cases rely on, in one place."""

from __future__ import annotations

from anyvisor.model.names import GroupName, PortName, RouterName

FRIENDS, SERVED = GroupName("friends"), GroupName("served")
"""Nobody may speak first to a friend. Served listens to friends at the ports below, and to everybody at `PUBLIC`."""
MEMBER, STRANGER = PortName("member"), PortName("stranger")
"""Two on the host of reference: in group `FRIENDS`, and not. Nobody may speak first to either."""
SERVER, INNER, FAR = PortName("server"), PortName("inner"), PortName("far")
"""Three there that listen to everybody: on the cells' network, on that of their third VMs, and on one behind the
router."""
ROUTER = RouterName("r1")
OUTSIDE = "outside"
"""The host beyond the router."""
TCP, PUBLIC, CLOSED = 80, 443, 5432
"""TCP ports of group `SERVED`: for friends, for everybody, for nobody."""
UDP, CLOSED_UDP = 53, 5000
"""UDP ports of it: for friends, for nobody."""
