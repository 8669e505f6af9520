# SPDX-License-Identifier: Apache-2.0
"""The columns of anyvisord and of the agents: what was decided and what is reported, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anyvisor.codec import canonical
from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.sighting import Sighting
from anyvisor.model.state import Duty, HostState, Placement, Plugged, PortState, Tag
from anyvisor.ovsdb import cells, columns
from anyvisor.ovsdb.cells import Cells
from anyvisor.ovsdb.intent_rows import scheme
from anyvisor.ovsdb.replica import Row

DECIDED = {
    "Global": frozenset({"applied", "underlay_mtu", "conditions"}),
    "Manager": frozenset({"conditions"}),
    "Host": frozenset({"scheme", "duties", "conditions"}),
    "Network": frozenset({"conditions"}),
    "Router": frozenset({"conditions"}),
    "Security_Group": frozenset({"conditions"}),
    "Port": frozenset({"hwaddr", "addresses", "placed", "moving_to", "conditions"}),
    "Attachment": frozenset(
        {
            "port",
            "host",
            "kind",
            "network",
            "mac",
            "vm",
            "vlan",
            "switch",
            "staged",
            "appliance",
            "shared",
            "card",
        }
    ),
    "Tag": frozenset({"scope", "vlan", "holder", "released"}),
    "Move": frozenset({"port", "begun", "origin", "target", "staged", "arrived", "finalised", "returned"}),
}
"""Columns that anyvisord writes, per table."""

REPORTED = {
    "Host": frozenset({"carried", "agent_conditions", "inner_vlans", "sighted"}),
    "Attachment": frozenset({"device", "outage_ms"}),
}
"""Columns that agents write, per table."""


def host_state(row: Row) -> HostState:
    """What was decided and reported of a host."""
    return HostState(
        scheme=scheme(row, "scheme"),
        carried=scheme(row, "carried"),
        conditions=cells.conditions(row, "agent_conditions"),
        duties={
            number: canonical.decode(Duty, text) for number, text in columns.mapping(row, "duties").items()
        },
        inner_vlans=_vlans(columns.one(row, "inner_vlans")),
        sighted=cells.values(row, "sighted", Sighting),
    )


def _vlans(text: str | None) -> frozenset[int] | None:
    """An empty text says that there are none; no text, that nobody said."""
    return None if text is None else frozenset(int(word) for word in text.split())


def vlans_cell(vlans: frozenset[int]) -> str:
    """The VLANs in their order, with blanks between."""
    return " ".join(str(vlan) for vlan in sorted(vlans))


def sighted_cells(sighted: Sequence[Sighting]) -> Cells:
    """The column for what an agent sees of others' vNICs."""
    return {"sighted": cells.documents(sighted)}


def duties_cells(duties: Mapping[int, Duty]) -> Cells:
    """The column for what was found about a host's appliances."""
    return {"duties": {number: canonical.encode(duty) for number, duty in sorted(duties.items())}}


def port_state(row: Row) -> PortState | None:
    """What was decided for a port; None before anything was."""
    mac = columns.one(row, "hwaddr")
    return None if mac is None else PortState(mac=Mac(mac), addresses=cells.texts(row, "addresses"))


def port_state_cells(state: PortState | None) -> Cells:
    """The columns for that; None empties them."""
    if state is None:
        return {"hwaddr": None, "addresses": {}}
    return {"hwaddr": state.mac, "addresses": cells.sequence(state.addresses)}


def placement(row: Row) -> Placement | None:
    """Where the VM of a port runs; None where no manager says so."""
    host, target = columns.one(row, "placed"), columns.one(row, "moving_to")
    if host is None:
        return None
    return Placement(host=HostName(host), moving_to=None if target is None else HostName(target))


def placement_cells(placement: Placement | None) -> Cells:
    """The columns for that; None empties them."""
    if placement is None:
        return {"placed": None, "moving_to": None}
    return {"placed": placement.host, "moving_to": placement.moving_to}


def attachment(row: Row) -> Attachment:
    """How a port is attached."""
    switch = columns.one(row, "switch")
    staged = columns.one(row, "staged")
    return Attachment(
        port=PortName(columns.one(row, "port")),
        host=HostName(columns.one(row, "host")),
        kind=AttachmentKind(columns.one(row, "kind")),
        network=NetworkName(columns.one(row, "network")),
        mac=Mac(columns.one(row, "mac")),
        vm=columns.one(row, "vm"),
        vlan=columns.one(row, "vlan"),
        switch=None if switch is None else SwitchName(switch),
        staged=None if staged is None else HostName(staged),
        appliance=columns.one(row, "appliance") or 1,
        shared=bool(columns.one(row, "shared")),
    )


def attachment_cells(attachment: Attachment) -> Cells:
    """The columns for that."""
    return {
        "port": attachment.port,
        "host": attachment.host,
        "kind": attachment.kind.value,
        "network": attachment.network,
        "mac": attachment.mac,
        "vm": attachment.vm,
        "vlan": attachment.vlan,
        "switch": attachment.switch,
        "staged": attachment.staged,
        "appliance": None if attachment.appliance == 1 else attachment.appliance,
        "shared": attachment.shared,
    }


def plugged(row: Row) -> Plugged | None:
    """What is reported of an attachment; None before anything is."""
    said = Plugged(
        device=columns.one(row, "device"),
        outage_ms=columns.one(row, "outage_ms"),
        card=columns.one(row, "card"),
    )
    return None if said == Plugged() else said


def plugged_cells(plugged: Plugged) -> Cells:
    """The columns for that."""
    return {"device": plugged.device, "outage_ms": plugged.outage_ms}


def move(row: Row) -> Move:
    """A migration of a port's VM."""
    return Move(
        begun=columns.one(row, "begun"),
        origin=HostName(columns.one(row, "origin")),
        target=HostName(columns.one(row, "target")),
        staged=columns.one(row, "staged"),
        arrived=columns.one(row, "arrived"),
        finalised=columns.one(row, "finalised"),
        returned=columns.one(row, "returned"),
    )


def move_cells(port: PortName, move: Move) -> Cells:
    """The columns for that; only those of times that are known."""
    times = {
        "staged": move.staged,
        "arrived": move.arrived,
        "finalised": move.finalised,
        "returned": move.returned,
    }
    return {
        "port": port,
        "begun": move.begun,
        "origin": move.origin,
        "target": move.target,
        **{name: when for name, when in times.items() if when is not None},
    }


def tag(row: Row) -> Tag:
    """A VLAN and who holds it."""
    return Tag(
        scope=columns.one(row, "scope"),
        vlan=columns.one(row, "vlan"),
        holder=columns.one(row, "holder"),
        released=columns.one(row, "released"),
    )


def tag_cells(tag: Tag) -> Cells:
    """The columns for that."""
    return {"scope": tag.scope, "vlan": tag.vlan, "holder": tag.holder, "released": tag.released}
