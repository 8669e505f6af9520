# SPDX-License-Identifier: Apache-2.0
"""Switches that keep state, obey the real ones' rules, and can be told to fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from anyvisor.contracts.switch import SwitchCapabilities
from anyvisor.errors import AnyvisorError, ForeignObjectError, RetryableError
from anyvisor.model.attachment import Plug, PlugStep, Steered, Unplug
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.vnic import Counters, Vnic
from anyvisor.planner.chassis import INTEGRATION_BRIDGE, ObservedBridge, ObservedChassis, ObservedTls
from anyvisor.planner.chassis_steps import (
    AddUplink,
    ChassisStep,
    DropBridge,
    DropUplink,
    MakeBridge,
    SecureBridge,
    SetKeys,
    SetOffload,
    SetTls,
)
from anyvisor.planner.segments import SegmentBridge

if TYPE_CHECKING:
    from anyvisor.contracts.host import ChassisSwitch, NativeSwitchDriver
    from anyvisor.contracts.switch import SwitchDriver


class FakeSwitch:
    """A virtual switch in memory. `foreign` maps devices that somebody else plugged to the bridges they are in.

    Set `failure` to an error and every call raises it until it is None again.
    """

    def __init__(self, *, bridges: Collection[str] = (), foreign: Mapping[str, str] | None = None) -> None:
        self.known_bridges = set(bridges)
        self.foreign = dict(foreign or {})
        self.plugged: dict[PortName, Plug] = {}
        self.counted: dict[PortName, Counters] = {}
        self.failure: AnyvisorError | None = None

    @property
    def capabilities(self) -> SwitchCapabilities:
        """Everything."""
        return SwitchCapabilities(vlan_filtering=True, vlan_devices=True)

    def observe(self) -> Mapping[PortName, Plug]:
        """What is plugged and is ours."""
        self._maybe_fail()
        return dict(self.plugged)

    def apply(self, steps: Iterable[PlugStep]) -> None:
        """All steps or, if one is refused, none."""
        self._maybe_fail()
        after = dict(self.plugged)
        for step in steps:
            match step:
                case Plug(device=device) if device in self.foreign:
                    raise ForeignObjectError(f"{device} is in {self.foreign[device]} for somebody else")
                case Plug(bridge=bridge) if bridge not in self.known_bridges:
                    raise RetryableError(f"there is no bridge {bridge}")
                case Plug(port=port):
                    taken = {p.device for p in after.values() if p.port != port}
                    assert step.device not in taken, "two ports share a device"
                    after[port] = step
                case Unplug(port=port, device=device):
                    if port in after and after[port].device == device:
                        del after[port]
        self.plugged = after

    def counters(self) -> Mapping[PortName, Counters]:
        """What a test put into `counted`, for what is plugged."""
        self._maybe_fail()
        return {port: self.counted.get(port, Counters()) for port in self.plugged}

    def _maybe_fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeOpenvSwitch(FakeSwitch):
    """An Open vSwitch without daemons. `up` are the ports whose flows are installed."""

    def __init__(self, *, owner: str, foreign: Mapping[str, str] | None = None) -> None:
        super().__init__(foreign=foreign)
        self.owner = owner
        self.chassis = ObservedChassis()
        self.up: set[PortName] = set()
        self.tunnelled: dict[HostName, str] = {}
        self.controller_works = True
        self.seen: tuple[Vnic, ...] = ()
        self.steered: tuple[Steered, ...] = ()
        self.steering_failure: AnyvisorError | None = None
        self.broken: str | None = None

    @property
    def capabilities(self) -> SwitchCapabilities:
        """As Open vSwitch."""
        return SwitchCapabilities(vlan_filtering=True, programmed_by_controller=True)

    def observe_chassis(self) -> ObservedChassis:
        """Settings and bridges."""
        self._maybe_fail()
        return self.chassis

    def configure(self, steps: Iterable[ChassisStep]) -> None:
        """Carry the steps out on the picture."""
        self._maybe_fail()
        for step in steps:
            self.chassis = configured(self.chassis, step)
        self.known_bridges = set(self.chassis.bridges)

    def steer(self, bridge: str, trunk: str, vnics: Collection[Steered]) -> None:
        """Remember them."""
        self._maybe_fail()
        if self.steering_failure is not None:
            raise self.steering_failure
        assert not vnics or trunk in self.chassis.bridges[bridge].ports, f"{trunk} is not in {bridge}"
        self.steered = tuple(vnics)

    def installed(self, ports: Collection[PortName]) -> frozenset[PortName]:
        """Those of `up` that are plugged into the integration bridge."""
        there = {port for port, plug in self.plugged.items() if plug.bridge == INTEGRATION_BRIDGE}
        return frozenset(self.up & there & set(ports))

    def fault(self) -> str | None:
        """What a test put into `broken`."""
        return self.broken

    def tunnels(self) -> Mapping[HostName, str]:
        """Those that a test put into `tunnelled`."""
        return dict(self.tunnelled)

    def controlled(self) -> bool:
        """True once the settings name a southbound database, unless the test says otherwise."""
        return self.controller_works and "ovn-remote" in self.chassis.settings

    def vnics(self) -> tuple[Vnic, ...]:
        """What a test put into `seen`, and what is plugged with its MAC."""
        ours = (Vnic(mac=Mac(p.mac), device=p.device) for p in self.plugged.values() if p.mac is not None)
        return (*self.seen, *ours)


def configured(chassis: ObservedChassis, step: ChassisStep) -> ObservedChassis:
    """The picture after one step, by the rules of the real database."""
    bridges = dict(chassis.bridges)
    settings = dict(chassis.settings)
    tls = chassis.tls
    match step:
        case SetKeys(values=values):
            settings.update({key: value for key, value in values.items() if value is not None})
            settings = {key: value for key, value in settings.items() if values.get(key, "") is not None}
        case SetOffload():
            return replace(chassis, offload=True)
        case SetTls(files=files):
            tls = ObservedTls(files=files, ours=True) if tls is None or tls.ours else tls
        case MakeBridge(name=name, datapath=datapath, fail_mode=fail_mode):
            made = ObservedBridge(name=name, ours=True, datapath=datapath, fail_mode=fail_mode)
            bridges.setdefault(name, made)
        case SecureBridge(name=name):
            bridges[name] = replace(bridges[name], fail_mode="secure")
        case AddUplink(bridge=name, device=device):
            holders = [b.name for b in bridges.values() if device in b.ports and b.name != name]
            assert not holders, f"{device} is in {holders} already"
            bridges[name] = replace(bridges[name], ports=bridges[name].ports | {device})
        case DropUplink(bridge=name, device=device):
            if name in bridges:
                bridges[name] = replace(bridges[name], ports=bridges[name].ports - {device})
        case DropBridge(name=name):
            if name in bridges and bridges[name].ours:
                del bridges[name]
    return replace(chassis, settings=settings, bridges=bridges, tls=tls)


class FakeLinuxBridges(FakeSwitch):
    """Linux bridges without a kernel. `natives` are bridges of the operator's, by name with their uplinks."""

    def __init__(
        self,
        *,
        natives: Mapping[str, str] | None = None,
        capabilities: SwitchCapabilities | None = None,
        foreign: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(bridges=(natives or {}), foreign=foreign)
        self.natives = dict(natives or {})
        self.made: dict[str, SegmentBridge] = {}
        self._capabilities = capabilities or SwitchCapabilities()

    @property
    def capabilities(self) -> SwitchCapabilities:
        """What the test said."""
        return self._capabilities

    def bridges(self) -> Mapping[str, SegmentBridge]:
        """The bridges that are ours."""
        return dict(self.made)

    def shape(self, wanted: Iterable[SegmentBridge]) -> None:
        """Make and remove bridges; one with something plugged in it stays."""
        self._maybe_fail()
        by_name = {bridge.name: bridge for bridge in wanted}
        for bridge in by_name.values():
            if bridge.native and bridge.name not in self.natives:
                raise RetryableError(f"there is no bridge {bridge.name}")
            if not bridge.native and bridge.vlan is None and bridge.uplink in self.natives.values():
                raise ForeignObjectError(f"{bridge.uplink} is in somebody else's bridge")
        used = {plug.bridge for plug in self.plugged.values()}
        self.made = {name: bridge for name, bridge in self.made.items() if name in by_name or name in used}
        self.made |= {name: bridge for name, bridge in by_name.items() if not bridge.native}
        self.known_bridges = {*self.natives, *self.made}


if TYPE_CHECKING:
    _switch: type[SwitchDriver] = FakeSwitch
    _chassis: type[ChassisSwitch] = FakeOpenvSwitch
    _native: type[NativeSwitchDriver] = FakeLinuxBridges
