# SPDX-License-Identifier: Apache-2.0
"""An appliance: every VLAN of its trunk is one vNIC of its host, and becomes an ordinary port of the controller.

Runs inside the appliance. What the appliance is to its host (`Ground`) stands in the agent's settings: the host's own
cards and bridges, as the site describes them, are not to be seen from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from anyvisor.errors import AnyvisorError, UnreachableError
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import SwitchName
from anyvisor.model.state import State
from anyvisor.planner.chassis_steps import AddUplink, MakeBridge
from anyvisor.planner.plugs import TRUNK_BRIDGE, plug_steps, steered_vnics, trunk_plugs
from anyvisor.planner.seats import FIRST, chassis_name
from anyvisor.reconcile.integration import Integrated, Integration
from anyvisor.reconcile.plugging import carry_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The appliance's own cards: `trunk` leads to the vNICs, `uplink` (in the bridge `bridge`) to the underlay.

    `physical` is the physical network that the uplink is cabled to, empty where it carries tunnels alone.
    """

    trunk: str
    uplink: str
    bridge: str
    physical: str = ""
    tunnel_ip: str | None = None
    number: int = FIRST
    """Which appliance of its host it is."""

    def chassis(self, host: Host) -> Host:
        """The host as its appliance is: with the appliance's cards instead of the hypervisor's."""
        return replace(
            host,
            name=chassis_name(host.name, self.number),
            switches=(
                NativeSwitch(
                    name=SwitchName(self.bridge), kind=SwitchKind.OPENVSWITCH, uplinks=(self.uplink,)
                ),
            ),
            nics=(Nic(name=self.uplink, physical=self.physical or None),),
            tunnel_ip=self.tunnel_ip,
        )


class Trunking:
    """Brings the Open vSwitch of one appliance to what its host's attachments say. One thread."""

    def __init__(self, integration: Integration, ground: Ground, *, datapath: str = "system") -> None:
        self._integration = integration
        self._ground = ground
        self._datapath = datapath

    def carry_out(self, state: State, host: Host, attachments: Iterable[Attachment]) -> Integrated:
        """Settings, trunk bridge, patch pairs; returns what is plugged, and what is wrong.

        The trunk comes last: a frame must not find a bridge whose VLANs lead nowhere yet. Then come the flows of those
        that share a VLAN, which name its number.

        Raises:
            ForeignObjectError: another controller has this switch.
            UnreachableError: Open vSwitch does not answer.
        """
        listed = tuple(attachments)
        problems, mappings = self._integration.configure(state, self._ground.chassis(host))
        switch = self._integration.switch()
        bridge = MakeBridge(name=TRUNK_BRIDGE, datapath=self._datapath, fail_mode="standalone")
        there = switch.observe_chassis().bridges.get(TRUNK_BRIDGE)
        if there is None:
            switch.configure((bridge,))
        wrong = carry_out(switch, plug_steps(trunk_plugs(listed), switch.observe()))
        if there is None or self._ground.trunk not in there.ports:
            switch.configure((AddUplink(bridge=TRUNK_BRIDGE, device=self._ground.trunk),))
        plugs = switch.observe()
        try:
            switch.steer(TRUNK_BRIDGE, self._ground.trunk, steered_vnics(host.name, listed))
        except UnreachableError:
            raise
        except AnyvisorError as error:
            # Without its flows no way is laid: the card must not be plugged into it.
            wrong = (*wrong, str(error))
            plugs = {port: plug for port, plug in plugs.items() if not plug.steered}
        plugged = {port: plug.device for port, plug in plugs.items()}
        return Integrated(
            plugged=plugged,
            mappings=mappings,
            chassis_problems=(*problems, *self._integration.faults()),
            vnic_problems=wrong,
        )
