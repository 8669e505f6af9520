# SPDX-License-Identifier: Apache-2.0
"""Ports: what they refer to, and their addresses."""

from __future__ import annotations

from anyvisor.codec.addresses import Address
from anyvisor.codec.checks.sections import Net, Sections, first_and_last, items
from anyvisor.codec.document import Spot
from anyvisor.codec.reading import Draft


def check(site: Sections) -> None:
    """Note all faults of ports."""
    macs: dict[str, str] = {}
    vms: dict[str, tuple[str, str]] = {}
    for port in site.ports.drafts:
        _check_references(site, port)
        _check_mac(port, macs)
        _check_vm(port, vms)
        _check_ips(site, port)
    ways_out = _ways_out(site)
    for port in site.ports.drafts:
        _check_floating_ip(site, port, ways_out)


def _check_references(site: Sections, port: Draft) -> None:
    if (network := port.get("network")) is not None:
        site.networks.check_reference(port.spots["network"], network)
    if (host := port.get("host")) is not None and not site.is_reported:
        site.hosts.check_reference(port.spots["host"], host)
    seen: set[str] = set()
    for spot, group in items(port, "security_groups"):
        if group in seen:
            spot.blame(f"group {group!r} stands in the list twice")
        else:
            site.groups.check_reference(spot, group)
        seen.add(group)


def _check_mac(port: Draft, macs: dict[str, str]) -> None:
    mac = port.get("mac")
    if mac is None:
        return
    first = macs.setdefault(mac, port.spot.path)
    if first != port.spot.path:
        port.blame("mac", f"{mac} is already the MAC of {first}")


def _check_vm(port: Draft, vms: dict[str, tuple[str, str]]) -> None:
    """All vNICs of one VM are on one host."""
    vm, host = port.get("vm"), port.get("host")
    if vm is None or host is None:
        return
    path, other = vms.setdefault(vm, (port.spot.path, host))
    if host != other:
        port.blame(
            "host", f"VM {vm!r} is on host {other!r} already ({path}); all ports of a VM are on one host"
        )


def _check_ips(site: Sections, port: Draft) -> None:
    network = port.get("network")
    net = site.nets.get(network)
    if net is None:
        return
    for spot, address in items(port, "ips"):
        _check_address(spot, address, net, f"network {network!r}")
        if net.holds(address) and (holder := site.take(network, address, port.spot.path)):
            spot.blame(f"{address} is taken by {holder}")


def _check_address(spot: Spot, address: Address, net: Net, where: str) -> None:
    if net.certain and not net.prefixes:
        spot.blame(f"{where} has no subnets, so no addresses")
    elif net.lacks(address):
        spot.blame(f"{address} is in no subnet of {where} ({', '.join(map(str, net.prefixes))})")
    elif any(address in first_and_last(prefix) for prefix in net.prefixes):
        spot.blame(f"{address} is the network or broadcast address of its subnet")


def _ways_out(site: Sections) -> dict[str, str | None]:
    """Each network that a router serves, with that router's external network: None where that is not known."""
    ways: dict[str, str | None] = {}
    for router in site.routers.drafts:
        external = router.get("external")
        if external is None and router.lacks("external"):
            continue
        for _, name in items(router, "networks"):
            ways.setdefault(name, external.get("network") if external else None)
    return ways


def _check_floating_ip(site: Sections, port: Draft, ways_out: dict[str, str | None]) -> None:
    address, network = port.get("floating_ip"), port.get("network")
    if address is None:
        return
    spot = port.spots["floating_ip"]
    if address.version != 4:
        spot.blame(f"{address} is not IPv4; IPv6 addresses are not translated")
        return
    if network not in site.nets:
        return
    net = site.nets[network]
    if net.certain and not any(prefix.version == 4 for prefix in net.prefixes):
        spot.blame(f"network {network!r} has no IPv4 subnet, so there is no address to translate")
        return
    if network not in ways_out:
        if _routers_are_certain(site):
            spot.blame(f"network {network!r} is on no router with an external network")
        return
    _check_outside(site, port, ways_out[network])


def _check_outside(site: Sections, port: Draft, outside: str | None) -> None:
    if outside is None or outside not in site.nets:
        return
    spot, address, net = port.spots["floating_ip"], port.get("floating_ip"), site.nets[outside]
    if not net.prefixes:
        return  # the router has been told that its external network needs a subnet
    _check_address(spot, address, net, f"external network {outside!r}")
    if net.holds(address) and (holder := site.take(outside, address, f"the floating_ip of {port.spot.path}")):
        spot.blame(f"{address} is taken by {holder}")


def _routers_are_certain(site: Sections) -> bool:
    return site.routers.certain and not any(
        "networks" in router.broken or not getattr(router.get("networks"), "complete", True)
        for router in site.routers.drafts
    )
