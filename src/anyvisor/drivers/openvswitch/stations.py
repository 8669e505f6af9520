# SPDX-License-Identifier: Apache-2.0
"""Counting, on a provider bridge, the frames of vNICs that sit behind native switches elsewhere.

Flows of ours stand above the bridge's own NORMAL and do the same: they count, they decide nothing. A cookie says what
a flow counts, so that a dump can be read without looking at matches:

=====  ==========================================  =====================================
role   frame                                       counts as
=====  ==========================================  =====================================
1      comes in from outside, sent by the MAC      unicast, sent
2      the same, to a group address                flooded, sent
3      goes out, to the MAC                        unicast, received
4      comes in from outside, otherwise            nothing: it must not count as going out
5      goes out, to a group address of a VLAN      flooded, received, by all on that VLAN
=====  ==========================================  =====================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyvisor.drivers.openvswitch.openflow import Flow, OpenFlow
from anyvisor.errors import ForeignObjectError
from anyvisor.model.names import Mac
from anyvisor.model.vnic import Counters
from anyvisor.planner.stations import StationCount

if TYPE_CHECKING:
    from anyvisor.contracts.host import StationCounter

_MARK = 0xA71 << 52
_MARK_MASK = 0xFFF << 52
_ROLE_SHIFT = 48
_WHAT_MASK = (1 << 48) - 1
_SENT, _SENT_FLOODED, _RECEIVED, _INBOUND, _RECEIVED_FLOODED = 1, 2, 3, 4, 5
_UNICAST = "00:00:00:00:00:00/01:00:00:00:00:00"
_GROUP = "01:00:00:00:00:00/01:00:00:00:00:00"
_TAG_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One flow: its cookie, its priority and its match."""

    cookie: int
    priority: int
    match: str

    def addition(self) -> str:
        return f"add cookie={self.cookie:#x},table=0,priority={self.priority},{self.match},actions=NORMAL"


class Stations:
    """Keeps counting flows on the provider bridges of this machine. `uplinks` gives a bridge's ports that lead out.

    Once nothing is to be counted on a bridge, none of our flows is left there.
    """

    def __init__(self, openflow: OpenFlow, uplinks: Callable[[str], Mapping[str, int]]) -> None:
        self._openflow = openflow
        self._uplinks = uplinks

    def count(self, wanted: Mapping[str, Mapping[Mac, int | None]]) -> Mapping[Mac, StationCount]:
        """Count these MACs (with the VLANs that their frames are tagged with) on these bridges.

        Raises:
            ForeignObjectError: somebody else programs one of the bridges; ours is not added to that.
        """
        total: dict[Mac, StationCount] = {}
        for bridge, stations in wanted.items():
            for mac, count in self._count_on(bridge, stations).items():
                before = total.get(mac, StationCount())
                total[mac] = StationCount(
                    unicast=before.unicast.plus(count.unicast), flooded=before.flooded.plus(count.flooded)
                )
        return total

    def _count_on(self, bridge: str, stations: Mapping[Mac, int | None]) -> dict[Mac, StationCount]:
        flows = self._openflow.flows(bridge)
        ours = [flow for flow in flows if flow.cookie & _MARK_MASK == _MARK]
        foreign = [flow for flow in flows if flow.cookie & _MARK_MASK != _MARK]
        wanted = tuple(_flows(stations, sorted(self._uplinks(bridge).values()))) if stations else ()
        if wanted and any(flow.actions != "NORMAL" for flow in foreign):
            raise ForeignObjectError(
                f"{bridge} is programmed by somebody else; vNICs behind native switches are not counted on it"
            )
        self._openflow.change(bridge, _changes(wanted, ours))
        return _read(ours, stations)


def _flows(stations: Mapping[Mac, int | None], uplinks: Iterable[int]) -> Iterator[_Wanted]:
    ports = tuple(uplinks)
    for port in ports:
        yield _Wanted(_cookie(_INBOUND, port), 32002, f"in_port={port}")
        for mac in stations:
            sent = f"in_port={port},dl_src={mac}"
            yield _Wanted(_cookie(_SENT, _number(mac)), 32003, f"{sent},dl_dst={_UNICAST}")
            yield _Wanted(_cookie(_SENT_FLOODED, _number(mac)), 32003, f"{sent},dl_dst={_GROUP}")
    for mac in stations:
        yield _Wanted(_cookie(_RECEIVED, _number(mac)), 32001, f"dl_dst={mac}")
    for vlan in sorted({vlan for vlan in stations.values() if vlan is not None}):
        yield _Wanted(_cookie(_RECEIVED_FLOODED, vlan), 32001, f"dl_vlan={vlan},dl_dst={_GROUP}")


def _changes(wanted: Iterable[_Wanted], ours: Iterable[Flow]) -> Iterator[str]:
    # A flow that is there already is not added again: that would set its counters back.
    there = {(flow.cookie, _normal(flow.match)) for flow in ours}
    listed = {(flow.cookie, _normal(f"priority={flow.priority},{flow.match}")): flow for flow in wanted}
    for cookie, match in sorted(there - set(listed)):
        yield f"delete_strict cookie={cookie:#x}/-1,table=0,{','.join(sorted(match))}"
    for key in sorted(set(listed) - there):
        yield listed[key].addition()


def _normal(match: str) -> tuple[str, ...]:
    return tuple(sorted(match.lower().split(",")))


def _read(ours: Iterable[Flow], stations: Mapping[Mac, int | None]) -> dict[Mac, StationCount]:
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for flow in ours:
        key = (flow.cookie >> _ROLE_SHIFT) & 0xF, flow.cookie & _WHAT_MASK
        packets, size = sums.get(key, (0, 0))
        sums[key] = packets + flow.packets, size + flow.bytes
    return {mac: _station(sums, mac, vlan) for mac, vlan in stations.items()}


def _station(sums: Mapping[tuple[int, int], tuple[int, int]], mac: Mac, vlan: int | None) -> StationCount:
    def counted(sent: tuple[int, int], received: tuple[int, int]) -> Counters:
        tx_packets, tx_bytes = sums.get(sent, (0, 0))
        rx_packets, rx_bytes = sums.get(received, (0, 0))
        # The vNIC itself never sees the tag.
        tag = _TAG_BYTES if vlan is not None else 0
        return Counters(
            tx_packets=tx_packets,
            tx_bytes=tx_bytes - tag * tx_packets,
            rx_packets=rx_packets,
            rx_bytes=rx_bytes - tag * rx_packets,
        )

    number = _number(mac)
    return StationCount(
        unicast=counted((_SENT, number), (_RECEIVED, number)),
        flooded=counted((_SENT_FLOODED, number), (_RECEIVED_FLOODED, vlan if vlan is not None else -1)),
    )


def _cookie(role: int, what: int) -> int:
    return _MARK | role << _ROLE_SHIFT | what


def _number(mac: Mac) -> int:
    return int(mac.replace(":", ""), 16)


if TYPE_CHECKING:
    _conforms: type[StationCounter] = Stations
