# SPDX-License-Identifier: Apache-2.0
"""What an appliance is given at its first boot: cloud-init's user-data (a ``#cloud-config`` document).

The image must have Open vSwitch, ovn-controller and anyvisor, name its cards ``eth0`` (management), ``eth1`` (tunnel)
and ``eth2`` (trunk), and run the commands below with systemd. No secret is in it.

Source: cloud-init, module reference: write_files, runcmd; netplan, bridges with ``openvswitch``.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from anyvisor.model.host import Host
from anyvisor.model.policy import AppliancePolicy

MANAGEMENT, TUNNEL, TRUNK = "eth0", "eth1", "eth2"
BRIDGE = "br-ex"
AGENT_FILE = "/etc/anyvisor/anyvisor.toml"
NETWORK_FILE = "/etc/netplan/60-anyvisor.yaml"


def appliance_user_data(host: Host, policy: AppliancePolicy, number: int = 1) -> str:
    """The document for an appliance of `host`. The same input gives the same text."""
    address = tunnel_address(host, number)
    document = {
        "hostname": f"{host.name}-anyvisor" + (f"-{number}" if number > 1 else ""),
        "write_files": [
            {"path": AGENT_FILE, "permissions": "0600", "content": _agent(host, policy, number, address)},
            {"path": NETWORK_FILE, "permissions": "0600", "content": _network(policy, address)},
        ],
        "runcmd": [
            ["systemctl", "enable", "--now", "openvswitch-switch"],
            ["netplan", "apply"],
            ["systemctl", "enable", "--now", "ovn-host", "anyvisor-agent"],
        ],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, width=110)
    return f"#cloud-config\n{text}"


def tunnel_address(host: Host, number: int) -> str | None:
    """Where the host's appliance of that number tunnels from; None: DHCP says."""
    listed = (host.tunnel_ip, *host.appliance_ips)
    return listed[number - 1] if number <= len(listed) else None


def _agent(host: Host, policy: AppliancePolicy, number: int, address: str | None) -> str:
    settings: dict[str, str | int | None] = {
        "host": str(host.name),
        "appliance_number": number if number > 1 else None,
        "database": policy.database,
        "appliance_trunk": TRUNK,
        "appliance_uplink": TUNNEL,
        "appliance_bridge": BRIDGE,
        "appliance_physical": policy.physical,
        "appliance_tunnel_ip": address,
        "ovn_bridge_datapath": policy.datapath,
    }
    # A JSON string is a TOML basic string for every text that can stand here.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value)


def _network(policy: AppliancePolicy, address: str | None) -> str:
    bridge: dict[str, Any] = {"interfaces": [TUNNEL], "openvswitch": {}}
    if address is not None:
        bridge["addresses"] = [f"{address}/{policy.prefix_length}"]
        if policy.gateway is not None:
            bridge["routes"] = [{"to": "default", "via": policy.gateway}]
    else:
        bridge["dhcp4"] = True
    cards: dict[str, Any] = {
        MANAGEMENT: {"dhcp4": True, "optional": True},
        TUNNEL: {},
        # No address ever: what comes in there belongs to others.
        TRUNK: {"link-local": [], "optional": True},
    }
    network = {"network": {"version": 2, "ethernets": cards, "bridges": {BRIDGE: bridge}}}
    text: str = yaml.safe_dump(network, sort_keys=False)
    return text
