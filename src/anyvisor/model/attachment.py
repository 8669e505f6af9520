# SPDX-License-Identifier: Apache-2.0
"""One vNIC bound to one logical port, by its host's scheme, with what that took."""

from __future__ import annotations

from dataclasses import dataclass

from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What the host side of a port must look like.

    `vlan` is the tag on the host's native switch: a property of the network for kind ``external``, of this vNIC alone
    for ``vlan-access`` and ``child`` (there it is a security boundary: unique per native switch). None for ``vif``.
    With `shared` a ``vlan-access`` tag is its network's: unique per native switch all the same, but the vNICs of the
    network that are on one host reach each other there without us.
    """

    port: PortName
    host: HostName
    kind: AttachmentKind
    network: NetworkName
    mac: Mac
    vm: str | None = None
    """The VM that the site names for the port: by it vNICs with one MAC are told apart."""
    vlan: int | None = None
    switch: SwitchName | None = None
    """The native switch that carries `vlan`; None where OVS itself is the switch."""
    staged: HostName | None = None
    """The host that a migration under way leads to: everything is laid there already."""
    appliance: int = 1
    """Which appliance of the host serves it, where one does. All of them lay the way; the controller binds one."""
    shared: bool = False

    def __post_init__(self) -> None:
        if self.vlan is not None and not 1 <= self.vlan <= 4094:
            raise ValueError(f"{self.port}: VLAN {self.vlan} is outside 1-4094")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """One host-side device in one virtual switch, as a switch driver sees it.

    `bridge` is the bridge the device is in. `iface_id` and `mac` (the guest's) are set where the switch is OVS, which
    keeps them with the device.

    With `trunk` the plug is a patch pair of an appliance: `device` is its end in the integration bridge, the other end
    is an access port of VLAN `vlan` in the bridge `trunk`. With `steered` it shares that VLAN with other pairs: then
    flows lead frames to it by its vNIC's MAC, and without them nothing passes.
    """

    port: PortName
    device: str
    bridge: str
    iface_id: str | None = None
    vlan: int | None = None
    mac: Mac | None = None
    trunk: str | None = None
    steered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """A vNIC whose patch pair is found by its MAC, since others are on the same VLAN of the trunk.

    `settled`: it is on this very host and does not move, so the native switch itself joins it to the others.
    """

    port: PortName
    mac: Mac
    vlan: int
    settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplug:
    """Take the device of that port out of the switch."""

    port: PortName
    device: str
    bridge: str


PlugStep = Plug | Unplug


def describe(step: PlugStep) -> str:
    """One line for a plan."""
    match step:
        case Plug():
            tag = f", VLAN {step.vlan}" if step.vlan is not None else ""
            return f"plug {step.device} into {step.bridge} as {step.port}{tag}"
        case Unplug():
            return f"unplug {step.device} ({step.port}) from {step.bridge}"
