# SPDX-License-Identifier: Apache-2.0
"""Whether the ways of a chassis carry what its networks send: the underlay by probes, a trunk by its MTU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from anyvisor.contracts.host import ChassisSwitch
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.names import HostName
from anyvisor.model.state import State
from anyvisor.planner.fleet import ETHERNET_MTU
from anyvisor.planner.underlay import (
    Question,
    networks_of,
    trunk_condition,
    trunk_size,
    tunnel_size,
)
from anyvisor.reconcile.underlay import Underlay


class Carrying:
    """`trunk` is the card that carries a VLAN per vNIC, empty where there is none; `mtu_of` reads a device's MTU."""

    def __init__(
        self,
        host: HostName,
        switch: Callable[[], ChassisSwitch],
        underlay: Underlay,
        *,
        trunk: str = "",
        mtu_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._host = host
        self._switch = switch
        self._underlay = underlay
        self._trunk = trunk
        self._mtu_of = mtu_of

    def conditions(self, state: State, mine: Iterable[Attachment]) -> tuple[Condition, ...]:
        """What is known now; the probes go on beside.

        Raises:
            UnreachableError: Open vSwitch does not answer.
        """
        underlay_mtu = state.underlay_mtu or ETHERNET_MTU
        switch = self._switch()
        source = switch.observe_chassis().settings.get("ovn-encap-ip", "").partition(",")[0]
        question = None
        if source:
            version = ip_address(source).version
            peers = {peer: a for peer, a in switch.tunnels().items() if ip_address(a).version == version}
            question = Question(
                host=self._host,
                source=source,
                size=tunnel_size(state.site.networks.values(), underlay_mtu, version),
                peers=peers,
            )
        said = self._underlay.look(question)
        mtu = self._mtu_of(self._trunk) if self._trunk else None
        if mtu is None:
            return said
        carried = networks_of({a.network for a in mine}, state.site.networks)
        return (*said, trunk_condition(self._trunk, mtu, trunk_size(carried, underlay_mtu)))

    def rest(self) -> None:
        """This host is no chassis now: nothing is to be probed."""
        self._underlay.look(None)
