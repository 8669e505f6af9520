# SPDX-License-Identifier: Apache-2.0
"""Which tables and columns of OVN's databases are replicated: what is not read is not paid for.

Names are those of ovn-nb(5) and ovn-sb(5).
"""

from __future__ import annotations

from collections.abc import Mapping

from anyvisor.drivers.ovn import row

NORTHBOUND: Mapping[str, tuple[str, ...]] = {
    "NB_Global": ("nb_cfg", "sb_cfg", "hv_cfg"),
    row.SWITCH: ("name", "ports", "external_ids"),
    row.SWITCH_PORT: (
        "name",
        "type",
        "addresses",
        "port_security",
        "options",
        "parent_name",
        "tag_request",
        "enabled",
        "ha_chassis_group",
        "dhcpv4_options",
        "dhcpv6_options",
        "up",
        "external_ids",
    ),
    row.ROUTER: ("name", "ports", "static_routes", "nat", "external_ids"),
    row.ROUTER_PORT: ("name", "mac", "networks", "ipv6_ra_configs", "gateway_chassis", "external_ids"),
    row.ROUTE: ("ip_prefix", "nexthop", "external_ids"),
    row.NAT: ("type", "external_ip", "logical_ip", "gateway_port", "external_ids"),
    row.DHCP: ("cidr", "options", "external_ids"),
    row.PORT_GROUP: ("name", "ports", "acls", "external_ids"),
    row.ACL: ("direction", "priority", "match", "action", "external_ids"),
    row.ADDRESS_SET: ("name", "addresses", "external_ids"),
    row.HA_GROUP: ("name", "ha_chassis", "external_ids"),
    row.HA_CHASSIS: ("chassis_name", "priority", "external_ids"),
    row.GATEWAY_CHASSIS: ("name", "chassis_name", "priority", "external_ids"),
}

SOUTHBOUND: Mapping[str, tuple[str, ...]] = {
    "SB_Global": ("nb_cfg",),
    "Chassis": ("name", "hostname", "encaps", "other_config", "external_ids"),
    "Chassis_Private": ("name", "nb_cfg"),
    "Port_Binding": ("logical_port", "chassis", "additional_chassis?", "up"),
    "Encap": ("ip", "type", "chassis_name"),
}
