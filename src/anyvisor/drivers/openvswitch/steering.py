# SPDX-License-Identifier: Apache-2.0
"""Flows on an appliance's trunk bridge for vNICs that share a VLAN: each frame finds its vNIC's patch pair by its MAC.

A bridge that learned would send frames of neighbours into the wrong pair, and every flooded frame twice. So:

=====  =================================================  =====================================================
table  frame                                              what becomes of it
=====  =================================================  =====================================================
0      from the trunk, to a vNIC that is on this host     dropped: the native switch has delivered it
0      from the trunk, sent by a vNIC                     into that vNIC's pair
0      from the trunk, otherwise on a shared VLAN         dropped
0      out of a pair                                      tagged, to table 1
1      sent by a vNIC of that VLAN that is on this host   dropped: neighbours have it, or answered for themselves
1      to a group address                                 out, to the MAC of the pair's vNIC alone
1      to anybody else                                    out
=====  =================================================  =====================================================

What is for all is sent to each by its own address (as RFC 6085 allows): every pair has a copy of its own, which the
rules of its port let through or not, and neighbours must not get each other's.

A vNIC that is about to move, or that has not arrived, is on this host for none of these: frames from and to it pass
both ways meanwhile, at the price that neighbours may see its broadcasts twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from anyvisor.drivers.openvswitch.openflow import Flow
from anyvisor.model.attachment import Steered
from anyvisor.model.names import Mac, PortName
from anyvisor.model.vnic import Counters
from anyvisor.planner.plugs import pair_names

_MARK = 0xA72 << 52
_MARK_MASK = 0xFFF << 52
_ROLE_SHIFT = 48
_OTHER, _IN, _OUT = 0, 1, 2
_GROUP = "01:00:00:00:00:00/01:00:00:00:00:00"
_UNTAGGED = "vlan_tci=0x0000/0x1000"
_TAG_BYTES = 4
_SOURCE = re.compile(r"dl_src=([0-9a-f:]{17})")
_FROM = re.compile(r"in_port=(\d+)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One flow. Its cookie is made from everything in it, so equal cookies mean equal flows."""

    table: int
    priority: int
    match: str
    actions: str
    role: int = _OTHER

    @property
    def cookie(self) -> int:
        digest = hashlib.blake2s(str(self).encode(), digest_size=6).digest()
        return _MARK | self.role << _ROLE_SHIFT | int.from_bytes(digest)

    def __str__(self) -> str:
        return f"table={self.table},priority={self.priority},{self.match} actions={self.actions}"


def changes(
    vnics: Iterable[Steered], trunk: int | None, numbers: Mapping[str, int], there: Iterable[Flow]
) -> tuple[str, ...]:
    """Lines of one bundle that lead from the flows that are `there` to those of these vNICs. Ours alone are touched,
    and one that stands already keeps its counters.

    `numbers` are the OpenFlow numbers of the bridge's ports by device, `trunk` that of the trunk card. Without a trunk,
    and for a pair that has no number yet, there are no flows.
    """
    listed = [(vnic, number) for vnic in vnics if (number := numbers.get(pair_names(vnic.port)[1], 0)) > 0]
    wanted = {rule.cookie: rule for rule in _rules(listed, trunk)} if trunk is not None else {}
    ours = {flow.cookie for flow in there if flow.cookie & _MARK_MASK == _MARK}
    return (
        *(f"delete cookie={cookie:#x}/-1" for cookie in sorted(ours - wanted.keys())),
        *(f"add cookie={cookie:#x},{wanted[cookie]}" for cookie in sorted(wanted.keys() - ours)),
    )


def _rules(vnics: Collection[tuple[Steered, int]], trunk: int) -> Iterator[_Rule]:
    for vlan in sorted({vnic.vlan for vnic, _ in vnics}):
        yield _Rule(0, 100, f"in_port={trunk},dl_vlan={vlan}", "drop")
    for vnic, number in vnics:
        pair, shared = f"in_port={number}", f"dl_vlan={vnic.vlan}"
        tag = f"push_vlan:0x8100,set_field:{0x1000 | vnic.vlan}->vlan_vid"
        into = f"in_port={trunk},{shared},dl_src={vnic.mac}"
        yield _Rule(0, 200, into, f"pop_vlan,output:{number}", _IN)
        yield _Rule(0, 200, f"{pair},{_UNTAGGED}", f"{tag},resubmit(,1)")
        yield _Rule(0, 100, pair, "drop")
        yield _Rule(1, 100, f"{pair},dl_dst={_GROUP}", f"set_field:{vnic.mac}->eth_dst,output:{trunk}", _OUT)
        yield _Rule(1, 90, pair, f"output:{trunk}", _OUT)
        if vnic.settled:
            yield _Rule(0, 300, f"in_port={trunk},{shared},dl_dst={vnic.mac}", "drop")
            yield _Rule(1, 200, f"{shared},dl_src={vnic.mac}", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """A pair whose frames are steered: who it is of, and the number of its end in the trunk bridge."""

    port: PortName
    mac: Mac
    number: int


def counted(pairs: Iterable[Steering], flows: Iterable[Flow]) -> dict[PortName, Counters]:
    """What went through these pairs both ways. What the controller sent out in vain, since a neighbour had it already,
    is not in it: the pair's own counters have that, too.
    """
    sent: dict[str, _Sum] = {}
    received: dict[int, _Sum] = {}
    for flow in flows:
        role = (flow.cookie >> _ROLE_SHIFT) & 0xF
        if flow.cookie & _MARK_MASK != _MARK:
            continue
        if role == _IN and (source := _SOURCE.search(flow.match)) is not None:
            sent.setdefault(source[1], _Sum()).add(flow)
        elif role == _OUT and (number := _FROM.search(flow.match)) is not None:
            received.setdefault(int(number[1]), _Sum()).add(flow)
    return {
        pair.port: Counters(
            tx_packets=(out := sent.get(pair.mac, _Sum())).packets,
            # What comes by the trunk is counted with its tag, which the vNIC never sees.
            tx_bytes=out.bytes - _TAG_BYTES * out.packets,
            rx_packets=(back := received.get(pair.number, _Sum())).packets,
            rx_bytes=back.bytes,
        )
        for pair in pairs
    }


@dataclass(slots=True)
class _Sum:
    packets: int = field(default=0)
    bytes: int = field(default=0)

    def add(self, flow: Flow) -> None:
        self.packets += flow.packets
        self.bytes += flow.bytes
