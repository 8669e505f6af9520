# SPDX-License-Identifier: Apache-2.0
"""Networks and their subnets, each on its own and beside each other."""

from __future__ import annotations

from anyvisor.codec.addresses import Prefix
from anyvisor.codec.checks.sections import Sections, first_and_last, items
from anyvisor.codec.reading import Draft
from anyvisor.model.kinds import Fallback, NetworkKind


def check(site: Sections) -> None:
    """Note all faults of networks."""
    segments: dict[tuple[str, int], str] = {}
    routed = {name for router in site.routers.drafts for _, name in items(router, "networks")}
    for network in site.networks.drafts:
        _check_segment(network, segments)
        _check_fallback(site, network)
        _check_mtu(network)
        _check_overlap(network)
        for _, subnet in items(network, "subnets"):
            _check_gateway(subnet)
            _check_dns(subnet)
            _take_gateway(site, network, subnet, is_routed=network.get("name") in routed)


def _check_segment(network: Draft, segments: dict[tuple[str, int], str]) -> None:
    if network.get("kind") is NetworkKind.VLAN:
        for key, why in (("physical", "the physical network it is on"), ("vlan", "its VLAN, 1-4094")):
            if network.lacks(key):
                network.blame(key, f"a network of kind vlan needs {why}")
    elif network.get("vlan") is not None and network.lacks("physical"):
        network.blame("physical", "a network with a VLAN needs the physical network that the VLAN is on")
    physical, vlan = network.get("physical"), network.get("vlan")
    if physical is None or vlan is None:
        return
    first = segments.setdefault((physical, vlan), network.spot.path)
    if first != network.spot.path:
        network.blame("vlan", f"VLAN {vlan} on {physical} is already that of {first}")


def _check_fallback(site: Sections, network: Draft) -> None:
    """What falls open needs a VLAN to fall to, and needs it before the appliance is dead."""
    policy = site.site.get("policy")
    pools = policy is not None and not policy.lacks("vlans")
    unknown = "policy" in site.site.broken or network.get("kind") is not NetworkKind.OVERLAY
    if network.get("fallback") is Fallback.OPEN and network.lacks("vlan") and not pools and not unknown:
        network.blame("fallback", "open needs a VLAN: set `vlan` and `physical` here, or policy.vlans")


def _check_mtu(network: Draft) -> None:
    mtu = network.get("mtu")
    prefixes = [
        subnet.get("cidr") for _, subnet in items(network, "subnets") if subnet.get("cidr") is not None
    ]
    if mtu is not None and mtu < 1280 and any(prefix.version == 6 for prefix in prefixes):
        network.blame("mtu", f"{mtu} is too small for IPv6, which needs 1280 (RFC 8200)")


def _check_overlap(network: Draft) -> None:
    seen: list[tuple[Prefix, str]] = []
    for _, subnet in items(network, "subnets"):
        prefix = subnet.get("cidr")
        if prefix is None:
            continue
        for other, path in seen:
            if prefix.overlaps(other):
                subnet.spots["cidr"].blame(f"{prefix} overlaps {other} of {path}")
                break
        seen.append((prefix, subnet.spot.path))


def _check_gateway(subnet: Draft) -> None:
    prefix, gateway = subnet.get("cidr"), subnet.get("gateway")
    if prefix is None or gateway is None:
        return
    if gateway not in prefix:
        subnet.blame("gateway", f"{gateway} is not inside {prefix}")
    elif gateway in first_and_last(prefix):
        subnet.blame("gateway", f"{gateway} is the network or broadcast address of {prefix}")


def _check_dns(subnet: Draft) -> None:
    prefix = subnet.get("cidr")
    for spot, server in items(subnet, "dns"):
        if prefix is not None and server.version != prefix.version:
            spot.blame(f"{server} is not IPv{prefix.version}, but {prefix} is")


def _take_gateway(site: Sections, network: Draft, subnet: Draft, *, is_routed: bool) -> None:
    """Nobody else may have the router's address: the gateway, on a routed network the first address without one."""
    name, prefix, gateway = network.get("name"), subnet.get("cidr"), subnet.get("gateway")
    if name is not None and gateway is not None:
        site.take(name, gateway, f"the gateway of {subnet.spot.path}")
    elif name is not None and is_routed and subnet.lacks("gateway") and prefix and prefix.num_addresses > 1:
        site.take(name, prefix[1], f"the router, as {subnet.spot.path} names no gateway")
