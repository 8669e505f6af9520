# SPDX-License-Identifier: Apache-2.0
"""What the agent's reconciler needs of its host beyond the contracts that every driver shares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from anyvisor.contracts.switch import SwitchDriver
from anyvisor.model.attachment import Steered
from anyvisor.model.card import SwitchingCard
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.state import StationReading, VnicReading
from anyvisor.model.vnic import PathCount, Vnic
from anyvisor.planner.chassis import ObservedChassis
from anyvisor.planner.chassis_steps import ChassisStep
from anyvisor.planner.conversion import Address, HostBridge, Route
from anyvisor.planner.segments import SegmentBridge
from anyvisor.planner.stations import StationCount


class ChassisSwitch(SwitchDriver, Protocol):
    """An Open vSwitch that ovn-controller programs."""

    def observe_chassis(self) -> ObservedChassis:
        """Settings and bridges as they are."""

    def configure(self, steps: Iterable[ChassisStep]) -> None:
        """Carry the steps out; repeating it is not an error.

        Raises:
            UnreachableError: the switch does not answer.
            RetryableError: the switch did not take the change in within a bounded time.
        """

    def installed(self, ports: Collection[PortName]) -> frozenset[PortName]:
        """Those of the ports whose flows are installed here."""

    def controlled(self) -> bool:
        """Whether ovn-controller has programmed the integration bridge."""

    def fault(self) -> str | None:
        """What keeps the switch from taking new flows in, though its database answers; None: nothing that is seen."""

    def tunnels(self) -> Mapping[HostName, str]:
        """The other chassis that ovn-controller has made a tunnel to, with their tunnel addresses."""

    def vnics(self) -> tuple[Vnic, ...]:
        """The devices that carry a guest's MAC, whoever plugged them."""

    def steer(self, bridge: str, trunk: str, vnics: Collection[Steered]) -> None:
        """Lead frames between the device `trunk` of that bridge and the patch pairs of these vNICs by MAC; of others no
        longer. Repeating it is not an error, and costs one look.

        Raises:
            UnreachableError: the switch does not answer.
            RetryableError: it is not on this machine, or refused.
        """


class NativeSwitchDriver(SwitchDriver, Protocol):
    """A native switch whose bridges we make as networks need them."""

    def bridges(self) -> Mapping[str, SegmentBridge]:
        """The bridges that are ours, by name."""

    def shape(self, wanted: Iterable[SegmentBridge]) -> None:
        """Make what is wanted and remove ours that is not, unless something is plugged in it. Repeating it is not an
        error.

        Raises:
            ForeignObjectError: somebody else's bridge has the uplink or the name.
        """


class StationCounter(Protocol):
    """Counts, on the provider bridges of this chassis, frames of vNICs that sit behind native switches."""

    def count(self, wanted: Mapping[str, Mapping[Mac, int | None]]) -> Mapping[Mac, StationCount]:
        """Per bridge the MACs to count, with the VLAN that their frames are tagged with there. Counting goes on for
        those that were counted already, begins for the others and ends for those that are no longer named."""


class SlowPath(Protocol):
    """Tells which way frames took through a switch that gives its flows to a network card."""

    def paths(self) -> Mapping[str, PathCount]:
        """Per device what entered by it since the first call, and what of that the card did not carry by itself.

        Raises:
            UnreachableError: the switch does not answer.
            RetryableError: it refuses.
        """


class Surroundings(Protocol):
    """What the host itself uses its network cards for."""

    def busy_cards(self) -> frozenset[str]:
        """Devices that must not be put into a bridge without more ado."""

    def masters(self) -> Mapping[str, str]:
        """The Linux bridge of each device that is in one."""

    def switches(self) -> Mapping[str, str]:
        """The same, and ``ovs-system`` for a device that Open vSwitch's kernel datapath has."""

    def release(self, device: str) -> None:
        """Take a device out of its Linux bridge, with our mark on it. Repeating it is not an error.

        Raises:
            ForeignObjectError: what it is in is no Linux bridge.
        """

    def source_address(self, remote: str) -> str | None:
        """The address of the host from which an OVSDB remote is reached, None if there is no way."""

    def reaches(self, remote: str, timeout_seconds: float) -> bool:
        """Whether a connection to an OVSDB remote can be made now."""


class SwitchingCards(Protocol):
    """The network cards of this machine that can switch."""

    def cards(self) -> tuple[SwitchingCard, ...]:
        """As they are now.

        Raises:
            RetryableError: the kernel does not answer.
        """

    def bring_up(self, devices: Collection[str]) -> None:
        """See to it that these representors are up: one that is down passes nothing, and nobody else minds them.

        Raises:
            RetryableError: one went away meanwhile.
        """


class HostNetwork(Protocol):
    """The host's own addresses, routes and Linux bridges. Everything may be repeated."""

    def bridges(self) -> Mapping[str, HostBridge]:
        """Every Linux bridge with what the host has on it."""

    def leave(self, device: str) -> None:
        """Take a device out of its Linux bridge."""

    def join(self, device: str, bridge: str) -> None:
        """Put a device into a Linux bridge; one that is gone needs none."""

    def remake(self, bridge: HostBridge) -> None:
        """See to it that a Linux bridge is there, up, and has its MAC and MTU."""

    def carry(self, device: str, addresses: Iterable[Address], routes: Iterable[Route]) -> None:
        """Bring a device up and give it these addresses and routes; a route over another device moves here."""

    def drop(self, device: str, addresses: Iterable[Address]) -> None:
        """Take these addresses from a device; one that is gone has none."""


class Daemons(Protocol):
    """Starting and stopping Open vSwitch and ovn-controller the way this host does it."""

    def missing(self) -> tuple[str, ...]:
        """What keeps them from being started, in words; empty if nothing does."""

    def start_switch(self) -> None:
        """Start Open vSwitch; one that runs already is no error.

        Raises:
            TerminalError: with what the command said.
        """

    def stop_switch(self) -> None:
        """Stop it, where this host says how."""

    def start_controller(self) -> None:
        """Start ovn-controller; one that runs already is no error.

        Raises:
            TerminalError: with what the command said.
        """

    def stop_controller(self) -> None:
        """Stop it, where this host says how, so that it takes its chassis out of the southbound database."""


class Prober(Protocol):
    """Sends echo requests that must not be fragmented."""

    def answered(
        self, source: str, sizes: Mapping[str, Collection[int]], timeout_seconds: float
    ) -> Mapping[str, Collection[int]]:
        """Per address those of the sizes (bytes of the IP packet) that were answered whole within the time-out.

        Raises:
            RetryableError: nothing could be sent from that source.
        """


class ReadingSink(Protocol):
    """Where counters go."""

    def write(
        self,
        vnics: Iterable[VnicReading],
        stations: Iterable[StationReading],
        *,
        spared: Collection[PortName] = (),
    ) -> None:
        """Replace the readings of this host: those that are no longer named go, but for the `spared`, which somebody
        else takes.

        Raises:
            UnreachableError: the telemetry database does not answer; the next reading has it all.
        """


class Memory(Protocol):
    """A small document that survives the process. `name` tells several apart."""

    def load(self, name: str) -> Mapping[str, Any]:
        """What was saved last; empty if nothing ever was."""

    def save(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Replace it. If `durable`, it is on the disk when this returns."""
