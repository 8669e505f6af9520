# SPDX-License-Identifier: Apache-2.0
"""A host whose Open vSwitch the controller programs (`baseline`, `substitution`): its settings and its plugs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from anyvisor.contracts.host import ChassisSwitch, Surroundings
from anyvisor.contracts.hypervisor import HypervisorDriver
from anyvisor.errors import TerminalError
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.names import PortName
from anyvisor.model.state import State
from anyvisor.model.tls import TlsFiles
from anyvisor.planner.chassis import (
    CardSide,
    Chassis,
    ProviderBridge,
    chassis_plan,
    provider_bridges,
    release_keys,
)
from anyvisor.planner.chassis_steps import describe
from anyvisor.planner.plugs import FoundDevices, found_devices, integration_plugs, plug_steps
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.plugging import carry_out

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrated:
    """What is plugged now, where the physical networks are, and what is wrong."""

    plugged: Mapping[PortName, str]
    mappings: Mapping[str, str]
    chassis_problems: tuple[str, ...] = ()
    vnic_problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedIn:
    """What is plugged, by port; what could not be plugged; and where it is in doubt whose vNIC is whose."""

    devices: Mapping[PortName, str]
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Integration:
    """Brings one Open vSwitch to what its host's state says. One thread.

    `switch` gives the connected driver or raises UnreachableError. Without `hypervisor` the vNICs are those that the
    switch itself knows; without `surroundings` no card is ever put into a bridge. `tls` is for ovn-controller too.
    """

    def __init__(
        self,
        switch: Callable[[], ChassisSwitch],
        *,
        outages: Outages,
        hypervisor: HypervisorDriver | None = None,
        surroundings: Surroundings | None = None,
        datapath: str = "system",
        tls: TlsFiles | None = None,
    ) -> None:
        self.switch = switch
        self._outages = outages
        self._hypervisor = hypervisor
        self._surroundings = surroundings
        self._datapath = datapath
        self._tls = tls

    def carry_out(
        self,
        state: State,
        host: Host,
        attachments: Iterable[Attachment],
        *,
        take_from_bridges: bool,
        card: CardSide | None = None,
    ) -> Integrated:
        """Configure and plug. With `take_from_bridges` vNICs in Linux bridges are taken out of them; without, they
        are reported: moving them is the scheme `substitution`. `card` is set where a network card switches."""
        problems, mappings = self.configure(state, host, card=card)
        done = self.plug(host, attachments, take_from_bridges=take_from_bridges)
        return self.integrated(done, mappings, problems)

    def integrated(
        self, done: PluggedIn, mappings: Mapping[str, str], problems: tuple[str, ...]
    ) -> Integrated:
        """Both halves together, with what keeps the switch from taking new flows in."""
        return Integrated(
            plugged=done.devices,
            mappings=mappings,
            chassis_problems=(*problems, *self.faults()),
            vnic_problems=(*done.problems, *done.doubts),
        )

    def faults(self) -> tuple[str, ...]:
        """What keeps the switch from taking new flows in, though its database answers.

        Raises:
            UnreachableError: not even that does.
        """
        fault = self.switch().fault()
        return () if fault is None else (fault,)

    def configure(
        self,
        state: State,
        host: Host,
        bridges: tuple[ProviderBridge, ...] | None = None,
        *,
        card: CardSide | None = None,
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Make Open vSwitch a chassis; returns what is missing, and the bridge per physical network that is there.

        Raises:
            ForeignObjectError: another controller has this switch.
            TerminalError: the site does not say enough.
        """
        switch = self.switch()
        desired = replace(self.desired(state, host, bridges), card=card)
        plan = chassis_plan(desired, switch.observe_chassis(), busy=self._busy(host))
        for step in plan.steps:
            log.info("%s", describe(step))
        switch.configure(plan.steps)
        present = switch.observe_chassis().bridges
        mappings = {p: b.name for b in desired.bridges if b.name in present for p in b.physical}
        return plan.problems, mappings

    def desired(self, state: State, host: Host, bridges: tuple[ProviderBridge, ...] | None = None) -> Chassis:
        """The chassis that the site wants this host to be."""
        controller = state.site.controller
        remote = controller.for_chassis if controller is not None else ""
        if not remote:
            raise TerminalError(
                "the site names no southbound database", hint="set controller.southbound in the site file"
            )
        address = host.tunnel_ip
        if address is None and self._surroundings is not None:
            address = self._surroundings.source_address(remote)
        if address is None:
            raise TerminalError(
                f"{host.name} has no address for tunnels", hint="set hosts[].tunnel_ip in the site file"
            )
        return Chassis(
            host=host.name,
            owner=state.owner,
            remote=remote,
            tunnel_ip=address,
            bridges=provider_bridges(host) if bridges is None else bridges,
            datapath=self._datapath,
            tls=self._tls,
        )

    def found(
        self, host: Host, attachments: Iterable[Attachment], held: Mapping[PortName, str] | None = None
    ) -> FoundDevices:
        """The device of each port whose vNIC is there; `held` are those that are plugged now."""
        vnics = self._hypervisor.vnics(host.name) if self._hypervisor is not None else self.switch().vnics()
        return found_devices(attachments, vnics, held)

    def plug(self, host: Host, attachments: Iterable[Attachment], *, take_from_bridges: bool) -> PluggedIn:
        """Plug every vNIC that is there into the integration bridge."""
        switch = self.switch()
        listed = tuple(attachments)
        found = self.found(host, listed, {port: plug.device for port, plug in switch.observe().items()})
        devices = found.by_port
        masters = self._surroundings.masters() if self._surroundings is not None else {}
        stuck = {port: device for port, device in devices.items() if device in masters}
        problems: tuple[str, ...] = ()
        if stuck and not take_from_bridges:
            devices = {port: device for port, device in devices.items() if port not in stuck}
            problems = tuple(
                f"{device} of {port} is in the Linux bridge {masters[device]}; the scheme substitution moves it"
                for port, device in stuck.items()
            )
        elif stuck and self._surroundings is not None:
            self._outages.begin(stuck)
            for device in stuck.values():
                self._surroundings.release(device)
        steps = plug_steps(integration_plugs(listed, devices), switch.observe())
        problems = (*problems, *carry_out(switch, steps))
        if self._outages.waiting:
            self._outages.end(switch.installed(self._outages.waiting))
        plugged = {port: plug.device for port, plug in switch.observe().items()}
        return PluggedIn(devices=plugged, problems=problems, doubts=found.doubts)

    def unplug_all(self) -> None:
        """Take every vNIC of ours out of the integration bridge."""
        switch = self.switch()
        steps = plug_steps({}, switch.observe())
        self._outages.begin(step.port for step in steps)
        carry_out(switch, steps)

    def give_back(self, owner: str) -> None:
        """Take every vNIC of ours out, and what makes this Open vSwitch a chassis: the host has another one now, and
        two of one name would take it from each other. Bridges and what others wrote stay.

        Raises:
            UnreachableError: Open vSwitch does not answer.
        """
        self.unplug_all()
        switch = self.switch()
        keys = release_keys(owner, switch.observe_chassis())
        if keys.values:
            log.info("%s", describe(keys))
            switch.configure((keys,))

    def _busy(self, host: Host) -> frozenset[str]:
        if self._surroundings is None:
            return frozenset(nic.name for nic in host.nics)
        return self._surroundings.busy_cards()
