# SPDX-License-Identifier: Apache-2.0
"""What an appliance without agent does at its first boot in the agent's stead: it tells Open vSwitch once who it is.

The trunk card goes into the integration bridge as a whole; each VLAN in it is a child port, which OVN alone sees to.

Source: ovn-controller(8), configuration keys; Open vSwitch database schema, ``Interface:external_ids``.
"""

from __future__ import annotations

from anyvisor.codec.appliance_network import BRIDGE, TRUNK
from anyvisor.model.host import Host
from anyvisor.model.policy import AppliancePolicy
from anyvisor.planner.seats import chassis_name, trunk_port

INTEGRATION = "br-int"


def commands(
    host: Host, policy: AppliancePolicy, number: int, address: str | None, southbound: str, tls: str
) -> list[list[str]]:
    """Commands for `runcmd`, each of which may be repeated. `southbound` is OVN's southbound database as an appliance
    reaches it; where it is ``ssl:``, key, certificate and authority lie in the folder `tls`.
    """
    chassis = chassis_name(host.name, number)
    ids = {
        "system-id": str(chassis),
        "hostname": str(chassis),
        "ovn-encap-type": "geneve",
        **({"ovn-encap-ip": address} if address else {}),
        **({"ovn-bridge-mappings": f"{policy.physical}:{BRIDGE}"} if policy.physical else {}),
        # The database last: ovn-controller begins with it.
        "ovn-remote": southbound,
    }
    files = [f"{tls}/key.pem", f"{tls}/certificate.pem", f"{tls}/ca.pem"]
    return [
        *([["ovs-vsctl", "set-ssl", *files]] if "ssl:" in southbound else []),
        ["ovs-vsctl", "--may-exist", "add-br", INTEGRATION],
        ["ovs-vsctl", "set", "Bridge", INTEGRATION, "fail_mode=secure", f"datapath_type={policy.datapath}"],
        ["ovs-vsctl", "--may-exist", "add-port", INTEGRATION, TRUNK],
        ["ovs-vsctl", "set", "Interface", TRUNK, f'external_ids:iface-id="{trunk_port(chassis)}"'],
        [
            "ovs-vsctl",
            "set",
            "Open_vSwitch",
            ".",
            *(f'external_ids:{key}="{value}"' for key, value in ids.items()),
        ],
    ]
