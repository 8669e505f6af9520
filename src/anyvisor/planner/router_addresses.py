# SPDX-License-Identifier: Apache-2.0
"""A router's own address on its external network. It needs no memory: it follows from the router's name."""

from __future__ import annotations

from collections.abc import Iterable

from anyvisor.model.names import PortName
from anyvisor.model.network import Router
from anyvisor.model.site import Site
from anyvisor.planner.addresses import address_by_name


def router_address(site: Site, router: Router, members: Iterable[PortName]) -> str | None:
    """The stated one, else one by name, which moves only if somebody claims that very address in the site.

    `members` are the ports on the external network. None without a way out, or without an IPv4 subnet there.
    """
    if router.external is None:
        return None
    if router.external.ip is not None:
        return router.external.ip
    outside = site.networks[router.external.network]
    subnet = next((s for s in outside.subnets if s.version == 4), None)
    if subnet is None:
        return None
    return address_by_name(router.name, subnet, _claimed(site, members) | {subnet.gateway})


def _claimed(site: Site, members: Iterable[PortName]) -> set[str | None]:
    claimed: set[str | None] = {port.floating_ip for port in site.ports.values() if port.floating_ip}
    for name in members:
        claimed.update(site.ports[name].ips if name in site.ports else ())
    for router in site.routers.values():
        if router.external is not None and router.external.ip is not None:
            claimed.add(router.external.ip)
    return claimed
