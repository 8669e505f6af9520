# SPDX-License-Identifier: Apache-2.0
"""A host in memory: its network, its Open vSwitch, its daemons; one world behind all of them.

The rules of a real host hold: a device is in one bridge at most, be it Linux's or Open vSwitch's; an address is on one
device; a gateway must be on a network of its device; others are reached only over a bridge that has the uplink and the
address both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError, UnreachableError
from anyvisor.model.attachment import Plug, PlugStep
from anyvisor.model.names import PortName
from anyvisor.planner.chassis import ObservedChassis
from anyvisor.planner.chassis_steps import AddUplink, ChassisStep, DropBridge, MakeBridge
from anyvisor.planner.conversion import Address, HostBridge, Route
from anyvisor.testing.faults import Counted, Faults, counted
from anyvisor.testing.switch import FakeOpenvSwitch

if TYPE_CHECKING:
    from anyvisor.contracts.host import ChassisSwitch, Daemons, HostNetwork, Surroundings


class FakeHost:
    """The world behind the fakes of this module. `cards` lead out of the host; `switch` is its Open vSwitch.

    Remotes in `silent` do not answer. `missing` is what keeps the daemons from being started.
    """

    def __init__(
        self,
        *bridges: HostBridge,
        cards: Iterable[str] = (),
        owner: str = "fake-owner",
        stoppable: bool = True,
    ) -> None:
        self.faults = Faults()
        self.cards = frozenset(cards)
        self.linux: dict[str, HostBridge] = {}
        self.devices: set[str] = set(self.cards)
        self.masters: dict[str, str] = {}
        self.addresses: dict[str, tuple[Address, ...]] = {}
        self.routes: dict[tuple[object, ...], tuple[str, Route]] = {}
        self.busy: frozenset[str] = frozenset()
        self.silent: set[str] = set()
        self.missing: tuple[str, ...] = ()
        self.stoppable = stoppable
        self.switch_runs = False
        self.controller_runs = False
        self.switch = HostedOpenvSwitch(self, owner)
        for bridge in bridges:
            self.linux[bridge.name] = replace(bridge, members=(), addresses=(), routes=())
            self.devices |= {bridge.name, *bridge.members}
            self.masters |= dict.fromkeys(bridge.members, bridge.name)
            self.addresses[bridge.name] = bridge.addresses
            for route in bridge.routes:
                self.routes[route_key(route)] = (bridge.name, route)

    def picture(self) -> Mapping[str, object]:
        """Everything that a change could have changed, to be compared with another picture."""
        return {
            "bridges": dict(self.linux),
            "addresses": {device: held for device, held in self.addresses.items() if held},
            "routes": frozenset(self.routes.values()),
            "masters": dict(self.masters),
            "chassis": self.switch.chassis,
            "plugged": dict(self.switch.plugged),
            "running": (self.switch_runs, self.controller_runs),
        }

    def start(self, device: str, bridge: str | None = None) -> None:
        """A VM's device appears, in a Linux bridge or in none."""
        self.devices.add(device)
        if bridge is not None:
            self.masters[device] = bridge

    def end(self, device: str) -> None:
        """It disappears, from wherever it was."""
        self.devices.discard(device)
        self.masters.pop(device, None)

    def connect(self) -> HostedOpenvSwitch:
        """The driver of the Open vSwitch, if that runs."""
        self.switch.check()
        return self.switch

    def holder(self, device: str) -> str | None:
        """The bridge of Open vSwitch that has a device."""
        plugs = {plug.device: plug.bridge for plug in self.switch.plugged.values()}
        uplinks = {port: b.name for b in self.switch.chassis.bridges.values() for port in b.ports}
        return (plugs | uplinks).get(device)

    def leads_out(self, device: str) -> bool:
        """Whether frames of that device reach a wire."""
        held = {
            self.masters.get(card) or (self.holder(card) if self.switch_runs else None) for card in self.cards
        }
        return device in held or (
            device in self.cards and not (self.masters.get(device) or self.holder(device))
        )

    def way_to(self, address: str) -> Address | None:
        """The address of ours from which that one is reached."""
        there = ipaddress.ip_address(address)
        for device, held in self.addresses.items():
            for mine in held if self.leads_out(device) else ():
                network = network_of(mine)
                default = any(
                    over == device and is_default(r, there.version) for over, r in self.routes.values()
                )
                if there in network or (network.version == there.version and default):
                    return mine
        return None

    def forget(self, device: str) -> None:
        """A device is gone with everything on it."""
        self.devices.discard(device)
        self.addresses.pop(device, None)
        self.routes = {key: (over, route) for key, (over, route) in self.routes.items() if over != device}


def route_key(route: Route) -> tuple[object, ...]:
    """Of two routes with the same key a kernel has one."""
    return (route.family, route.destination, route.table, route.metric)


def network_of(address: Address) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network that an address opens the way to."""
    return ipaddress.ip_interface(f"{address.peer or address.address}/{address.prefix_length}").network


def is_default(route: Route, version: int) -> bool:
    """Whether it leads everywhere."""
    return route.destination is None and (":" in (route.gateway or "")) == (version == 6)


class HostedOpenvSwitch(FakeOpenvSwitch, Counted):
    """A `FakeOpenvSwitch` that lives on a host: only while it runs, and only with devices that are there and free.

    `up` are the ports that the controller binds here; they are installed while ovn-controller runs.
    """

    def __init__(self, host: FakeHost, owner: str) -> None:
        super().__init__(owner=owner)
        self.faults = host.faults
        self._host = host

    @counted
    def check(self) -> None:
        """Raises UnreachableError if it does not run."""
        self._maybe_fail()

    @counted
    def observe(self) -> Mapping[PortName, Plug]:
        """See `FakeSwitch`."""
        return super().observe()

    @counted
    def apply(self, steps: Iterable[PlugStep]) -> None:
        """See `FakeSwitch`."""
        wanted = tuple(steps)
        for step in wanted:
            if isinstance(step, Plug):
                self._check_free(step.device)
        super().apply(wanted)

    @counted
    def observe_chassis(self) -> ObservedChassis:
        """See `FakeOpenvSwitch`."""
        return super().observe_chassis()

    @counted
    def configure(self, steps: Iterable[ChassisStep]) -> None:
        """All steps or, if one cannot be taken, none."""
        wanted = tuple(steps)
        for step in wanted:
            if isinstance(step, AddUplink):
                self._check_free(step.device)
        before = set(self.chassis.bridges)
        super().configure(wanted)
        for step in wanted:
            if isinstance(step, MakeBridge):
                self._host.devices.add(step.name)
            elif isinstance(step, DropBridge) and step.name in before - set(self.chassis.bridges):
                self._host.forget(step.name)
                self.plugged = {port: p for port, p in self.plugged.items() if p.bridge != step.name}

    @counted
    def installed(self, ports: Collection[PortName]) -> frozenset[PortName]:
        """See `FakeOpenvSwitch`."""
        self._maybe_fail()
        return super().installed(ports) if self._host.controller_runs else frozenset()

    @counted
    def controlled(self) -> bool:
        """See `FakeOpenvSwitch`."""
        self._maybe_fail()
        return self._host.controller_runs and super().controlled()

    def _check_free(self, device: str) -> None:
        if device not in self._host.devices:
            raise RetryableError(f"could not open network device {device}")
        if device in self._host.masters:
            raise RetryableError(f"{device} is in the Linux bridge {self._host.masters[device]}")

    def _maybe_fail(self) -> None:
        if not self._host.switch_runs:
            raise UnreachableError("Open vSwitch does not run")
        super()._maybe_fail()


class FakeHostNetwork(Counted):
    """The addresses, routes and Linux bridges of a `FakeHost`."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.faults)
        self._host = host

    @counted
    def bridges(self) -> Mapping[str, HostBridge]:
        """See `HostNetwork`."""
        host = self._host
        return {
            name: replace(
                bridge,
                members=tuple(sorted(d for d, master in host.masters.items() if master == name)),
                addresses=host.addresses.get(name, ()),
                routes=tuple(route for over, route in host.routes.values() if over == name),
            )
            for name, bridge in host.linux.items()
        }

    @counted
    def leave(self, device: str) -> None:
        """See `HostNetwork`."""
        self._host.masters.pop(device, None)

    @counted
    def join(self, device: str, bridge: str) -> None:
        """See `HostNetwork`. A device that Open vSwitch has cannot join."""
        if device not in self._host.devices:
            return
        if bridge not in self._host.linux:
            raise RetryableError(f"there is no network device {bridge}")
        holder = self._host.holder(device)
        if holder is not None:
            raise RetryableError(f"{device} is busy: Open vSwitch has it in {holder}")
        self._host.masters[device] = bridge

    @counted
    def remake(self, bridge: HostBridge) -> None:
        """See `HostNetwork`."""
        self._host.devices.add(bridge.name)
        self._host.linux[bridge.name] = replace(bridge, members=(), addresses=(), routes=())

    @counted
    def carry(self, device: str, addresses: Iterable[Address], routes: Iterable[Route]) -> None:
        """See `HostNetwork`. An address must have left its other device before."""
        if device not in self._host.devices:
            raise RetryableError(f"there is no network device {device}")
        held = list(self._host.addresses.get(device, ()))
        for address in addresses:
            others = [d for d, theirs in self._host.addresses.items() if d != device and address in theirs]
            assert not others, f"{address.address} is on {others} already"
            if address not in held:
                held.append(address)
        self._host.addresses[device] = tuple(held)
        for route in sorted(routes, key=lambda route: route.gateway is not None):
            self._check_gateway(device, route)
            self._host.routes[route_key(route)] = (device, route)

    def _check_gateway(self, device: str, route: Route) -> None:
        if route.gateway is None:
            return
        gateway = ipaddress.ip_address(route.gateway)
        near = [network_of(address) for address in self._host.addresses[device]]
        near += [
            ipaddress.ip_network(r.destination)
            for over, r in self._host.routes.values()
            if over == device and r.gateway is None and r.destination is not None
        ]
        if not gateway.is_link_local and not any(gateway in network for network in near):
            raise TerminalError(f"could not move addresses to {device}: Nexthop has invalid gateway")

    @counted
    def drop(self, device: str, addresses: Iterable[Address]) -> None:
        """See `HostNetwork`. The routes over a device go with its last address."""
        gone = set(addresses)
        left = tuple(address for address in self._host.addresses.get(device, ()) if address not in gone)
        self._host.addresses[device] = left
        if not left:
            there = self._host.routes.items()
            self._host.routes = {key: (over, route) for key, (over, route) in there if over != device}


class FakeSurroundings(Counted):
    """What a `FakeHost` uses its network cards for."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.faults)
        self._host = host

    @counted
    def busy_cards(self) -> frozenset[str]:
        """What is in `busy`, and what carries an address or is in a Linux bridge."""
        addressed = {device for device, held in self._host.addresses.items() if held}
        return self._host.busy | addressed | frozenset(self._host.masters)

    @counted
    def masters(self) -> Mapping[str, str]:
        """See `Surroundings`."""
        return dict(self._host.masters)

    @counted
    def switches(self) -> Mapping[str, str]:
        """See `Surroundings`."""
        held = {plug.device: "ovs-system" for plug in self._host.switch.plugged.values()}
        return {**held, **self._host.masters}

    @counted
    def release(self, device: str) -> None:
        """See `Surroundings`."""
        if device not in self._host.masters and self._host.holder(device) is not None:
            raise ForeignObjectError(
                f"{device} is in ovs-system, which is no Linux bridge", hint=f"ovs-vsctl del-port {device}"
            )
        self._host.masters.pop(device, None)

    @counted
    def source_address(self, remote: str) -> str | None:
        """See `Surroundings`."""
        way = self._host.way_to(_endpoint(remote))
        return way.address if way is not None else None

    @counted
    def reaches(self, remote: str, timeout_seconds: float) -> bool:  # noqa: ARG002
        """See `Surroundings`; at once."""
        if remote.startswith("unix:"):
            return True
        return remote not in self._host.silent and self._host.way_to(_endpoint(remote)) is not None


def _endpoint(remote: str) -> str:
    return remote.split(",", maxsplit=1)[0].partition(":")[2].rpartition(":")[0].strip("[]")


class FakeDaemons(Counted):
    """The daemons of a `FakeHost`."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.faults)
        self._host = host

    @counted
    def missing(self) -> tuple[str, ...]:
        """What the host says."""
        return self._host.missing

    @counted
    def start_switch(self) -> None:
        """See `Daemons`."""
        self._host.switch_runs = True

    @counted
    def stop_switch(self) -> None:
        """Only if the host is `stoppable`."""
        self._host.switch_runs = self._host.switch_runs and not self._host.stoppable

    @counted
    def start_controller(self) -> None:
        """See `Daemons`."""
        self._host.controller_runs = True

    @counted
    def stop_controller(self) -> None:
        """Only if the host is `stoppable`."""
        self._host.controller_runs = self._host.controller_runs and not self._host.stoppable


if TYPE_CHECKING:
    _switch: type[ChassisSwitch] = HostedOpenvSwitch
    _network: type[HostNetwork] = FakeHostNetwork
    _surroundings: type[Surroundings] = FakeSurroundings
    _daemons: type[Daemons] = FakeDaemons
