# SPDX-License-Identifier: Apache-2.0
"""Network devices of this namespace: reading them, and the few changes that drivers make."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from anyvisor.errors import RetryableError, TerminalError
from anyvisor.model.names import Mac
from anyvisor.model.vnic import Counters

Netlink: TypeAlias = Any
"""What pyroute2 hands out: sockets and messages. The library has no types."""
ALIAS = "anyvisor:"
"""What the alias of a device begins with that we made or plugged: ``anyvisor:OWNER:KEY``."""
NAME_MAX = 15
"""The kernel's IFNAMSIZ, less the closing zero byte."""
_UP = 0x1
_PVID_UNTAGGED = 0x2 | 0x4


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One network device. `counters` are seen from whatever is at its far end: tx is what came in here."""

    index: int
    name: str
    mac: Mac
    kind: str = ""
    """``bridge``, ``veth``, ``tun``, ``vlan``, …; empty for a physical card."""
    master: str | None = None
    alias: str = ""
    up: bool = False
    mtu: int = 1500
    vlan: int | None = None
    parent: str | None = None
    """The device below, for those stacked on another one of this namespace."""
    counters: Counters = field(default_factory=Counters, compare=False)


@contextmanager
def netlink(what: str) -> Iterator[Netlink]:
    """One netlink socket; its errors become ours. `what` completes the sentence "could not …".

    Raises:
        RetryableError: the device went away meanwhile, or is busy.
        TerminalError: the kernel refuses.
    """
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as ip:
        try:
            yield ip
        except NetlinkError as error:
            message = f"could not {what}: {error.args[1] if len(error.args) > 1 else error}"
            if error.code in {errno.ENODEV, errno.EBUSY, errno.EAGAIN, errno.ENXIO}:
                raise RetryableError(message) from error
            raise TerminalError(message) from error


def read_links() -> dict[str, Link]:
    """Every device by name."""
    with netlink("list the network devices") as ip:
        raw = list(ip.get_links())
    names = {message["index"]: str(message.get("ifname")) for message in raw}
    links = (_parse(message, names) for message in raw)
    return {link.name: link for link in links}


def _parse(message: Netlink, names: dict[int, str]) -> Link:
    info = message.get("linkinfo")
    kind = str((info.get("kind") if info is not None else None) or "")
    data = info.get("data") if info is not None else None
    stats = message.get("stats64") or {}
    master = message.get("master")
    # A link in another namespace has an index of that namespace: link_netnsid tells.
    parent = message.get("link") if message.get("link_netnsid") is None else None
    return Link(
        index=message["index"],
        name=str(message.get("ifname")),
        mac=Mac(str(message.get("address") or "").lower()),
        kind=kind,
        master=names.get(master) if master else None,
        alias=str(message.get("ifalias") or ""),
        up=bool(message["flags"] & _UP),
        mtu=int(message.get("mtu") or 0),
        vlan=int(data.get("vlan_id")) if kind == "vlan" and data is not None else None,
        parent=names.get(parent) if parent and kind != "veth" else None,
        counters=Counters(
            tx_bytes=int(stats.get("rx_bytes", 0)),
            rx_bytes=int(stats.get("tx_bytes", 0)),
            tx_packets=int(stats.get("rx_packets", 0)),
            rx_packets=int(stats.get("tx_packets", 0)),
        ),
    )


def make_bridge(name: str, *, alias: str, filtering: bool = False, mtu: int | None = None) -> None:
    """A bridge that forwards at once, asks nobody and takes no address from the networks it carries."""
    options: dict[str, Any] = {"br_forward_delay": 0, "br_stp_state": 0, "br_mcast_snooping": 0}
    if filtering:
        # No VLAN by default: a port belongs to the VLAN it is given and to no other.
        options |= {"br_vlan_filtering": 1, "br_vlan_default_pvid": 0}
    with netlink(f"make the bridge {name}") as ip:
        ip.link("add", ifname=name, kind="bridge", **options)
        index = _index(ip, name)
        _mute(name)
        if mtu is not None:
            ip.link("set", index=index, mtu=mtu)
        ip.link("set", index=index, ifalias=alias, state="up")


def make_vlan_device(name: str, *, parent: str, vlan: int, alias: str) -> None:
    """A device that carries one VLAN of `parent` untagged."""
    with netlink(f"make the VLAN device {name}") as ip:
        ip.link("add", ifname=name, kind="vlan", link=_index(ip, parent), vlan_id=vlan)
        _mute(name)
        ip.link("set", index=_index(ip, name), ifalias=alias, state="up")


def delete_link(name: str) -> None:
    """Remove a device; one that is not there is no error."""
    with netlink(f"remove {name}") as ip:
        for index in ip.link_lookup(ifname=name):
            ip.link("del", index=index)


def change_link(name: str, **changes: str | int) -> None:
    """Change attributes of one device, in pyroute2's words (``state``, ``mtu``, ``address``, ``ifalias``)."""
    with netlink(f"change {name}") as ip:
        ip.link("set", index=_index(ip, name), **changes)


def set_master(name: str, master: str | None) -> None:
    """Put a device into a bridge and bring it up, or take it out (None)."""
    with netlink(f"put {name} into {master}" if master else f"take {name} out of its bridge") as ip:
        index = _index(ip, name)
        if master is None:
            ip.link("set", index=index, master=0)
        else:
            ip.link("set", index=index, master=_index(ip, master), state="up")


def set_access_vlan(name: str, vlan: int, *, tagged: bool = False) -> None:
    """Make a port of a filtering bridge carry that VLAN: untagged and alone, or tagged beside others."""
    with netlink(f"put {name} on VLAN {vlan}") as ip:
        info: dict[str, int] = {"vid": vlan}
        if not tagged:
            info["flags"] = _PVID_UNTAGGED
        ip.vlan_filter("add", index=_index(ip, name), vlan_info=info)


def quiet_ipv6(name: str) -> None:
    """Keep the host itself off the network behind that device: no link-local address, no router advertisements."""
    _mute(name)


def can_filter_vlans() -> bool:
    """Whether this kernel's bridge filters VLANs; found by trying, on a bridge that is gone afterwards."""
    return _can_make("avprobe-vf", kind="bridge", br_vlan_filtering=1)


def can_make_vlan_devices() -> bool:
    """Whether this kernel has VLAN devices; found by trying on the loopback device."""
    with netlink("look up the loopback device") as ip:
        loopback = _index(ip, "lo")
    return _can_make("avprobe-vd", kind="vlan", link=loopback, vlan_id=4094)


def _can_make(name: str, **attributes: str | int) -> bool:
    from pyroute2 import IPRoute, NetlinkError

    with IPRoute() as ip:
        try:
            ip.link("add", ifname=name, **attributes)
        except NetlinkError as error:
            return bool(error.code == errno.EEXIST)
        finally:
            for index in ip.link_lookup(ifname=name):
                with suppress(NetlinkError):
                    ip.link("del", index=index)
        return True


def _index(ip: Netlink, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise RetryableError(f"there is no network device {name}")
    return int(found[0])


def _mute(name: str) -> None:
    # The host must not get an address on a tenant's network (router advertisements would give it one).
    with suppress(OSError):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1", encoding="ascii")
