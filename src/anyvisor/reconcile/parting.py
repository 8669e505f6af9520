# SPDX-License-Identifier: Apache-2.0
"""The host's side of `appliance` where no manager drives its switch: the agent beside it keeps the vNICs apart.

The appliance's own agent speaks for the host; this one adds what it finds, and says which VLANs are in use, so that a
tag is given to another only once its vNIC was seen to leave.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyvisor.codec.appliance_network import card_macs
from anyvisor.contracts.host import NativeSwitchDriver, Surroundings
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.errors import AnyvisorError
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.state import State
from anyvisor.planner.inner import inner_place
from anyvisor.planner.partition import partition, vlans_in
from anyvisor.planner.plugs import FoundDevices, found_devices, pair_names, plug_steps
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
        """Make the bridge, let in whose way is laid, put out whose is not: first of all out of other switches, where
        a vif's script may have put it, and where it talks past the appliance.

        Without the appliance's trunk nobody is let in: who is, is alone there.

        Raises:
            UnreachableError: the hypervisor does not tell its vNICs.
            ForeignObjectError: the bridge's name, or the trunk, is somebody else's.
            RetryableError: a device went away meanwhile.
        """
        place = inner_place(host, state.owner)
        listed = tuple(attachments)
        vnics = self._hypervisor.vnics(host.name)
        held = {port: plug.device for port, plug in self._switch.observe().items()}
        found = found_devices(listed, vnics, held)
        wrong = (*found.doubts, *self._take_out(place.switch, found))
        mac = card_macs(state.owner, host.name, FIRST)["trunk"]
        trunk = next((vnic.device for vnic in vnics if vnic.mac == mac and vnic.device is not None), None)
        if not self._switch.capabilities.vlan_filtering:
            return Parted(
                vlans=frozenset(), problems=(*wrong, self._nobody(_NO_FILTERING, place.switch, found))
            )
        if trunk is None:
            missing = f"no card with the MAC of the appliance's trunk ({mac}) is here"
            there = vlans_in(self._switch.observe().values(), place.switch)
            return Parted(vlans=there, problems=(*wrong, self._nobody(missing, place.switch, found)))
        # What this agent itself plugged under another scheme says nothing of the appliance's side.
        laid = {port for port, said in state.plugged.items() if said.device == pair_names(port)[0]}
        wanted = partition(place.switch, listed, found.by_port, laid, trunk)
        self._switch.shape(wanted.bridges)
        steps = plug_steps(wanted.plugs, self._switch.observe())
        refused = carry_out(self._switch, steps)
        if steps:
            self._switch.shape(wanted.bridges)  # what has been emptied can go now
        there = vlans_in(self._switch.observe().values(), place.switch)
        return Parted(vlans=there, problems=(*wrong, *refused))

    def _take_out(self, inner: str, found: FoundDevices) -> Iterator[str]:
        """Says which could not be; one does not hold up the others."""
        switches = self._surroundings.switches()
        ours = {device: port for port, device in found.by_port.items()} | dict(found.contested)
        for device, port in sorted(ours.items()):
            switch = switches.get(device)
            if switch in {None, inner}:
                continue
            log.warning("take %s (%s) out of %s, where it talks past the appliance", device, port, switch)
            try:
                self._surroundings.release(device)
            except AnyvisorError as error:
                what = f" ({error.hint})" if error.hint else ""
                yield f"{device} of {port} talks past the appliance: {error}{what}"

    def _nobody(self, why: str, inner: str, found: FoundDevices) -> str:
        """Why nobody can be let in, and who is cut off for it."""
        inside = {plug.device for plug in self._switch.observe().values() if plug.bridge == inner}
        outside = sorted(set(found.by_port.values()) - inside)
        return f"{why}; cut off for it: {', '.join(outside)}" if outside else why
