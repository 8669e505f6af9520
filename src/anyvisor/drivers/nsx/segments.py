# SPDX-License-Identifier: Apache-2.0
"""Networks as VLAN segments of NSX. vCenter shows each as a port group with the segment's display name."""

from __future__ import annotations

from collections.abc import Iterator

from anyvisor.contracts.controller import Refusal
from anyvisor.drivers.nsx.document import Document
from anyvisor.drivers.nsx.names import Names
from anyvisor.drivers.nsx.stored import Stored
from anyvisor.model.entity import EntityWish
from anyvisor.planner.inner import network_group_name


def refusals(wish: EntityWish, stored: Stored, names: Names, zone: str) -> Iterator[Refusal]:
    """The networks that cannot be segments."""
    for network in sorted(wish.networks.values(), key=lambda each: each.name):
        if network.segment is None:
            yield Refusal(
                key=network.key,
                reason="NoVlan",
                message="it has no VLAN, and NSX is given VLAN segments alone",
            )
            continue
        held = stored.objects.get(names.segment(network.name))
        if held is not None and names.owns(held) and held.get("transport_zone_path") != zone:
            yield Refusal(
                key=network.key,
                reason="OtherTransportZone",
                message=f"its segment is in {held.get('transport_zone_path')}, and a segment cannot be moved",
            )


def documents(wish: EntityWish, names: Names, zone: str) -> Iterator[Document]:
    """The segments of all networks with a VLAN."""
    for network in wish.networks.values():
        if network.segment is None:
            continue
        path = names.segment(network.name)
        body = {
            "resource_type": "Segment",
            "display_name": network_group_name(names.owner, network.name),
            "tags": list(names.tags(network.key)),
            "vlan_ids": [str(network.segment.vlan or 0)],
            "transport_zone_path": zone,
            "admin_state": "UP",
        }
        yield Document(kind="Segment", path=path, key=network.key, body=body)
