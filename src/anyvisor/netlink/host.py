# SPDX-License-Identifier: Apache-2.0
"""The host's own addresses and routes, and moving them from one device to another.

What the kernel makes by itself is not moved: link-local addresses, the routes to the networks of addresses, and what
routers advertise. All of it comes again on the other device.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyvisor.errors import RetryableError
from anyvisor.model.names import Mac
from anyvisor.netlink.links import (
    Link,
    Netlink,
    change_link,
    make_bridge,
    netlink,
    quiet_ipv6,
    read_links,
    set_master,
)
from anyvisor.planner.conversion import Address, HostBridge, Route

if TYPE_CHECKING:
    from anyvisor.contracts import host as contract

_NODAD, _DEPRECATED, _NOPREFIXROUTE = 0x02, 0x20, 0x200
_KEPT = _NODAD | 0x10 | 0x100 | _NOPREFIXROUTE  # with HOMEADDRESS and MANAGETEMPADDR; the rest is state
_BY_KERNEL = 3
"""IFA_PROTO of a link-local address that the kernel made."""
_FOREVER = 0xFFFFFFFF
_UNICAST, _KERNEL, _RA, _ONLINK = 1, 2, 9, 0x4
_LOCAL_TABLE = 255
_IPV6_METRIC = 256
_PLAIN_ROUTE = frozenset(
    ("RTA_TABLE", "RTA_DST", "RTA_PRIORITY", "RTA_PREFSRC", "RTA_GATEWAY", "RTA_OIF", "RTA_METRICS")
)
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")


class HostNetwork:
    """Addresses, routes and bridge membership of the namespace that the program runs in.

    Everything may be repeated; a device that is not there has nothing to be taken from.
    """

    def bridges(self) -> dict[str, HostBridge]:
        """Every Linux bridge with what the host has on it."""
        links = read_links()
        with netlink("read addresses and routes") as ip:
            addresses = list(ip.get_addr())
            routes = [*ip.get_routes(family=socket.AF_INET), *ip.get_routes(family=socket.AF_INET6)]
        return {
            link.name: _host_bridge(link, links, addresses, routes)
            for link in links.values()
            if link.kind == "bridge"
        }

    def leave(self, device: str) -> None:
        """Take a device out of its Linux bridge. One that is in a switch of another kind stays there."""
        links = read_links()
        link = links.get(device)
        if link is not None and link.master in links and links[link.master].kind == "bridge":
            set_master(device, None)

    def join(self, device: str, bridge: str) -> None:
        """Put a device into a Linux bridge. A device that is gone needs no bridge."""
        link = read_links().get(device)
        if link is not None and link.master != bridge:
            set_master(device, bridge)

    def remake(self, bridge: HostBridge) -> None:
        """See to it that a Linux bridge is there, up, and has its MAC and MTU, and IPv6 as it was."""
        link = read_links().get(bridge.name)
        if link is None:
            make_bridge(bridge.name, alias="", mtu=bridge.mtu)
        if link is None or link.mac != bridge.mac:
            change_link(bridge.name, address=bridge.mac)
        change_link(bridge.name, mtu=bridge.mtu, state="up")
        if bridge.ipv6:
            _allow_ipv6(bridge.name)
        else:
            quiet_ipv6(bridge.name)

    def carry(self, device: str, addresses: Iterable[Address], routes: Iterable[Route]) -> None:
        """Bring a device up and give it these addresses and routes; one that stands over another device moves here.

        Raises:
            RetryableError: there is no such device.
        """
        link = read_links().get(device)
        if link is None:
            raise RetryableError(f"there is no network device {device}")
        wanted = tuple(addresses)
        if any(":" in address.address for address in wanted):
            _allow_ipv6(device)
        with netlink(f"move addresses to {device}") as ip:
            ip.link("set", index=link.index, state="up")
            for address in _in_order(wanted):
                _give(ip, link, address)
            # Routes that need no gateway first: the others are reached through them.
            for route in sorted(routes, key=lambda route: route.gateway is not None):
                if route.family == socket.AF_INET6:
                    _clear_way(ip, link.index, route)
                _add_route(ip, link.index, route)

    def drop(self, device: str, addresses: Iterable[Address]) -> None:
        """Take these addresses from a device, and keep the host from speaking IPv6 on it.

        Else its link-local address and what routers advertised there would stay, and draw the host's traffic to a
        device that leads nowhere. `remake` and `carry` turn IPv6 on again.
        """
        link = read_links().get(device)
        if link is None:
            return
        # Secondary addresses before the ones that they hang on.
        for address in reversed(tuple(addresses)):
            with netlink(f"take {address.address} from {device}") as ip:
                _take(ip, link.index, address)
        quiet_ipv6(device)

    def up(self, device: str) -> None:
        """Bring a device up."""
        change_link(device, state="up")


def _allow_ipv6(device: str) -> None:
    # A kernel without IPv6 has no such file, and a container may not write it: then it is as it was.
    with suppress(OSError):
        (_IPV6_SETTINGS / device / "disable_ipv6").write_text("0", encoding="ascii")


def _speaks_ipv6(device: str) -> bool:
    try:
        return (_IPV6_SETTINGS / device / "disable_ipv6").read_text(encoding="ascii").strip() == "0"
    except OSError:
        return False


# --- from the kernel's words --------------------------------------------------------------------------------------


def _host_bridge(
    link: Link, links: dict[str, Link], addresses: Iterable[Netlink], routes: Iterable[Netlink]
) -> HostBridge:
    mine = tuple(
        _address(message, link.name)
        for message in addresses
        if message["index"] == link.index and not _made_by_kernel(message, link)
    )
    networks = {key for address in mine for key in _network_routes(address)}
    theirs = [
        message
        for message in routes
        if _leads_over(message, link.index)
        and message.get("table") != _LOCAL_TABLE
        and message["type"] == _UNICAST
        and not _advertised(message)
        and _key(message) not in networks
    ]
    plain = [message for message in theirs if _plain(message)]
    return HostBridge(
        name=link.name,
        mac=Mac(link.mac),
        mtu=link.mtu,
        members=tuple(sorted(other.name for other in links.values() if other.master == link.name)),
        addresses=mine,
        routes=tuple(_route_of(message) for message in plain),
        stacked=tuple(sorted(other.name for other in links.values() if other.parent == link.name)),
        shared_routes=len(theirs) - len(plain),
        ipv6=_speaks_ipv6(link.name),
    )


def _made_by_kernel(message: Netlink, link: Link) -> bool:
    address = ipaddress.ip_address(message.get("address") or message.get("local"))
    if address.version == 4 or not address.is_link_local:
        return False
    # Older kernels do not say who made it: then the one that is made from the MAC is theirs.
    return message.get("proto") == _BY_KERNEL or address.packed[8:] == _eui64(link.mac)


def _eui64(mac: str) -> bytes:
    octets = bytes.fromhex(mac.replace(":", ""))
    return bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])


def _address(message: Netlink, device: str) -> Address:
    lifetimes = message.get("cacheinfo") or {}
    flags = int(message.get("flags") or 0)
    # On a point-to-point device IFA_ADDRESS is the peer; ours is IFA_LOCAL. IPv6 has IFA_ADDRESS alone else.
    far, local = message.get("address"), message.get("local")
    valid = _lifetime(lifetimes.get("ifa_valid"))
    preferred = _lifetime(lifetimes.get("ifa_preferred", lifetimes.get("ifa_prefered")))
    return Address(
        address=str(local or far),
        prefix_length=int(message["prefixlen"]),
        peer=str(far) if local is not None and far is not None and far != local else None,
        scope=int(message["scope"]),
        flags=flags & _KEPT,
        broadcast=message.get("broadcast"),
        label=str(message.get("label") or "").removeprefix(device),
        metric=message.get("rt_priority"),
        valid=valid,
        # IPv4 says of an address that lasts for ever only by a flag that it should not be used any more.
        preferred=0 if flags & _DEPRECATED else preferred,
    )


def _lifetime(seconds: int | None) -> int | None:
    return None if seconds is None or seconds == _FOREVER else int(seconds)


_Key = tuple[int, str | None, str | None, int | None, int]


def _network_routes(address: Address) -> Iterator[_Key]:
    """The routes that the kernel makes for an address, as `_key` would have them."""
    if address.flags & _NOPREFIXROUTE:
        return
    if ":" not in address.address:
        yield _network_route(
            socket.AF_INET, address, f"{address.peer or address.address}/{address.prefix_length}"
        )
        return
    yield _network_route(socket.AF_INET6, address, f"{address.address}/{address.prefix_length}")
    if address.peer is not None:
        yield _network_route(socket.AF_INET6, address, address.peer)


def _network_route(family: int, address: Address, within: str) -> _Key:
    metric = address.metric or (_IPV6_METRIC if family == socket.AF_INET6 else None)
    return (family, str(ipaddress.ip_interface(within).network), None, metric, _KERNEL)


def _key(message: Netlink) -> _Key:
    route = _route_of(message)
    return (route.family, route.destination, route.gateway, route.metric, route.protocol)


def _leads_over(message: Netlink, index: int) -> bool:
    return message.get("oif") == index or any(hop["oif"] == index for hop in message.get("multipath") or ())


def _advertised(message: Netlink) -> bool:
    """By a router, or made by the kernel for its own link-local address."""
    kernel = message["proto"] == _KERNEL
    link_local = str(message.get("dst") or "").startswith(("fe80:", "ff00:"))
    return bool(message["proto"] == _RA or (kernel and (_expires(message) or link_local)))


def _expires(message: Netlink) -> int:
    return int((message.get("cacheinfo") or {}).get("rta_expires", 0))


def _plain(message: Netlink) -> bool:
    """Whether a `Route` says all of it."""
    rare = {name for name, value in message["attrs"] if value} - _PLAIN_ROUTE - {"RTA_CACHEINFO"}
    return not rare and not message["tos"] and not message["src_len"] and not _expires(message)


def _route_of(message: Netlink) -> Route:
    destination = message.get("dst")
    metrics = message.get("metrics")
    return Route(
        family=int(message["family"]),
        destination=f"{destination}/{message['dst_len']}" if destination else None,
        gateway=message.get("gateway"),
        source=message.get("prefsrc"),
        metric=message.get("priority"),
        table=int(message.get("table")),
        scope=int(message["scope"]),
        protocol=int(message["proto"]),
        kind=int(message["type"]),
        flags=int(message["flags"]) & _ONLINK,  # the rest is the kernel's state
        metrics=tuple(
            (name.removeprefix("RTAX_").lower(), value)
            for name, value in (metrics["attrs"] if metrics else ())
        ),
    )


# --- into the kernel's words --------------------------------------------------------------------------------------


def _in_order(addresses: Iterable[Address]) -> list[Address]:
    """The kernel lists IPv4 addresses in the order of their making and IPv6 addresses in the reverse."""
    listed = list(addresses)
    return [a for a in listed if ":" not in a.address] + [a for a in reversed(listed) if ":" in a.address]


def _give(ip: Netlink, link: Link, address: Address) -> None:
    options = _spec(link.index, address) | {"scope": address.scope, "flags": address.flags}
    if address.broadcast is not None:
        options["broadcast"] = address.broadcast
    if address.label:
        options["label"] = (link.name + address.label)[:15]
    if address.metric is not None:
        options["rt_priority"] = address.metric
    if address.valid is not None or address.preferred is not None:
        valid = _FOREVER if address.valid is None else address.valid
        preferred = valid if address.preferred is None else address.preferred
        options |= {"valid_lft": valid, "preferred_lft": min(valid, preferred)}
    if ":" in address.address and not address.flags & _NODAD:
        # It was ours a moment ago: to look for duplicates would only take it out of use for a second.
        ip.addr("replace", **(options | {"flags": address.flags | _NODAD}))
    ip.addr("replace", **options)


def _take(ip: Netlink, index: int, address: Address) -> None:
    from pyroute2 import NetlinkError

    try:
        ip.addr("del", **_spec(index, address))
    except NetlinkError as error:
        if error.code not in {errno.EADDRNOTAVAIL, errno.ENODEV}:
            raise


def _spec(index: int, address: Address) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "index": index,
        "family": socket.AF_INET6 if ":" in address.address else socket.AF_INET,
        "address": address.peer or address.address,
        "prefixlen": address.prefix_length,
    }
    return spec if address.peer is None else spec | {"local": address.address}


def _clear_way(ip: Netlink, index: int, route: Route) -> None:
    """Take an IPv6 route from every other device. To replace it would hit whichever route of that metric is first."""
    from pyroute2 import NetlinkError

    for message in list(ip.get_routes(family=socket.AF_INET6)):
        over = message.get("oif")
        if over not in {None, index} and _plain(message) and _route_of(message) == route:
            try:
                ip.route("del", **_words(over, route))
            except NetlinkError as error:
                if error.code != errno.ESRCH:
                    raise


def _add_route(ip: Netlink, index: int, route: Route) -> None:
    from pyroute2 import NetlinkError

    words = _words(index, route)
    if route.family != socket.AF_INET6:
        ip.route("replace", **words)
        return
    try:
        ip.route("append", **words)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _words(index: int, route: Route) -> dict[str, Any]:
    words: dict[str, Any] = {
        "family": route.family,
        "dst": route.destination or "default",
        "oif": index,
        "table": route.table,
        "scope": route.scope,
        "proto": route.protocol,
        "type": route.kind,
        "flags": route.flags,
        "gateway": route.gateway,
        "prefsrc": route.source,
        "priority": route.metric,
        "metrics": dict(route.metrics) or None,
    }
    return {word: value for word, value in words.items() if value is not None}


if TYPE_CHECKING:
    _conforms: type[contract.HostNetwork] = HostNetwork
