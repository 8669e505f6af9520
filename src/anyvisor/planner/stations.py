# SPDX-License-Identifier: Apache-2.0
"""Which vNICs behind native switches a chassis should count, and what it counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from anyvisor.model.attachment import Attachment
from anyvisor.model.names import HostName, Mac, NetworkName
from anyvisor.model.network import Network
from anyvisor.model.vnic import Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class StationCount:
    """Seen from the VM. `flooded` are broadcast and multicast frames."""

    unicast: Counters = field(default_factory=Counters)
    flooded: Counters = field(default_factory=Counters)


def stations_on(
    host: HostName,
    attachments: Iterable[Attachment],
    networks: Mapping[NetworkName, Network],
    mappings: Mapping[str, str],
) -> dict[str, dict[Mac, int | None]]:
    """Per provider bridge of `host` the MACs to count with their VLANs. `mappings` leads from physical networks to
    bridges; a network that names none may pass on any of them."""
    wanted: dict[str, dict[Mac, int | None]] = {bridge: {} for bridge in mappings.values()}
    for attachment in attachments:
        if not attachment.kind.is_station or attachment.host == host:
            continue
        network = networks.get(attachment.network)
        physical = network.physical if network is not None else None
        for name, bridge in mappings.items():
            if physical in {None, name}:
                wanted[bridge][attachment.mac] = attachment.vlan
    return wanted
