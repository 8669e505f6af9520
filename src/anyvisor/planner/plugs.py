# SPDX-License-Identifier: Apache-2.0
"""Which vNIC devices go into which bridge: what is wanted, what is there, the steps between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from anyvisor.model.attachment import Attachment, Plug, PlugStep, Steered, Unplug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.vnic import Vnic
from anyvisor.planner.chassis import INTEGRATION_BRIDGE

TRUNK_BRIDGE = "br-trunk"
"""On an appliance: the bridge that the trunk card is in."""


def devices_by_port(attachments: Iterable[Attachment], vnics: Iterable[Vnic]) -> dict[PortName, str]:
    """The host-side device of each port whose vNIC is there: by the port's identity where the hypervisor carries it,
    else by MAC.
    """
    listed = tuple(vnics)
    by_port = {vnic.port: vnic.device for vnic in listed if vnic.port is not None and vnic.device is not None}
    by_mac: dict[Mac, str] = {vnic.mac: vnic.device for vnic in listed if vnic.device is not None}
    found = ((a.port, by_port.get(a.port) or by_mac.get(a.mac)) for a in attachments)
    return {port: device for port, device in found if device is not None}


def integration_plugs(
    attachments: Iterable[Attachment], devices: Mapping[PortName, str]
) -> dict[PortName, Plug]:
    """Every vNIC that is there belongs into the integration bridge, bound to its port."""
    return {
        a.port: Plug(
            port=a.port, device=devices[a.port], bridge=INTEGRATION_BRIDGE, iface_id=a.port, mac=a.mac
        )
        for a in attachments
        if a.port in devices
    }


def trunk_plugs(attachments: Iterable[Attachment]) -> dict[PortName, Plug]:
    """On an appliance every attachment gets its patch pair, whether or not its vNIC is there: the way is laid before
    the card is plugged into it. One without a VLAN yet has to wait.
    """
    return {
        a.port: Plug(
            port=a.port,
            device=pair_names(a.port)[0],
            bridge=INTEGRATION_BRIDGE,
            iface_id=a.port,
            vlan=a.vlan,
            mac=a.mac,
            trunk=TRUNK_BRIDGE,
            steered=a.shared,
        )
        for a in attachments
        if a.kind is AttachmentKind.VLAN_ACCESS and a.vlan is not None
    }


def steered_vnics(host: HostName, attachments: Iterable[Attachment]) -> tuple[Steered, ...]:
    """Those of an appliance's attachments that share their VLAN; `host` is the appliance's."""
    return tuple(
        Steered(port=a.port, mac=a.mac, vlan=a.vlan, settled=a.host == host and a.staged is None)
        for a in sorted(attachments, key=lambda a: a.port)
        if a.shared and a.kind is AttachmentKind.VLAN_ACCESS and a.vlan is not None
    )


def pair_names(port: PortName) -> tuple[str, str]:
    """The two ends of a port's patch pair: in the integration bridge, in the trunk bridge."""
    digest = hashlib.blake2s(port.encode(), digest_size=5).hexdigest()
    return f"avi{digest}", f"avt{digest}"


def plug_steps(wanted: Mapping[PortName, Plug], observed: Mapping[PortName, Plug]) -> tuple[PlugStep, ...]:
    """The difference; none if both are the same.

    What leaves goes first: a device, bridge or VLAN that passes from one port to another is never held by both. What
    merely gets another identity stays plugged.
    """
    unplugs = tuple(
        Unplug(port=port, device=there.device, bridge=there.bridge)
        for port, there in sorted(observed.items())
        if port not in wanted or _place(wanted[port]) != _place(there)
    )
    plugs = tuple(plug for port, plug in sorted(wanted.items()) if observed.get(port) != plug)
    return (*unplugs, *plugs)


def _place(plug: Plug) -> tuple[str, str, int | None, str | None, bool]:
    return (plug.device, plug.bridge, plug.vlan, plug.trunk, plug.steered)
