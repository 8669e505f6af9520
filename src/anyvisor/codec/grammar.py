# SPDX-License-Identifier: Apache-2.0
"""The keys of the site file: one table for each kind of object. docs/reference/site.md says the same in prose."""

from __future__ import annotations

from anyvisor.codec import addresses, appliance_texts, scalars
from anyvisor.codec.document import Spot
from anyvisor.codec.reading import Key, WrongError, list_of, object_of, shape, table_of
from anyvisor.model.kinds import (
    Direction,
    Fallback,
    Hypervisor,
    NetworkKind,
    Protocol,
    Scheme,
    SwitchKind,
    TagPer,
)

CONTROLLER_DRIVERS = ("ovn",)
MANAGER_DRIVERS = ("libvirt", "vsphere", "xapi", "xl", "listed", "nsx")


def _preference(spot: Spot) -> tuple[Scheme, ...]:
    schemes = list_of(scalars.choice(Scheme, "a scheme"), "schemes")(spot)
    if schemes.complete and not schemes.items:
        raise WrongError("at least one scheme is needed")
    for index, (place, scheme) in enumerate(schemes):
        if scheme in schemes.values[:index]:
            place.blame(f"{scheme} stands in the list twice")
    return schemes.values


def _far_side(spot: Spot) -> tuple[str, str | None]:
    """``any``, a prefix or ``{group: NAME}`` as (kind, value)."""
    if spot.tag == "map":
        group = object_of({"group": Key(scalars.text, required=True)}, "the far side")(spot)
        return "group", group.get("group")
    if spot.tag != "str":
        raise WrongError(f"any, a prefix or {{group: NAME}} is expected, but here is {shape(spot)}")
    if spot.raw == "any":
        return "any", None
    if not spot.raw[:1].isdigit() and ":" not in spot.raw:
        raise WrongError(
            f"{spot.raw!r} is neither any nor a prefix; a group is written {{group: {spot.raw}}}"
        )
    return "cidr", str(addresses.prefix(spot))


CONTROLLER = object_of(
    {
        "driver": Key(scalars.one_of(CONTROLLER_DRIVERS, "a controller driver")),
        "northbound": Key(addresses.remote),
        "southbound": Key(addresses.remote),
        "southbound_for_chassis": Key(addresses.remote),
    },
    "the controller",
)

MANAGER = object_of(
    {
        "name": Key(scalars.name, required=True),
        "driver": Key(scalars.one_of(MANAGER_DRIVERS, "a manager driver"), required=True),
        "url": Key(addresses.url),
        "credentials": Key(addresses.credentials),
        "ca": Key(scalars.text),
        "transport_zone": Key(scalars.text),
        "vcenter": Key(scalars.name),
    },
    "a manager",
)

SWITCH = object_of(
    {
        "name": Key(scalars.text, required=True),
        "kind": Key(scalars.choice(SwitchKind, "a kind of switch"), required=True),
        "version": Key(scalars.text),
        "uplinks": Key(list_of(scalars.text, "NIC names")),
    },
    "a switch",
)

NIC = object_of(
    {
        "name": Key(scalars.text, required=True),
        "speed_gbps": Key(scalars.decimal(0, 100_000)),
        "sriov_vfs": Key(scalars.whole(0, 65535)),
        "switchdev": Key(scalars.truth),
        "dpu": Key(scalars.text),
        "physical": Key(scalars.name),
        "vlan": Key(addresses.vlan),
    },
    "a NIC",
)

HOST = object_of(
    {
        "name": Key(scalars.name, required=True),
        "hypervisor": Key(scalars.choice(Hypervisor, "a hypervisor"), required=True),
        "version": Key(scalars.text),
        "cluster": Key(scalars.name),
        "scheme": Key(scalars.choice(Scheme, "a scheme")),
        "switches": Key(list_of(SWITCH, "switches")),
        "nics": Key(list_of(NIC, "NICs")),
        "facts": Key(table_of(scalars.fact, scalars.text, "facts")),
        "tunnel_ip": Key(addresses.address),
        "appliance_ips": Key(list_of(addresses.address, "addresses")),
        "ovsdb": Key(addresses.remote),
    },
    "a host",
)

FLOOR = object_of(
    {"controlled": Key(scalars.decimal(0, 1)), "observed": Key(scalars.decimal(0, 1))},
    "a floor",
)

PREFERENCE = object_of({"prefer": Key(_preference), "floor": Key(FLOOR)}, "a preference")

FAILOVER = object_of(
    {
        "act": Key(scalars.truth),
        "silence_seconds": Key(scalars.decimal(0.5, 3600)),
        "return_seconds": Key(scalars.decimal(1, 86400)),
        "budget": Key(scalars.whole(0, 100_000)),
    },
    "when an appliance counts as dead",
)

APPLIANCE = object_of(
    {
        "template": Key(scalars.text, required=True),
        "management": Key(scalars.text, required=True),
        "tunnel": Key(scalars.text, required=True),
        "database": Key(addresses.remote, required=True),
        "prefix_length": Key(scalars.whole(1, 128)),
        "gateway": Key(addresses.address),
        "physical": Key(scalars.name),
        "datapath": Key(scalars.one_of(("system", "netdev"), "a datapath")),
        "count": Key(scalars.whole(1, 8)),
        "tags": Key(scalars.choice(TagPer, "what may have a tag of its own")),
        "agent_package": Key(appliance_texts.agent_package),
        "ca": Key(appliance_texts.authority),
        "failover": Key(FAILOVER),
    },
    "how appliances are made",
)

POLICY = object_of(
    {
        "appliance": Key(APPLIANCE),
        "default": Key(PREFERENCE),
        "clusters": Key(table_of(PREFERENCE, scalars.name, "clusters to their preferences")),
        "vlans": Key(table_of(addresses.vlan_range, scalars.name, "physical networks to VLANs")),
    },
    "the policy",
)

SUBNET = object_of(
    {
        "cidr": Key(addresses.subnet_prefix, required=True),
        "gateway": Key(addresses.address),
        "dhcp": Key(scalars.truth),
        "dns": Key(list_of(addresses.address, "addresses")),
    },
    "a subnet",
)

NETWORK = object_of(
    {
        "name": Key(scalars.name, required=True),
        "kind": Key(scalars.choice(NetworkKind, "a kind of network"), required=True),
        "physical": Key(scalars.name),
        "vlan": Key(addresses.vlan),
        "mtu": Key(scalars.whole(576, 65535)),
        "subnets": Key(list_of(SUBNET, "subnets")),
        "fallback": Key(scalars.choice(Fallback, "a fallback")),
    },
    "a network",
)

EXTERNAL = object_of(
    {
        "network": Key(scalars.text, required=True),
        "snat": Key(scalars.truth),
        "ip": Key(addresses.address),
    },
    "an external gateway",
)

ROUTER = object_of(
    {
        "name": Key(scalars.name, required=True),
        "networks": Key(list_of(scalars.text, "network names")),
        "external": Key(EXTERNAL),
    },
    "a router",
)

RULE = object_of(
    {
        "direction": Key(scalars.choice(Direction, "a direction"), required=True),
        "protocol": Key(scalars.choice(Protocol, "a protocol")),
        "ports": Key(addresses.number_ranges),
        "from": Key(_far_side),
        "to": Key(_far_side),
    },
    "a rule",
)

SECURITY_GROUP = object_of(
    {"name": Key(scalars.name, required=True), "rules": Key(list_of(RULE, "rules"))},
    "a security group",
)

PORT = object_of(
    {
        "name": Key(scalars.name, required=True),
        "network": Key(scalars.text, required=True),
        "vm": Key(scalars.text),
        "host": Key(scalars.text),
        "mac": Key(addresses.mac),
        "ips": Key(list_of(addresses.address, "addresses")),
        "security_groups": Key(list_of(scalars.text, "group names")),
        "floating_ip": Key(addresses.address),
    },
    "a port",
)

SITE = object_of(
    {
        "controller": Key(CONTROLLER),
        "managers": Key(list_of(MANAGER, "managers")),
        "hosts": Key(list_of(HOST, "hosts")),
        "policy": Key(POLICY),
        "networks": Key(list_of(NETWORK, "networks")),
        "routers": Key(list_of(ROUTER, "routers")),
        "security_groups": Key(list_of(SECURITY_GROUP, "security groups")),
        "ports": Key(list_of(PORT, "ports")),
    },
    "a site",
)
