# SPDX-License-Identifier: Apache-2.0
"""Linux bridges of this host as a virtual switch. What is ours carries an alias: ``anyvisor:OWNER:KEY``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from anyvisor.contracts.switch import SwitchCapabilities
from anyvisor.drivers.linuxbridge.aliases import (
    alias_for_bridge,
    alias_for_port,
    alias_for_uplink,
    bridge_of,
    port_of,
    uplink_of,
)
from anyvisor.errors import ForeignObjectError, RetryableError
from anyvisor.model.attachment import Plug, PlugStep, Unplug
from anyvisor.model.names import PortName
from anyvisor.model.vnic import Counters
from anyvisor.netlink import links
from anyvisor.netlink.links import Link, read_links
from anyvisor.planner.segments import SegmentBridge

if TYPE_CHECKING:
    from anyvisor.contracts.host import NativeSwitchDriver


class LinuxBridges:
    """The bridges of the namespace that the program runs in.

    `owner` gives the installation's identity; while it gives ``""`` nothing counts as ours. `natives` gives the
    operator's bridges (as the site lists them): a vNIC in one of them is ours to move, and they are never removed.
    """

    def __init__(self, *, owner: Callable[[], str], natives: Callable[[], Iterable[str]] = tuple) -> None:
        self._owner = owner
        self._natives = natives

    # --- SwitchDriver -----------------------------------------------------------------------------------------------

    @cached_property
    def capabilities(self) -> SwitchCapabilities:
        """What this kernel can do, found by trying once."""
        return SwitchCapabilities(
            vlan_filtering=links.can_filter_vlans(), vlan_devices=links.can_make_vlan_devices()
        )

    def observe(self) -> Mapping[PortName, Plug]:
        """What is plugged and is ours."""
        return {
            port: Plug(port=port, device=link.name, bridge=link.master, vlan=vlan)
            for link, port, vlan in self._ours(read_links())
            if link.master is not None
        }

    def apply(self, steps: Iterable[PlugStep]) -> None:
        """Carry the steps out one after the other; the kernel has no transactions.

        Raises:
            ForeignObjectError: a device is in a bridge that is neither ours nor the operator's, or has a name of
                somebody else's. Nothing has been changed then.
            RetryableError: a device or a bridge went away meanwhile.
        """
        wanted = tuple(steps)
        there = read_links()
        for step in wanted:
            if isinstance(step, Plug):
                self._refuse_foreign(step, there)
        for step in wanted:
            match step:
                case Plug():
                    self._plug(step)
                case Unplug():
                    self._unplug(step)

    def counters(self) -> Mapping[PortName, Counters]:
        """What the kernel counted on each device of ours."""
        return {port: link.counters for link, port, _ in self._ours(read_links()) if link.master is not None}

    # --- bridges ----------------------------------------------------------------------------------------------------

    def bridges(self) -> Mapping[str, SegmentBridge]:
        """The bridges that are ours, by name."""
        owner = self._owner()
        there = read_links()
        made = (bridge_of(link, owner) for link in there.values() if link.kind == "bridge")
        return {bridge.name: bridge for bridge in made if bridge is not None}

    def shape(self, wanted: Iterable[SegmentBridge]) -> None:
        """Make what is wanted, remove ours that is not wanted and holds no vNIC.

        Raises:
            ForeignObjectError: a card or a name that is needed is somebody else's.
            RetryableError: a card, or an operator's bridge, is not there, or went away meanwhile.
        """
        by_name = {bridge.name: bridge for bridge in wanted}
        # First what goes: it may hold a card that something else needs.
        for bridge in self.bridges().values():
            if bridge.name not in by_name and not self._members(bridge.name):
                self._remove(bridge)
        for bridge in by_name.values():
            self._make(bridge)

    def _make(self, bridge: SegmentBridge) -> None:
        there = read_links()
        present = there.get(bridge.name)
        if bridge.native:
            if present is None or present.kind != "bridge":
                raise RetryableError(f"the site names a bridge {bridge.name}, but there is none")
            return
        owner = self._owner()
        if present is not None and bridge_of(present, owner) is None:
            raise ForeignObjectError(f"{bridge.name} exists already and is not ours")
        card = there.get(bridge.uplink)
        if card is None:
            raise RetryableError(f"there is no network card {bridge.uplink}")
        if bridge.vlan is None and card.master not in {None, bridge.name}:
            raise ForeignObjectError(
                f"{bridge.uplink} is in the bridge {card.master}, and {bridge.name} needs it",
                hint=f"list {card.master} among the host's switches with {bridge.uplink} as uplink to have it used",
            )
        self._free_old_uplink(bridge, present, there)
        alias = alias_for_bridge(bridge, owner)
        if present is None:
            links.make_bridge(bridge.name, alias=alias, filtering=bridge.filtering, mtu=card.mtu)
        elif present.alias != alias:
            links.change_link(bridge.name, ifalias=alias)
        port = bridge.uplink if bridge.vlan is None else self._vlan_device(bridge, read_links(), owner)
        link = read_links().get(port)
        if link is None:  # the vif of an appliance that is being destroyed
            raise RetryableError(f"{port} went away")
        if link.master != bridge.name:
            links.set_master(port, bridge.name)
        for vlan in bridge.trunk:
            links.set_access_vlan(port, vlan, tagged=True)

    def _free_old_uplink(
        self, bridge: SegmentBridge, present: Link | None, there: Mapping[str, Link]
    ) -> None:
        owner = self._owner()
        before = bridge_of(present, owner) if present is not None else None
        if before is None or (before.uplink, before.vlan) == (bridge.uplink, bridge.vlan):
            return
        for link in there.values():
            if uplink_of(link, owner) == bridge.name:
                links.delete_link(link.name)
        if before.vlan is None and before.uplink in there:
            links.set_master(before.uplink, None)

    def _vlan_device(self, bridge: SegmentBridge, there: Mapping[str, Link], owner: str) -> str:
        held = (link.name for link in there.values() if uplink_of(link, owner) == bridge.name)
        existing = next(held, None)
        if existing is not None:
            return existing
        name = f"{bridge.uplink}.{bridge.vlan}"
        if len(name) > links.NAME_MAX:
            name = f"av{there[bridge.uplink].index}.{bridge.vlan}"
        if name in there:
            raise ForeignObjectError(f"{name} exists already and is not ours")
        assert bridge.vlan is not None
        alias = alias_for_uplink(bridge, owner)
        links.make_vlan_device(name, parent=bridge.uplink, vlan=bridge.vlan, alias=alias)
        return name

    def _remove(self, bridge: SegmentBridge) -> None:
        owner = self._owner()
        for link in read_links().values():
            if uplink_of(link, owner) == bridge.name:
                links.delete_link(link.name)
        links.delete_link(bridge.name)

    def _members(self, bridge: str) -> tuple[str, ...]:
        owner = self._owner()
        return tuple(
            link.name
            for link in read_links().values()
            if link.master == bridge and port_of(link.alias, owner) is not None
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _ours(self, there: Mapping[str, Link]) -> Iterable[tuple[Link, PortName, int | None]]:
        owner = self._owner()
        found = ((link, port_of(link.alias, owner)) for link in there.values())
        return [(link, *plugged) for link, plugged in found if plugged is not None]

    def _refuse_foreign(self, step: Plug, there: Mapping[str, Link]) -> None:
        link = there.get(step.device)
        if link is None:
            raise RetryableError(f"there is no network device {step.device}")
        owner = self._owner()
        known = {step.bridge, None, *self._natives(), *self.bridges()}
        if link.master not in known:
            raise ForeignObjectError(
                f"{step.device} is in the bridge {link.master}, which the site does not list",
                hint=f"list {link.master} among the host's switches, or take {step.device} out of it",
            )
        if link.alias and port_of(link.alias, owner) is None:
            raise ForeignObjectError(f"{step.device} carries somebody else's mark: {link.alias!r}")

    def _plug(self, step: Plug) -> None:
        owner = self._owner()
        for other, port, _ in self._ours(read_links()):
            if port == step.port and other.name != step.device:
                self._unplug(Unplug(port=port, device=other.name, bridge=other.master or ""))
        link = read_links().get(step.device)
        if link is None:
            raise RetryableError(f"{step.device} went away")
        alias = alias_for_port(step, owner)
        if link.alias != alias:
            links.change_link(step.device, ifalias=alias)
        if link.master != step.bridge:
            links.quiet_ipv6(step.device)
            links.set_master(step.device, step.bridge)
        if step.vlan is not None:
            links.set_access_vlan(step.device, step.vlan)

    def _unplug(self, step: Unplug) -> None:
        link = read_links().get(step.device)
        if link is None:
            return
        plugged = port_of(link.alias, self._owner())
        if plugged is None or plugged[0] != step.port:
            return
        if link.master is not None:
            links.set_master(step.device, None)
        links.change_link(step.device, ifalias="")


if TYPE_CHECKING:
    _conforms: type[NativeSwitchDriver] = LinuxBridges
