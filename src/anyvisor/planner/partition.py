# SPDX-License-Identifier: Apache-2.0
"""The inner switch of an appliance where an agent makes it: a Linux bridge without uplink. Pure.

Each vNIC is alone on a VLAN. The only device that carries more than one of them is the appliance's trunk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from anyvisor.model.attachment import Attachment, Plug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import PortName, SwitchName
from anyvisor.planner.segments import Layout, SegmentBridge


def partition(
    switch: SwitchName,
    attachments: Iterable[Attachment],
    devices: Mapping[PortName, str],
    laid: Collection[PortName],
    trunk: str,
) -> Layout:
    """The bridge, and which vNICs are in it. `laid` are the ports whose way the appliance has laid: only then a vNIC is
    let in. `trunk` is the device of the appliance's trunk card.
    """
    mine = [a for a in attachments if a.kind is AttachmentKind.VLAN_ACCESS and a.vlan is not None]
    vlans = tuple(sorted({a.vlan for a in mine if a.vlan is not None}))
    return Layout(
        bridges=(SegmentBridge(name=switch, uplink=trunk, filtering=True, trunk=vlans),),
        plugs={
            a.port: Plug(port=a.port, device=devices[a.port], bridge=switch, vlan=a.vlan)
            for a in sorted(mine, key=lambda a: a.port)
            if a.port in devices and a.port in laid
        },
        problems={},
    )


def vlans_in(plugs: Iterable[Plug], switch: SwitchName) -> frozenset[int]:
    """The VLANs that vNICs have there now."""
    return frozenset(p.vlan for p in plugs if p.bridge == switch and p.vlan is not None)
