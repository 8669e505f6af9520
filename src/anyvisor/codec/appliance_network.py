# SPDX-License-Identifier: Apache-2.0
"""The network of an appliance inside: its cards, known by their MACs, and the bridge with the tunnel address.

The kernel names a VM's cards after PCI slots, whose order differs between hardware versions. So every card is given its
MAC before the first boot, and is named after what it is for.

Source: netplan, reference: ``match``, ``set-name``, ``link-local``, ``large-receive-offload``, bridges with
``openvswitch``; cloud-init, data source VMware: ``network`` in the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from anyvisor.model.host import Host
from anyvisor.model.names import HostName, Mac
from anyvisor.model.policy import AppliancePolicy
from anyvisor.planner.appliances import appliance_key
from anyvisor.planner.mac import mac_of

MANAGEMENT, TUNNEL, TRUNK = "mgmt0", "tunnel0", "trunk0"
CARDS: Mapping[str, str] = {"management": MANAGEMENT, "tunnel": TUNNEL, "trunk": TRUNK}
"""What each card is for, in their order, and what it is called inside."""
BRIDGE = "br-ex"


def card_macs(owner: str, host: HostName, number: int) -> dict[str, Mac]:
    """The MAC of each card, by what it is for: locally administered, the same for the same appliance at any time."""
    key = appliance_key(host, number)
    return {card: mac_of(f"{owner}/appliance/{key}/{card}") for card in CARDS}


def cards(owner: str, host: HostName, number: int) -> dict[str, Any]:
    """The cards alone, as cloud-init has to know them before there is a network to install anything from."""
    macs = card_macs(owner, host, number)
    found: dict[str, Any] = {
        CARDS[card]: {"match": {"macaddress": str(mac)}, "set-name": CARDS[card]}
        for card, mac in macs.items()
    }
    found[MANAGEMENT]["dhcp4"] = True
    # No address ever on these two: one is a port of the bridge, and what comes in on the other belongs to others. A
    # frame that the card glued together from several would not fit through a tunnel.
    for quiet in (TUNNEL, TRUNK):
        found[quiet] |= {
            "link-local": [],
            "accept-ra": False,
            "optional": True,
            "large-receive-offload": False,
        }
    return {"version": 2, "ethernets": found}


def network(
    owner: str, host: Host, policy: AppliancePolicy, number: int, address: str | None
) -> dict[str, Any]:
    """The whole of it, for when Open vSwitch is there. `address` None: DHCP says."""
    # Open vSwitch takes no locally administered address from a card by itself, and vSphere drops frames of another one.
    mac = str(card_macs(owner, host.name, number)["tunnel"])
    bridge: dict[str, Any] = {"interfaces": [TUNNEL], "openvswitch": {"other-config": {"hwaddr": mac}}}
    if address is not None:
        bridge["addresses"] = [f"{address}/{policy.prefix_length}"]
        if policy.gateway is not None:
            bridge["routes"] = [{"to": "default", "via": policy.gateway}]
    else:
        bridge["dhcp4"] = True
    return {"network": {**cards(owner, host.name, number), "bridges": {BRIDGE: bridge}}}


def appliance_metadata(owner: str, host: HostName, number: int, vm: str) -> str:
    """cloud-init's metadata of an appliance; `vm` names its instance."""
    document = {"instance-id": vm, "local-hostname": vm, "network": cards(owner, host, number)}
    text: str = yaml.safe_dump(document, sort_keys=False, width=110)
    return text
