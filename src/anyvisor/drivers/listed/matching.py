# SPDX-License-Identifier: Apache-2.0
"""Which device of a host belongs to which vNIC, told by MAC alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from anyvisor.model.names import Mac
from anyvisor.netlink.links import Link

_NEVER = frozenset({"", "bridge", "bond", "team", "vlan", "vxlan", "geneve", "openvswitch"})
"""Kinds of device that no vNIC has: cards of the host (no kind), and what joins or wraps other devices."""


def tap_mac(guest: Mac) -> Mac:
    """The MAC that libvirt gives to the host's end of a guest's device, so that a bridge never takes it over."""
    return Mac("fe" + guest[2:])


def match_devices(
    links: Iterable[Link], wanted: Collection[Mac], attached: Mapping[Mac, str]
) -> dict[Mac, str]:
    """The device per wanted MAC: what Open vSwitch has under that MAC, else libvirt's end, else the very same MAC.

    A device that fits two wanted MACs (they differ in the first octet alone) belongs to neither of them.
    """
    candidates = {link.name: link for link in links if link.kind not in _NEVER}
    by_mac: defaultdict[Mac, list[str]] = defaultdict(list)
    for name, link in sorted(candidates.items()):
        by_mac[link.mac].append(name)
    claims: defaultdict[Mac, int] = defaultdict(int)
    for mac in wanted:
        claims[tap_mac(mac)] += 1
    found: dict[Mac, str] = {}
    for mac in wanted:
        if attached.get(mac) in candidates:
            found[mac] = attached[mac]
            continue
        names = by_mac[tap_mac(mac)] if claims[tap_mac(mac)] == 1 else []
        names = names or by_mac[mac]
        if names:
            found[mac] = names[0]
    return found
