# SPDX-License-Identifier: Apache-2.0
"""What one native switch of an ESXi host does with frames, as OpenFlow rules. Pure.

A frame is admitted (its tag goes into a register), its source may be learned, its destination is looked up, and then
every port decides by itself whether it gets the frame. So a rule belongs to one port or to one address, and none of
them knows all the others. As the real switches do:

* A vNIC gets frames to its own address, broadcast and multicast of its VLAN; unknown unicast leaves by the uplink.
* A promiscuous port gets every frame of its VLANs; a port that learns gets what it has learned and unknown unicast.
* A frame from a foreign source is dropped at the port, unless the port may forge; learning alone does not allow it.
* Tagged frames pass trunks and uplinks alone. Nothing comes back by the port it came from, nor goes on by an uplink.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ADMIT, LEARN, LOOK_UP, LEARNED, DELIVER, EMIT = range(6)
"""The tables. `LEARNED` is filled by the switch itself."""

FLOOD, KNOWN, UNKNOWN = 1, 2, 3
"""What reg1 says of a frame: to all; to the port in reg2; to an address that no port is known to have."""

ANY_VLAN = ((0, 4094),)
"""A trunk that passes everything, untagged frames as well."""
AGE_SECONDS = 300
LEARNED_COOKIE = 0x4C << 56
"""With the port's number added it marks what that port has learned."""

_VLAN, _KIND, _TARGET, _PORT, _ROOM, _LEARNS = (f"NXM_NX_REG{number}[]" for number in range(6))
_TAG = f"push_vlan:0x8100,move:{_VLAN[:-2]}[0..11]->NXM_OF_VLAN_TCI[0..11]"
_UNTAGGED = "vlan_tci=0x0000/0x1fff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """MAC learning of a port. `limit` 0: as many as there are; beyond it frames of new sources are dropped."""

    flooding: bool = True
    limit: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A vNIC that is connected. `port` is its number on the bridge, `trunk` its VLANs (then `vlan` says nothing)."""

    port: int
    mac: str
    vlan: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    promiscuous: bool = False
    forged: bool = False
    learning: Learning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A native switch as it stands: who is connected, and the uplink in use. Without one nothing leaves the host."""

    stations: tuple[Station, ...] = ()
    uplink: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One flow. Its cookie is made from everything in it, so equal cookies mean equal flows."""

    table: int
    priority: int
    match: str
    actions: str

    @property
    def cookie(self) -> int:
        """Never that of something learned."""
        digest = hashlib.blake2b(repr(self).encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 8 | 1

    def __str__(self) -> str:
        match = f",{self.match}" if self.match else ""
        return f"cookie={self.cookie:#x},table={self.table},priority={self.priority}{match} actions={self.actions}"


def rules(switch: Switch) -> tuple[Rule, ...]:
    """Everything that the bridge shall have, in a fixed order; a bridge without flows drops."""
    found = set(_always(switch))
    for station in switch.stations:
        found.update(_admit(station))
        found.update(_learn(station))
        found.update(_emit(station))
    found.update(_look_up(switch.stations))
    if switch.uplink is not None:
        found.update(_uplink(switch.uplink))
    return tuple(sorted(found))


def changes(wanted: Iterable[Rule], cookies: Iterable[int]) -> tuple[str, ...]:
    """Lines of one bundle that lead from the flows with those cookies to the wanted ones.

    What ports have learned goes with the ports that learn no more; the rest of it stays.
    """
    by_cookie = {rule.cookie: rule for rule in wanted}
    learners = {learned_cookie(port) for port in _learners(by_cookie.values())}
    there = set(cookies)
    gone = sorted(there - by_cookie.keys() - learners)
    new = [rule for cookie, rule in by_cookie.items() if cookie not in there]
    return (
        *(f"delete cookie={cookie:#x}/-1" for cookie in gone),
        *(f"add {rule}" for rule in sorted(new)),
    )


def learned_cookie(port: int) -> int:
    """Marks what a port has learned."""
    return LEARNED_COOKIE + port


def masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The range of VLANs as values under masks of twelve bits, as few as there can be."""
    while first <= last:
        size = 1
        while not first & size and first + 2 * size - 1 <= last:
            size *= 2
        yield first, 0xFFF & ~(size - 1)
        first += size


def _learners(found: Iterable[Rule]) -> Iterator[int]:
    for rule in found:
        if rule.table == LEARN and "learn(" in rule.actions:
            yield int(rule.match.removeprefix("in_port="))


def _always(switch: Switch) -> Iterator[Rule]:
    yield Rule(LEARN, 0, "", f"resubmit(,{LOOK_UP})")
    yield Rule(LOOK_UP, 150, "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", _knows(FLOOD))
    yield Rule(LOOK_UP, 0, "", f"load:{UNKNOWN}->{_KIND},resubmit(,{LEARNED}),resubmit(,{DELIVER})")
    ports = sorted(station.port for station in switch.stations)
    ports += [switch.uplink] if switch.uplink is not None else []
    each = ",".join(f"load:{port}->{_PORT},resubmit(,{EMIT})" for port in ports)
    yield Rule(DELIVER, 0, "", each or "drop")


def _knows(kind: int, port: int | None = None) -> str:
    target = "" if port is None else f"load:{port}->{_TARGET},"
    return f"load:{kind}->{_KIND},{target}resubmit(,{DELIVER})"


def _admit(station: Station) -> Iterator[Rule]:
    own = "" if station.forged else f",dl_src={station.mac}"
    port = f"in_port={station.port}"
    onward = f"resubmit(,{LEARN})"
    if not station.trunk:
        yield Rule(ADMIT, 10, f"{port},{_UNTAGGED}{own}", f"load:{station.vlan}->{_VLAN},{onward}")
        return
    for vlan, mask in _vlans(station):
        tag = f"vlan_vid={0x1000 | vlan:#x}/{0x1000 | mask:#x}"
        yield Rule(ADMIT, 10, f"{port},{tag}{own}", f"{_take_tag()},{onward}")
    if any(first == 0 for first, _ in station.trunk):
        yield Rule(ADMIT, 10, f"{port},{_UNTAGGED}{own}", f"load:0->{_VLAN},{onward}")


def _take_tag() -> str:
    return f"move:NXM_OF_VLAN_TCI[0..11]->{_VLAN[:-2]}[0..11],pop_vlan"


def _vlans(station: Station) -> Iterator[tuple[int, int]]:
    for first, last in station.trunk:
        yield from masks(first, last)


def _learn(station: Station) -> Iterator[Rule]:
    if station.learning is None:
        return
    port, limit = f"in_port={station.port}", station.learning.limit
    room = f"limit={limit},result_dst={_ROOM[:-2]}[0]," if limit else ""
    learn = (
        f"learn(table={LEARNED},priority=10,idle_timeout={AGE_SECONDS},cookie={learned_cookie(station.port):#x},"
        f"{room}{_VLAN},NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:{KNOWN}->{_KIND},load:{station.port}->{_TARGET})"
    )
    counted = f"load:1->{_LEARNS}," if limit else ""
    yield Rule(LEARN, 20, f"{port},dl_src={station.mac}", f"resubmit(,{LOOK_UP})")
    yield Rule(LEARN, 10, port, f"{counted}{learn},resubmit(,{LOOK_UP})")
    if limit:
        yield Rule(LOOK_UP, 200, "reg5=1,reg4=0", "drop")


def _look_up(stations: Iterable[Station]) -> Iterator[Rule]:
    """One rule per address, also where two vNICs have the same one: the lower port wins, as on a table of addresses."""
    seen: set[tuple[int, str]] = set()
    for station in sorted(stations, key=lambda one: one.port):
        places = [(100, match) for match in _registers(station)]
        if not station.trunk:
            places = [(101, f"reg0={station.vlan}")]
        for priority, vlan in places:
            match = f"{vlan},dl_dst={station.mac}" if vlan else f"dl_dst={station.mac}"
            if (priority, match) not in seen:
                seen.add((priority, match))
                yield Rule(LOOK_UP, priority, match, _knows(KNOWN, station.port))


def _registers(station: Station) -> Iterator[str]:
    for vlan, mask in _vlans(station):
        yield f"reg0={vlan:#x}/{mask:#x}"


def _emit(station: Station) -> Iterator[Rule]:
    port = f"reg3={station.port}"
    for reason in _reasons(station):
        which = f"{port}{reason}"
        if not station.trunk:
            yield Rule(EMIT, 10, f"{which},reg0={station.vlan}", f"output:{station.port}")
            continue
        for vlan in _registers(station):
            yield Rule(EMIT, 10, f"{which},{vlan}", _tagged(station.port))
        if any(first == 0 for first, _ in station.trunk):
            yield Rule(EMIT, 20, f"{which},reg0=0", f"output:{station.port}")


def _reasons(station: Station) -> Iterator[str]:
    if station.promiscuous:
        yield ""
        return
    yield f",reg1={FLOOD}"
    yield f",reg1={KNOWN},reg2={station.port}"
    if station.learning is not None and station.learning.flooding:
        yield f",reg1={UNKNOWN}"


def _tagged(port: int) -> str:
    """The frame is as before afterwards: the next port gets it from here."""
    return f"{_TAG},output:{port},pop_vlan"


def _uplink(port: int) -> Iterator[Rule]:
    yield Rule(ADMIT, 10, f"in_port={port},{_UNTAGGED}", f"load:0->{_VLAN},resubmit(,{LEARN})")
    yield Rule(ADMIT, 10, f"in_port={port},vlan_vid=0x1000/0x1000", f"{_take_tag()},resubmit(,{LEARN})")
    for kind in (FLOOD, UNKNOWN):
        yield Rule(EMIT, 20, f"reg3={port},reg1={kind},reg0=0", f"output:{port}")
        yield Rule(EMIT, 10, f"reg3={port},reg1={kind}", _tagged(port))
