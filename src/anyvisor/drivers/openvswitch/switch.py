# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch as a virtual switch: plugging, unplugging, counting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from anyvisor.contracts.switch import SwitchCapabilities
from anyvisor.drivers.openvswitch.chassis import apply_steps, observe
from anyvisor.drivers.openvswitch.openflow import OpenFlow
from anyvisor.drivers.openvswitch.plugging import plug, unplug
from anyvisor.drivers.openvswitch.rows import (
    SCHEMA,
    TABLES,
    Spot,
    bridge_named,
    counters_of,
    far_end,
    ofport_of,
    plug_at,
    port_of,
    root,
    spots,
)
from anyvisor.drivers.openvswitch.steering import Steering, changes, counted
from anyvisor.errors import RetryableError
from anyvisor.model.attachment import Plug, PlugStep, Steered, Unplug
from anyvisor.model.attachment import describe as describe_plug
from anyvisor.model.names import HostName, Mac, PortName
from anyvisor.model.vnic import Counters, Vnic
from anyvisor.ovsdb.connection import Connection, Replica, Row, RowEvent, Transaction
from anyvisor.planner.chassis import INTEGRATION_BRIDGE, ObservedChassis
from anyvisor.planner.chassis_steps import ChassisStep, describe

if TYPE_CHECKING:
    from anyvisor.contracts.switch import SwitchDriver

TUNNEL_MARK = "ovn-chassis-id"
_POLL_SECONDS = 0.02
_NOISE = frozenset({"statistics", "cur_cfg", "next_cfg", "link_resets"})


class OpenvSwitch:
    """One host's Open vSwitch through its OVSDB, local or remote.

    `owner` gives the installation's identity; while it gives ``""`` nothing counts as ours. `settle_seconds` is how
    long `apply` and `configure` wait for ovs-vswitchd to have taken a change in. With `openflow` counters are of this
    moment; without, ovs-vswitchd brings them up to date every five seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        owner: Callable[[], str],
        settle_seconds: float = 10.0,
        openflow: OpenFlow | None = None,
    ) -> None:
        self._connection = connection
        self._openflow = openflow
        self._owner = owner
        self._settle_seconds = settle_seconds
        self._unsteered: str | None = None
        """A bridge that is known to have no flows of ours."""

    @classmethod
    def connect(cls, remote: str, *, owner: Callable[[], str], timeout_seconds: float = 10.0) -> OpenvSwitch:
        """A driver with a connection of its own, open.

        Raises:
            UnreachableError: there is no ovsdb-server at `remote`.
        """
        connection = Connection(
            remote, schema_name=SCHEMA, tables=TABLES, leader_only=False, timeout_seconds=timeout_seconds
        )
        connection.start()
        return cls(connection, owner=owner, settle_seconds=timeout_seconds, openflow=OpenFlow.beside(remote))

    def close(self) -> None:
        """End the connection. What is plugged stays plugged."""
        self._connection.close()

    @property
    def connected(self) -> bool:
        """Whether what is read is kept up to date now."""
        return self._connection.connected

    # --- SwitchDriver -----------------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> SwitchCapabilities:
        """OVS filters VLANs, and the SDN controller programs it."""
        return SwitchCapabilities(vlan_filtering=True, programmed_by_controller=True)

    def observe(self) -> Mapping[PortName, Plug]:
        """What is plugged and is ours."""
        return self._connection.read(
            lambda replica: {
                port: plug_at(spot, port, far_end(replica, spot)) for spot, port in self._ours(replica)
            }
        )

    def apply(self, steps: Iterable[PlugStep]) -> None:
        """Carry the steps out in one transaction, and wait until ovs-vswitchd has them.

        Raises:
            ForeignObjectError: a device is plugged by somebody else for something else.
            RetryableError: ovs-vswitchd could not open a device.
        """
        wanted = tuple(steps)
        if wanted:
            self._carry_out(
                lambda txn: self._apply_all(txn, wanted),
                comment="; ".join(describe_plug(step) for step in wanted),
            )
            self._refuse_broken({step.device for step in wanted if isinstance(step, Plug)})

    def counters(self) -> Mapping[PortName, Counters]:
        """What OVS counted per port of ours; of a steered one what passed its pair, and no frame that found nobody."""
        by_port = dict(self._port_counters())
        if self._openflow is not None:
            for bridge, pairs in self._steered().items():
                by_port |= counted(pairs, self._openflow.flows(bridge))
        return by_port

    def _port_counters(self) -> Mapping[PortName, Counters]:
        def view(replica: Replica) -> dict[PortName, tuple[str, int, Counters]]:
            return {
                port: (spot.bridge.name, ofport_of(spot), counters_of(spot.interface.statistics))
                for spot, port in self._ours(replica)
            }

        found = self._connection.read(view)
        if self._openflow is None:
            return {port: counters for port, (_, _, counters) in found.items()}
        now = {bridge: self._openflow.ports(bridge) for bridge in {bridge for bridge, _, _ in found.values()}}
        return {port: now[bridge].get(number, counters) for port, (bridge, number, counters) in found.items()}

    # --- the chassis ------------------------------------------------------------------------------------------------

    def observe_chassis(self) -> ObservedChassis:
        """Settings and bridges as they are."""
        owner = self._owner()
        return self._connection.read(lambda replica: observe(replica, owner))

    def configure(self, steps: Iterable[ChassisStep]) -> None:
        """Carry the steps out in one transaction, and wait until ovs-vswitchd has them."""
        wanted = tuple(steps)
        owner = self._owner()
        if wanted:
            self._carry_out(
                lambda txn: apply_steps(txn, wanted, owner),
                comment="; ".join(describe(step) for step in wanted),
            )

    def installed(self, ports: Collection[PortName]) -> frozenset[PortName]:
        """Those of the ports whose flows ovn-controller has installed here."""
        return self._connection.read(
            lambda replica: frozenset(
                port
                for spot, port in self._ours(replica)
                if port in ports and spot.marks.get("ovn-installed") == "true"
            )
        )

    def controlled(self) -> bool:
        """Whether ovn-controller has programmed the integration bridge. From afar: whether it has ever begun to."""
        if self._openflow is not None:
            return self._openflow.flow_count(INTEGRATION_BRIDGE) > 0

        def view(replica: Replica) -> bool:
            bridge = bridge_named(replica, INTEGRATION_BRIDGE)
            return bridge is not None and "ovn-startup-ts" in bridge.external_ids

        return self._connection.read(view)

    def fault(self) -> str | None:
        """That ovs-vswitchd does not answer: a kernel, or a card, goes on with what it knows. Not seen from afar."""
        why = self._openflow.fault(INTEGRATION_BRIDGE) if self._openflow is not None else None
        return f"{why}; what flows there are may go on, new ones do not come" if why is not None else None

    def tunnels(self) -> Mapping[HostName, str]:
        """The other chassis by their names, from the marks that ovn-controller puts on its tunnel ports."""

        def view(replica: Replica) -> dict[HostName, str]:
            found = {}
            for spot in spots(replica):
                # ovn-controller: NAME@ADDRESS, since 24.03 followed by %LOCAL.
                chassis, _, _ = spot.port.external_ids.get(TUNNEL_MARK, "").partition("@")
                address = spot.interface.options.get("remote_ip", "")
                if chassis and address:
                    found[HostName(chassis)] = address
            return found

        return self._connection.read(view)

    def vnics(self) -> tuple[Vnic, ...]:
        """The interfaces that carry the MAC of a guest, whoever plugged them."""

        def view(replica: Replica) -> tuple[Vnic, ...]:
            found = ((spot.interface.name, spot.marks) for spot in spots(replica))
            return tuple(
                Vnic(mac=Mac(marks["attached-mac"].lower()), vm=marks.get("vm-id"), device=device)
                for device, marks in found
                if "attached-mac" in marks
            )

        return self._connection.read(view)

    def uplinks(self, bridge: str) -> Mapping[str, int]:
        """The OpenFlow port numbers of a bridge's ports that lead out of the host, by device name."""

        def view(replica: Replica) -> dict[str, int]:
            return {
                spot.interface.name: ofport_of(spot)
                for spot in spots(replica)
                if spot.bridge.name == bridge
                and spot.interface.type in {"", "system"}
                and "attached-mac" not in spot.marks
                and ofport_of(spot) > 0
            }

        return self._connection.read(view)

    def steer(self, bridge: str, trunk: str, vnics: Collection[Steered]) -> None:
        """Lead frames between the trunk card and the patch pairs of these vNICs by MAC.

        Raises:
            RetryableError: Open vSwitch is not on this machine, or refused.
        """
        if not vnics and self._unsteered == bridge:
            return
        if self._openflow is None:
            if vnics:
                raise RetryableError(
                    f"{self._connection.remote}: flows can be laid from its own machine alone"
                )
            return
        numbers = self._connection.read(
            lambda replica: {
                spot.interface.name: ofport_of(spot) for spot in spots(replica) if spot.bridge.name == bridge
            }
        )
        card = numbers.get(trunk, 0)
        lines = changes(vnics, card if card > 0 else None, numbers, self._openflow.flows(bridge))
        self._openflow.change(bridge, lines)
        self._unsteered = None if vnics else bridge

    def _steered(self) -> Mapping[str, list[Steering]]:
        def view(replica: Replica) -> dict[str, list[Steering]]:
            found: dict[str, list[Steering]] = {}
            for spot, port in self._ours(replica):
                far = far_end(replica, spot)
                plug = plug_at(spot, port, far)
                if plug.steered and plug.mac is not None and far is not None:
                    pair = Steering(port=port, mac=plug.mac, number=ofport_of(far))
                    found.setdefault(far.bridge.name, []).append(pair)
            return found

        return self._connection.read(view)

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call `notify` (from the connection's thread) when something but counters changed."""

        def on_event(event: RowEvent) -> None:
            if event.kind != "update" or event.old is None or not _only_noise(event.old):
                notify()

        self._connection.subscribe(on_event)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _ours(self, replica: Replica) -> Iterable[tuple[Spot, PortName]]:
        owner = self._owner()
        found = ((spot, port_of(spot.marks, owner)) for spot in spots(replica))
        return [(spot, port) for spot, port in found if port is not None]

    def _apply_all(self, txn: Transaction, steps: Iterable[PlugStep]) -> None:
        owner = self._owner()
        for step in steps:
            match step:
                case Plug():
                    plug(txn, step, owner)
                case Unplug():
                    unplug(txn, step, owner)

    def _carry_out(self, build: Callable[[Transaction], object], *, comment: str) -> None:
        def with_number(txn: Transaction) -> None:
            build(txn)
            root(txn.idl).increment("next_cfg")

        self._connection.write(with_number, comment=f"anyvisor: {comment}")
        # The replica shows our own increment by now; another client's later one would only make us wait longer.
        wanted = self._connection.read(lambda replica: int(root(replica).next_cfg))
        deadline = time.monotonic() + self._settle_seconds
        while self._connection.read(lambda replica: int(root(replica).cur_cfg)) < wanted:
            if time.monotonic() > deadline:
                raise RetryableError(
                    f"{self._connection.remote}: ovs-vswitchd did not take the change in within"
                    f" {self._settle_seconds:g} s",
                    hint="is ovs-vswitchd running?",
                )
            time.sleep(_POLL_SECONDS)

    def _refuse_broken(self, devices: set[str]) -> None:
        errors = self._connection.read(
            lambda replica: [
                f"{spot.interface.name}: {spot.interface.error[0]}"
                for spot in spots(replica)
                if spot.interface.name in devices and spot.interface.error
            ]
        )
        if errors:
            raise RetryableError(f"Open vSwitch could not open {'; '.join(sorted(errors))}")


def _only_noise(old: Row) -> bool:
    return set(old._data) <= _NOISE  # noqa: SLF001 - the library offers no other way to see which columns changed


if TYPE_CHECKING:
    _conforms: type[SwitchDriver] = OpenvSwitch
