# SPDX-License-Identifier: Apache-2.0
"""Which vNIC devices go into which bridge: what is wanted, what is there, the steps between."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from anyvisor.model.attachment import Attachment, Plug, PlugStep, Steered, Unplug
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.vnic import Vnic
from anyvisor.planner.chassis import INTEGRATION_BRIDGE

TRUNK_BRIDGE = "br-trunk"
"""On an appliance: the bridge that the trunk card is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDevices:
    """The host-side device of each port whose vNIC is there. Where several VMs claim a port, `doubts` says so, and
    `contested` are the devices, with the port, of which nobody knows whose is the right one.
    """

    by_port: Mapping[PortName, str] = field(default_factory=dict)
    contested: Mapping[str, PortName] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def found_devices(
    attachments: Iterable[Attachment], vnics: Iterable[Vnic], held: Mapping[PortName, str] | None = None
) -> FoundDevices:
    """By the port's identity where the hypervisor carries it, else by MAC. Of several VMs that which the site names has
    the port, else that which has it now (`held`: device by port), else none. Of a VM that is there twice the vNIC
    that is listed last.
    """
    listed = tuple(attachments)
    names = {a.port for a in listed}
    by_identity: defaultdict[PortName, list[Vnic]] = defaultdict(list)
    by_mac: defaultdict[Mac, list[Vnic]] = defaultdict(list)
    for vnic in vnics:
        if vnic.device is not None and vnic.port in names:
            by_identity[vnic.port].append(vnic)
        elif vnic.device is not None:
            by_mac[vnic.mac].append(vnic)
    devices: dict[PortName, str] = {}
    contested: dict[str, PortName] = {}
    doubts: list[str] = []
    for a in listed:
        claims = _claims(a, by_identity.get(a.port, []), by_mac.get(a.mac, []))
        choice = claims
        if len({vnic.vm for vnic in claims}) > 1:
            choice = _rightful(a, claims, (held or {}).get(a.port))
            doubts.append(_doubt(a, claims, choice))
        if choice and choice[-1].device is not None:
            devices[a.port] = choice[-1].device
        else:
            contested |= {vnic.device: a.port for vnic in claims if vnic.device is not None}
    return FoundDevices(by_port=devices, contested=contested, doubts=tuple(doubts))


def _claims(attachment: Attachment, by_identity: list[Vnic], by_mac: list[Vnic]) -> list[Vnic]:
    """Whoever carries the identity counts alone, unless the VM that the site names has the MAC and no identity."""
    named = [vnic for vnic in by_mac if attachment.vm is not None and vnic.vm == attachment.vm]
    if not by_identity:
        return by_mac
    return by_identity if any(vnic.vm == attachment.vm for vnic in by_identity) else [*by_identity, *named]


def _rightful(attachment: Attachment, claims: Iterable[Vnic], held: str | None) -> list[Vnic]:
    named = [vnic for vnic in claims if attachment.vm is not None and vnic.vm == attachment.vm]
    return named or [vnic for vnic in claims if vnic.device == held]


def _doubt(attachment: Attachment, claims: Iterable[Vnic], choice: list[Vnic]) -> str:
    there = ", ".join(sorted(f"{vnic.device} of {vnic.vm or 'a VM without name'}" for vnic in claims))
    then = (
        f"it stays with {choice[-1].device}; give the others addresses of their own"
        if choice
        else "none of them is given it: name its VM in the site file (ports[].vm), or give the others addresses of "
        "their own"
    )
    return f"several VMs claim port {attachment.port} with the MAC {attachment.mac} ({there}): {then}"


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
