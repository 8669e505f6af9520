# SPDX-License-Identifier: Apache-2.0
"""What the host itself needs its network cards for."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from anyvisor.errors import ForeignObjectError
from anyvisor.netlink.links import ALIAS, Link, change_link, netlink, read_links, set_master

_LINK_SCOPE = 253


class Surroundings:
    """Facts of the network namespace that the program runs in."""

    def busy_cards(self) -> frozenset[str]:
        """Devices that carry an address of the host, have something stacked on them, or belong to a bridge."""
        links = read_links()
        names = {link.index: link.name for link in links.values()}
        with netlink("list the addresses") as ip:
            addressed = {names.get(a["index"]) for a in ip.get_addr() if a["scope"] < _LINK_SCOPE}
        below = {link.parent for link in links.values()}
        enslaved = _masters(links)
        return frozenset(name for name in addressed | below | frozenset(enslaved) if name is not None)

    def masters(self) -> Mapping[str, str]:
        """The Linux bridge of each device that is in one."""
        return _masters(read_links())

    def switches(self) -> Mapping[str, str]:
        """The same, and ``ovs-system`` for a device that Open vSwitch's kernel datapath has."""
        return {link.name: link.master for link in read_links().values() if link.master is not None}

    def release(self, device: str) -> None:
        """Take a device out of its Linux bridge, with our mark on it.

        Raises:
            ForeignObjectError: what it is in is no Linux bridge.
        """
        links = read_links()
        link = links.get(device)
        if link is not None and link.master is not None:
            if device not in _masters(links):
                raise ForeignObjectError(
                    f"{device} is in {link.master}, which is no Linux bridge",
                    hint=f"ovs-vsctl del-port {device}, if Open vSwitch has it",
                )
            set_master(device, None)
        if link is not None and link.alias.startswith(ALIAS):
            change_link(device, ifalias="")

    def source_address(self, remote: str) -> str | None:
        """The address of ours from which an OVSDB remote (``tcp:HOST:PORT``) is reached; None if there is no way."""
        where = first_endpoint(remote)
        if where is None:
            return None
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(where)  # a datagram socket: the kernel looks up the route and sends nothing
                return str(probe.getsockname()[0])
        except OSError:
            return None

    def reaches(self, remote: str, timeout_seconds: float) -> bool:
        """Whether a TCP connection to an OVSDB remote can be made now. True for a remote of this very machine."""
        where = first_endpoint(remote)
        if where is None:
            return True
        try:
            with socket.create_connection(where, timeout_seconds):
                return True
        except OSError:
            return False


def _masters(links: Mapping[str, Link]) -> dict[str, str]:
    bridges = {link.name for link in links.values() if link.kind == "bridge"}
    return {
        link.name: link.master
        for link in links.values()
        if link.master is not None and link.master in bridges
    }


def first_endpoint(remote: str) -> tuple[str, int] | None:
    """Host and port of the first member of an OVSDB remote; None for a Unix socket."""
    for part in remote.split(","):
        method, _, rest = part.strip().partition(":")
        host, _, port = rest.rpartition(":")
        if method in {"tcp", "ssl"} and port.isdigit():
            return host.strip("[]"), int(port)
    return None
