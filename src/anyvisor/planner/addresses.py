# SPDX-License-Identifier: Apache-2.0
"""IP addresses of ports: the first free one (IPv4), or the one computed from the MAC (IPv6, RFC 4291)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from anyvisor.errors import TerminalError
from anyvisor.model.names import Mac
from anyvisor.model.network import Subnet

_EUI64_PREFIX = 64


def eui64(prefix: str, mac: Mac) -> str:
    """The address that a station with that MAC gives itself in a /64 (modified EUI-64, RFC 4291 appendix A)."""
    network = ip_network(prefix)
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    interface = int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:], "big")
    return str(IPv6Address(int(network.network_address) | interface))


class AddressPool:
    """The addresses of one subnet. Hands out the lowest that is free; one address costs little however many are taken.

    Not handed out: the gateway, what the caller reserves, and the network and broadcast address (IPv4) or the
    subnet-router anycast address (IPv6).
    """

    def __init__(self, subnet: Subnet, taken: Iterable[str] = ()) -> None:
        self._prefix = subnet.prefix
        self._first, self._last = _usable(self._prefix)
        self._next = self._first
        self._freed: list[int] = []
        self._taken: set[int] = set()
        if subnet.gateway is not None:
            self.reserve(subnet.gateway)
        for address in taken:
            self.reserve(address)

    def reserve(self, address: str) -> bool:
        """Somebody has this address. False if somebody had it already; one outside the subnet is none of ours."""
        number = self._number(address)
        if number is None:
            return True
        if number in self._taken:
            return False
        self._taken.add(number)
        return True

    def give_back(self, address: str) -> None:
        """Nobody has it any more."""
        number = self._number(address)
        if number is None or number not in self._taken:
            return
        self._taken.remove(number)
        if number < self._next:
            heapq.heappush(self._freed, number)

    def take(self) -> str:
        """The lowest free address.

        Raises:
            TerminalError: the subnet is full.
        """
        number = self._lowest()
        self._taken.add(number)
        return str(ip_address(int(self._prefix.network_address) + number))

    def take_for(self, mac: Mac) -> str:
        """IPv6 with a /64: the address computed from `mac`, if free. Otherwise the lowest free one."""
        if self._prefix.version == 6 and self._prefix.prefixlen == _EUI64_PREFIX:
            address = eui64(str(self._prefix), mac)
            if self.reserve(address):
                return address
        return self.take()

    def _lowest(self) -> int:
        while self._freed:
            number = heapq.heappop(self._freed)
            if number not in self._taken:
                return number
        while self._next in self._taken:
            self._next += 1
        if self._next > self._last:
            raise TerminalError(
                f"subnet {self._prefix} is full: {len(self._taken)} addresses are taken",
                hint="Add a subnet to the network, or remove ports.",
            )
        number = self._next
        self._next += 1
        return number

    def _number(self, address: str) -> int | None:
        """Its distance from the start of the prefix, None if it is not in it."""
        value = ip_address(address)
        if value.version != self._prefix.version:
            return None
        number = int(value) - int(self._prefix.network_address)
        return number if 0 <= number < self._prefix.num_addresses else None


def addresses_of(
    fixed: Iterable[str], subnets: Iterable[Subnet], mac: Mac, pools: Mapping[str, AddressPool]
) -> tuple[str, ...]:
    """All addresses of one port, IPv4 first: those the operator fixed, and one for each subnet that none of them is in.

    `pools` are by ``Subnet.cidr``; the fixed addresses must be reserved there already (by everybody's, before any port
    is given one).

    Raises:
        TerminalError: a subnet is full.
    """
    found = [ip_address(address) for address in fixed]
    for subnet in subnets:
        prefix = subnet.prefix
        if not any(_inside(address, prefix) for address in found):
            found.append(ip_address(pools[subnet.cidr].take_for(mac)))
    return tuple(
        str(address) for address in sorted(found, key=lambda address: (address.version, int(address)))
    )


def address(subnet: Subnet, taken: Iterable[str], reserved: Iterable[str] = ()) -> str:
    """The lowest free address of the subnet, for once; who needs many keeps an `AddressPool`.

    Raises:
        TerminalError: the subnet is full.
    """
    return AddressPool(subnet, (*taken, *reserved)).take()


def _inside(address: IPv4Address | IPv6Address, prefix: IPv4Network | IPv6Network) -> bool:
    return address.version == prefix.version and address in prefix


def _usable(prefix: IPv4Network | IPv6Network) -> tuple[int, int]:
    """First and last offset that a station may have. One or two addresses are used whole (RFC 3021, 6164)."""
    last = prefix.num_addresses - 1
    if last <= 1:
        return 0, last
    return 1, last - 1 if prefix.version == 4 else last


def address_by_name(name: str, subnet: Subnet, taken: Collection[str | None]) -> str | None:
    """An IPv4 address of the subnet that follows from a name: it needs no memory, and moves only if it is taken.

    None where none of the first 4096 that the name leads to is free.
    """
    span = subnet.prefix.num_addresses - 2
    start = int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "big")
    for step in range(min(span, 4096)):
        address = str(ip_address(int(subnet.prefix.network_address) + 1 + (start + step) % span))
        if address not in taken:
            return address
    return None
