# SPDX-License-Identifier: Apache-2.0
"""The host's side of `appliance` where no manager drives its switch: the agent beside it keeps the vNICs apart.

The appliance's own agent speaks for the host; this one adds what it finds, and says which VLANs are in use, so that a
tag is given to another only once its vNIC was seen to leave.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from anyvisor.codec.appliance_network import card_macs
from anyvisor.contracts.host import NativeSwitchDriver, Surroundings
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.names import PortName
from anyvisor.model.state import State
from anyvisor.planner.inner import inner_place
from anyvisor.planner.partition import partition, vlans_in
from anyvisor.planner.plugs import found_devices, pair_names, plug_steps
from anyvisor.planner.seats import FIRST
from anyvisor.reconcile.plugging import carry_out

log = logging.getLogger(__name__)

_NO_FILTERING = "this kernel's bridges do not filter VLANs: vNICs cannot be kept apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """What came of a look: the VLANs in use now, and what is wrong."""

    vlans: frozenset[int]
    problems: tuple[str, ...] = ()


class Parting:
    """Keeps vNICs apart on the inner switch of one host. One thread."""

    def __init__(
        self, switch: NativeSwitchDriver, hypervisor: HypervisorDriver, surroundings: Surroundings
    ) -> None:
        self._switch = switch
        self._hypervisor = hypervisor
        self._surroundings = surroundings

    def carry_out(self, state: State, host: Host, attachments: Iterable[Attachment]) -> Parted:
        """Make the bridge, let in whose way is laid, put out whose is not: first of all out of bridges of dom0's, where
        a vif's script may have put it, and where it talks past the appliance.

        Without the appliance's trunk nothing else is changed: who is in, is alone there.

        Raises:
            UnreachableError: the hypervisor does not tell its vNICs.
            ForeignObjectError: the bridge's name, or the trunk, is somebody else's.
            RetryableError: a device went away meanwhile.
        """
        place = inner_place(host, state.owner)
        listed = tuple(attachments)
        vnics = self._hypervisor.vnics(host.name)
        found = found_devices(listed, vnics, state.site.ports)
        self._take_out(found.by_port)
        if not self._switch.capabilities.vlan_filtering:
            return Parted(vlans=frozenset(), problems=(_NO_FILTERING, *found.doubts))
        mac = card_macs(state.owner, host.name, FIRST)["trunk"]
        trunk = next((vnic.device for vnic in vnics if vnic.mac == mac and vnic.device is not None), None)
        if trunk is None:
            there = vlans_in(self._switch.observe().values(), place.switch)
            missing = f"no card with the MAC of the appliance's trunk ({mac}) is here"
            return Parted(vlans=there, problems=(missing, *found.doubts))
        # What this agent itself plugged under another scheme says nothing of the appliance's side.
        laid = {port for port, said in state.plugged.items() if said.device == pair_names(port)[0]}
        wanted = partition(place.switch, listed, found.by_port, laid, trunk)
        self._switch.shape(wanted.bridges)
        steps = plug_steps(wanted.plugs, self._switch.observe())
        wrong = carry_out(self._switch, steps)
        if steps:
            self._switch.shape(wanted.bridges)  # what has been emptied can go now
        there = vlans_in(self._switch.observe().values(), place.switch)
        return Parted(vlans=there, problems=(*wrong, *found.doubts))

    def _take_out(self, devices: Mapping[PortName, str]) -> None:
        masters = self._surroundings.masters()
        ours = {plug.device for plug in self._switch.observe().values()}
        for port, device in sorted(devices.items()):
            if device in masters and device not in ours:
                log.warning(
                    "take %s (%s) out of %s, where it talks past the appliance", device, port, masters[device]
                )
                self._surroundings.release(device)
