# SPDX-License-Identifier: Apache-2.0
"""What an appliance is given at its first boot: cloud-init's user-data (a ``#cloud-config`` document).

It suits a stock image of Debian 12 or Ubuntu 24.04 and later, and one that has everything already. Whoever may read the
VM's settings reads this: there is no secret in it. The key for TLS is made inside, by ``anyvisor-setup``.

Source: cloud-init, module reference: package_update_upgrade_install, write_files, runcmd; data source VMware.
"""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from typing import Any

import yaml

from anyvisor import __version__
from anyvisor.codec import agentless
from anyvisor.codec.appliance_network import BRIDGE, CARDS, TRUNK, TUNNEL, card_macs, network
from anyvisor.model.host import Host
from anyvisor.model.policy import AppliancePolicy
from anyvisor.planner.facts import traits
from anyvisor.planner.seats import chassis_name

PACKAGES = (
    "openvswitch-switch",
    "ovn-host",
    "python3-venv",
    "openssl",
    "ca-certificates",
    "curl",
    "netplan.io",
)
AGENT_PACKAGE = f"anyvisor=={__version__}"
"""What is installed where the site file names nothing."""
UNIT, SETUP = "anyvisor-agent.service", "anyvisor-setup"
"""The agent's unit, and what prepares each of its starts; both are files of this package."""
FOLDER = "/etc/anyvisor"
AGENT_FILE = f"{FOLDER}/anyvisor.toml"
SETUP_FILE = f"{FOLDER}/setup.conf"
CA_FILE = f"{FOLDER}/tls/ca.pem"
NETWORK_FILE = "/etc/netplan/60-anyvisor.yaml"
SYSCTL_FILE = "/etc/sysctl.d/60-anyvisor.conf"
SYSCTL = """\
# Management and tunnels may share a segment. Then Linux would answer for the tunnel's address with any card's MAC,
# and neighbours would send their tunnels to the management card, past Open vSwitch.
net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
"""
"""Source: Linux, Documentation/networking/ip-sysctl.rst."""
SYSTEM_ID_FILE = "/etc/openvswitch/system-id.conf"
_HOSTS_OWN = "/etc/netplan/50-cloud-init.yaml"


def appliance_user_data(
    host: Host, policy: AppliancePolicy, number: int = 1, *, owner: str = "", southbound: str = ""
) -> str:
    """The document for an appliance of `host`. The same input gives the same text. `owner` is the installation's
    identity: together with host and number it says which MACs the cards have. An appliance without agent is told
    `southbound`, OVN's southbound database as it reaches it; an agent finds it in the Anyvisor database.
    """
    address = tunnel_address(host, number)
    alone = traits.agentless(host)
    secured = "ssl:" in southbound if alone else policy.is_secured
    document = {
        "hostname": vm_name(host, number),
        "package_update": True,
        "packages": list(PACKAGES),
        "write_files": list(_files(host, policy, number, owner, address, secured=secured)),
        "runcmd": [
            # What the image made up for cards that it knew nothing of would name them a second time.
            ["rm", "-f", _HOSTS_OWN],
            ["systemctl", "daemon-reload"],
            ["sysctl", "--quiet", f"--load={SYSCTL_FILE}"],
            ["systemctl", "enable", "--now", "openvswitch-switch"],
            ["netplan", "apply"],
            ["systemctl", "enable", "--now", "ovn-host"],
            *(
                [
                    *([[f"/usr/local/sbin/{SETUP}"]] if secured else []),
                    *agentless.commands(host, policy, number, address, southbound, f"{FOLDER}/tls"),
                ]
                if alone
                else [["systemctl", "enable", "--now", "--no-block", "anyvisor-agent"]]
            ),
        ],
    }
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110)
    return f"#cloud-config\n{''.join(_remarks(host, number, policy, owner))}{text}"


def vm_name(host: Host, number: int) -> str:
    """What an appliance calls itself."""
    return f"{host.name}-anyvisor" + (f"-{number}" if number > 1 else "")


def tunnel_address(host: Host, number: int) -> str | None:
    """Where the host's appliance of that number tunnels from; None: DHCP says."""
    listed = (host.tunnel_ip, *host.appliance_ips)
    return listed[number - 1] if number <= len(listed) else None


class _Dumper(yaml.SafeDumper):
    """Files stand in the document line by line: it is read by people, too."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _remarks(host: Host, number: int, policy: AppliancePolicy, owner: str) -> list[str]:
    macs = card_macs(owner, host.name, number)
    groups = {"management": policy.management, "tunnel": policy.tunnel, "trunk": "the inner switch's trunk"}
    return [
        "# The VM's cards and their MAC addresses (manual), which must be set before its first boot:\n",
        *(f"#   {name:<8} {macs[card]}  {groups[card]}\n" for card, name in CARDS.items()),
    ]


def _files(
    host: Host, policy: AppliancePolicy, number: int, owner: str, address: str | None, *, secured: bool
) -> list[dict[str, Any]]:
    layout = yaml.safe_dump(network(owner, host, policy, number, address), sort_keys=False)
    alone = traits.agentless(host)
    agent = [
        _file(AGENT_FILE, _agent(host, policy, number, address)),
        _file(f"/etc/systemd/system/{UNIT}", _shipped(UNIT), "0644"),
    ]
    found = [
        *([] if alone else agent),
        _file(SETUP_FILE, _setup(host, policy, number, secured=secured)),
        _file(NETWORK_FILE, layout),
        _file(SYSCTL_FILE, SYSCTL, "0644"),
        # Open vSwitch would make up a name of its own at each start, and ovn-controller go by it until the agent is up.
        _file(SYSTEM_ID_FILE, f"{chassis_name(host.name, number)}\n", "0644"),
        _file(f"/usr/local/sbin/{SETUP}", _shipped(SETUP), "0755"),
    ]
    return found + ([_file(CA_FILE, policy.ca, "0644")] if policy.ca else [])


def _file(path: str, content: str, mode: str = "0600") -> dict[str, Any]:
    return {"path": path, "permissions": mode, "content": content}


def _shipped(name: str) -> str:
    return (files("anyvisor.codec") / "first_boot" / name).read_text(encoding="utf-8")


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
    if policy.is_secured:
        settings |= {
            "private_key": f"{FOLDER}/tls/key.pem",
            "certificate": f"{FOLDER}/tls/certificate.pem",
            "ca_certificate": CA_FILE,
        }
    # A JSON string is a TOML basic string for every text that can stand here.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value)


def _setup(host: Host, policy: AppliancePolicy, number: int, *, secured: bool) -> str:
    values = {
        "package": "" if traits.agentless(host) else policy.agent_package or AGENT_PACKAGE,
        "name": chassis_name(host.name, number),
        "tls": "yes" if secured else "no",
    }
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
