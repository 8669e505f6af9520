# SPDX-License-Identifier: Apache-2.0
"""Words of the site file that stand for places in a network: MACs, IP addresses, prefixes, ports, remotes."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

from anyvisor.codec.document import Spot
from anyvisor.codec.reading import WrongError, shape
from anyvisor.codec.scalars import text, whole

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
RANGE = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")
REMOTE = re.compile(
    r"(?:ssl|tcp):(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})|unix:(?P<path>.+)"
)
CREDENTIALS = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")

vlan = whole(1, 4094)


def mac(spot: Spot) -> str:
    """A unicast MAC as ``52:54:00:00:00:01``, in lower case."""
    word = text(spot).lower()
    if not MAC.fullmatch(word):
        raise WrongError(f"{word!r} is no MAC; six octets such as 52:54:00:00:00:01")
    if int(word[:2], 16) & 1:
        raise WrongError(f"{word} is a multicast MAC: the first octet must be even")
    if word == "00:00:00:00:00:00":
        raise WrongError("a MAC of zeros stands for no address")
    return word


def address(spot: Spot) -> Address:
    """One IPv4 or IPv6 address, without prefix length and zone."""
    word = text(spot)
    if "/" in word:
        raise WrongError(f"{word!r} has a prefix length; a bare address is expected")
    try:
        value = ip_address(word)
    except ValueError as error:
        raise WrongError(f"{word!r} is no IP address") from error
    if isinstance(value, IPv6Address) and value.scope_id:
        raise WrongError(f"{word!r} has a zone; a bare address is expected")
    if value.is_multicast or value.is_unspecified or value.is_loopback:
        raise WrongError(f"{word} is not an address that one machine can have on a network")
    return value


def prefix(spot: Spot) -> Prefix:
    """An IP prefix such as ``10.1.0.0/24``, without host bits."""
    word = text(spot)
    try:
        return _prefix(word)
    except ValueError as error:
        raise WrongError(f"{word!r} is no IP prefix such as 10.1.0.0/24 or fd00:1::/64") from error


def subnet_prefix(spot: Spot) -> Prefix:
    """A prefix that machines can have addresses in."""
    value = prefix(spot)
    if value.is_multicast or value.is_loopback:
        raise WrongError(f"{value} is not for machines on a network: it is multicast or loopback")
    return value


def _prefix(word: str) -> Prefix:
    if "/" not in word:
        single = ip_network(word)
        raise WrongError(f"{word} has no prefix length; for this one address write {single}")
    length = word.partition("/")[2]
    value = ip_network(word, strict=False)
    if not length.isdigit():
        raise WrongError(f"write the prefix length as a number: {value}")
    if str(value.network_address) != str(ip_address(word.partition("/")[0])):
        raise WrongError(f"{word} has host bits set; the prefix is {value}")
    return value


def remote(spot: Spot) -> str:
    """An OVSDB remote, or several of one cluster with commas between."""
    word = text(spot)
    for part in word.split(","):
        match = REMOTE.fullmatch(part.strip())
        if match is None:
            raise WrongError(
                f"{part.strip()!r} is no OVSDB remote: ssl:HOST:PORT, tcp:HOST:PORT or unix:PATH"
            )
        if match["port"] is not None and not 1 <= int(match["port"]) <= 65535:
            raise WrongError(f"{part.strip()!r}: the port is outside 1-65535")
    return ",".join(part.strip() for part in word.split(","))


def url(spot: Spot) -> str:
    """Where a manager answers. A password in it is refused, and not repeated."""
    word = text(spot)
    try:
        parts = urlsplit(word)
        has_password = parts.password is not None
    except ValueError:
        raise WrongError("this is no URL") from None
    if has_password:
        raise WrongError("a URL must not carry a password; give `credentials` as env:NAME or file:PATH")
    return word


def credentials(spot: Spot) -> str:
    """Where the secret is. Anything else may be the secret itself, so it is never repeated in a message."""
    if spot.tag == "str" and spot.raw.isprintable() and CREDENTIALS.fullmatch(spot.raw):
        return spot.raw
    raise WrongError("credentials are a reference, env:NAME or file:PATH, never the secret itself")


def number_ranges(spot: Spot) -> tuple[tuple[int, int], ...]:
    """``443``, ``"80-90"`` or ``"80,443"``: (first, last) each, within 1-65535."""
    return tuple(_range(part, 65535) for part in _words(spot, 'ports are written 443, "80-90" or "80,443"'))


def vlan_range(spot: Spot) -> tuple[int, int]:
    """``"200-299"`` or ``200``: (first, last), within 1-4094."""
    words = _words(spot, 'VLANs are written "200-299"')
    if len(words) != 1:
        raise WrongError('VLANs are written "200-299", one range for each physical network')
    return _range(words[0], 4094)


def _words(spot: Spot, usage: str) -> list[str]:
    if spot.tag == "int":
        return [str(whole(0, 99999)(spot))]
    if spot.tag != "str":
        raise WrongError(f"{usage}; but here is {shape(spot)}")
    words = [word.strip() for word in spot.raw.split(",")]
    if not all(RANGE.fullmatch(word) for word in words):
        raise WrongError(f"{usage}; but here is {spot.raw!r}")
    return words


def _range(word: str, highest: int) -> tuple[int, int]:
    first, _, last = word.partition("-")
    low, high = int(first), int(last or first)
    if not (1 <= low <= highest and 1 <= high <= highest):
        raise WrongError(f"{word} is outside 1-{highest}")
    if low > high:
        raise WrongError(f"{word} runs backwards; write {high}-{low}")
    return low, high
