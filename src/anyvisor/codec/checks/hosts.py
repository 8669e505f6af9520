# SPDX-License-Identifier: Apache-2.0
"""Hosts: their parts by name, their addresses; and the policy's clusters."""

from __future__ import annotations

from difflib import get_close_matches

from anyvisor.codec.checks.sections import Sections, items
from anyvisor.codec.reading import Draft, suggestion
from anyvisor.planner.facts import KEYS

FACTS = {key.name: key for key in KEYS}


def check(site: Sections) -> None:
    """Note all faults of hosts and of the policy."""
    tunnels: dict[object, str] = {}
    for host in site.hosts.drafts:
        for key in ("switches", "nics"):
            _check_names(host, key)
        _check_facts(host)
        _take_tunnel_addresses(host, tunnels)
    _check_clusters(site)


def _take_tunnel_addresses(host: Draft, taken: dict[object, str]) -> None:
    tunnel_ip = host.get("tunnel_ip")
    if tunnel_ip is not None:
        first = taken.setdefault(tunnel_ip, host.spot.path)
        if first != host.spot.path:
            host.blame("tunnel_ip", f"{tunnel_ip} is already the tunnel_ip of {first}")
    for spot, address in items(host, "appliance_ips"):
        first = taken.setdefault(address, spot.path)
        if first != spot.path:
            spot.blame(f"{address} is already the tunnel address of {first}")


def _check_names(host: Draft, key: str) -> None:
    seen: set[str] = set()
    for _, part in items(host, key):
        name = part.get("name")
        if name in seen:
            part.blame("name", f"the host has two {key} with the name {name}")
        elif name is not None:
            seen.add(name)


def _check_facts(host: Draft) -> None:
    """Facts of any name may be given; but one that is nearly a known one would be overlooked in silence."""
    for spot, (name, value) in items(host, "facts"):
        close = [] if name in FACTS else get_close_matches(name, FACTS, n=1, cutoff=0.8)
        if close:
            spot.blame(f"unknown fact; did you mean {close[0]}?")
        elif name in FACTS and FACTS[name].kind in {int, float} and type(value) not in {int, float}:
            spot.blame(f"{name} is a number")


def _check_clusters(site: Sections) -> None:
    """A policy for a cluster that no host is in is a typing mistake, unless managers may report such hosts."""
    policy = site.site.get("policy")
    hosts_are_known = site.hosts.drafts and site.hosts.certain and not site.is_reported
    if policy is None or not hosts_are_known or any("cluster" in host.broken for host in site.hosts.drafts):
        return
    clusters = {host.get("cluster") for host in site.hosts.drafts} - {None}
    for spot, (name, _) in items(policy, "clusters"):
        if name not in clusters:
            spot.blame(f"no host is in cluster {name!r}{suggestion(name, clusters)}")
