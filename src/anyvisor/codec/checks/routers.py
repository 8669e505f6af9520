# SPDX-License-Identifier: Apache-2.0
"""Routers: which networks they join, and their way out."""

from __future__ import annotations

from anyvisor.codec.addresses import Prefix
from anyvisor.codec.checks.sections import Sections, first_and_last, items
from anyvisor.codec.document import Spot
from anyvisor.codec.reading import Draft
from anyvisor.model.kinds import NetworkKind


def check(site: Sections) -> None:
    """Note all faults of routers."""
    served: dict[str, str] = {}
    for router in site.routers.drafts:
        legs = _check_networks(site, router, served)
        external = router.get("external")
        if external is not None:
            legs += _check_external(site, external, {name for _, name in legs})
        _check_overlap(site, legs)


def _check_networks(site: Sections, router: Draft, served: dict[str, str]) -> list[tuple[Spot, str]]:
    legs: list[tuple[Spot, str]] = []
    for spot, name in items(router, "networks"):
        first = served.setdefault(name, router.spot.path)
        if first != router.spot.path:
            spot.blame(
                f"network {name!r} is already served by {first}; only one router can have its gateway address"
            )
        elif any(name == other for _, other in legs):
            spot.blame(f"network {name!r} stands in the list twice")
        elif site.networks.check_reference(spot, name) is not None:
            legs.append((spot, name))
    return legs


def _check_external(site: Sections, external: Draft, inside: set[str]) -> list[tuple[Spot, str]]:
    name = external.get("network")
    if name is None:
        return []
    spot = external.spots["network"]
    if name in inside:
        spot.blame(f"network {name!r} is on the inside of this router already")
        return []
    network = site.networks.check_reference(spot, name)
    if network is None:
        return []
    net = site.nets[name]
    if network.get("kind") is NetworkKind.OVERLAY:
        spot.blame(f"network {name!r} is an overlay; the way out must be a network of kind vlan")
    elif net.certain and not any(prefix.version == 4 for prefix in net.prefixes):
        spot.blame(f"network {name!r} has no IPv4 subnet for the router to have an address in")
    else:
        _check_ip(site, external, name)
    return [(spot, name)]


def _check_ip(site: Sections, external: Draft, network: str) -> None:
    ip = external.get("ip")
    if ip is None:
        return
    net = site.nets[network]
    if net.lacks(ip):
        external.blame("ip", f"{ip} is in no subnet of network {network!r}")
    elif any(ip in first_and_last(prefix) for prefix in net.prefixes):
        external.blame("ip", f"{ip} is the network or broadcast address of its subnet")
    elif holder := site.take(network, ip, external.spot.path):
        external.blame("ip", f"{ip} is taken by {holder}")


def _check_overlap(site: Sections, legs: list[tuple[Spot, str]]) -> None:
    """A router cannot tell two networks apart whose prefixes overlap. Sorted, so that many networks stay cheap."""
    order = {id(spot): index for index, (spot, _) in enumerate(legs)}
    for version in (4, 6):
        rows: list[tuple[Prefix, Spot, str]] = sorted(
            (
                (prefix, spot, name)
                for spot, name in legs
                for prefix in site.nets[name].prefixes
                if prefix.version == version
            ),
            key=lambda row: (int(row[0].network_address), row[0].prefixlen, order[id(row[1])]),
        )
        widest: tuple[Prefix, Spot, str] | None = None
        for row in rows:
            if widest is not None and widest[0].overlaps(row[0]) and widest[2] != row[2]:
                earlier, later = sorted((widest, row), key=lambda entry: order[id(entry[1])])
                later[1].blame(f"{later[0]} of network {later[2]!r} overlaps {earlier[0]} of {earlier[2]!r}")
            if widest is None or not widest[0].overlaps(row[0]):
                widest = row
