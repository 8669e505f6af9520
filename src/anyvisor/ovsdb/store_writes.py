# SPDX-License-Identifier: Apache-2.0
"""What the store writes: each method composes one transaction, in the replica's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import uuid4

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import ConflictError, TerminalError
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host
from anyvisor.model.move import Move
from anyvisor.model.names import HostName, ObjectKey, PortName
from anyvisor.model.site import Site
from anyvisor.model.state import Tag
from anyvisor.ovsdb import cells, columns, intent_rows, state_rows
from anyvisor.ovsdb.cells import Cells
from anyvisor.ovsdb.picture import Picture
from anyvisor.ovsdb.replica import Row
from anyvisor.ovsdb.transaction import Transaction


class StoreWrites:
    """Compares with the picture, so that only differences are sent."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    # --- users ------------------------------------------------------------------------------------------------------

    def write_site(self, transaction: Transaction, site: Site) -> tuple[ObjectKey, ...]:
        """Make the users' columns equal to `site`. The generation fences: it counts on by one, from what we saw."""
        changed = [key for kind in intent_rows.KINDS for key in self._write_kind(transaction, kind, site)]
        whole = self._picture.row("Global")
        if whole is None:
            whole = transaction.insert(transaction.idl.tables["Global"])
            cells.fill(whole, {"owner": str(uuid4()), "generation": 0, **intent_rows.global_cells(site)})
            changed.append(intent_rows.GLOBAL_KEY)
        elif self._differs(site):
            cells.put(whole, intent_rows.global_cells(site))
            changed.append(intent_rows.GLOBAL_KEY)
        if changed:
            whole.verify("generation")
            whole.generation = columns.one(whole, "generation") + 1
        return tuple(changed)

    def _differs(self, site: Site) -> bool:
        held = self._picture.part("global")
        return bool(held.get("controller") != site.controller or held.get("policy") != site.policy)

    def _write_kind(
        self, transaction: Transaction, kind: intent_rows.Kind, site: Site
    ) -> Iterable[ObjectKey]:
        held = self._picture.part(kind.part)
        wanted = getattr(site, kind.part)
        for name in sorted(held.keys() | wanted.keys()):
            if held.get(name) == wanted.get(name):
                continue
            row = self._picture.row(kind.table, name)
            if name not in wanted:
                if kind.part == "hosts" and held[name].manager in site.managers:
                    continue
                if row is not None:
                    row.delete()
            elif row is None:
                cells.fill(transaction.insert(transaction.idl.tables[kind.table]), kind.write(wanted[name]))
            else:
                cells.put(row, kind.write(wanted[name]))
            yield kind.key(name)

    # --- anyvisord --------------------------------------------------------------------------------------------------

    def decide(self, transaction: Transaction, decision: Decision) -> None:
        """Write the columns of anyvisord."""
        for host, found in decision.found.items():
            self._find(transaction, host, found)
        for host, scheme in decision.schemes.items():
            self._update("Host", host, {"scheme": scheme.value if scheme is not None else None}, scheme)
        for host, duties in decision.duties.items():
            self._update("Host", host, state_rows.duties_cells(duties), None)
        for port, state in decision.ports.items():
            self._update("Port", port, state_rows.port_state_cells(state), state)
        for port, attachment in decision.attachments.items():
            self._attach(transaction, port, attachment)
        for key, tag in decision.tags.items():
            self._tag(transaction, key, tag)
        for port, placement in decision.placements.items():
            self._update("Port", port, state_rows.placement_cells(placement), placement)
        for (port, begun), move in decision.moves.items():
            self._move(transaction, port, begun, move)
        for port, card in decision.cards.items():
            plugged = self._picture.row("Attachment", port)
            if plugged is not None:
                cells.put(plugged, {"card": card})
        for about, conditions in decision.conditions.items():
            row = self._object(about)
            if row is not None:  # about what is gone there is nothing to say
                cells.put(row, {"conditions": cells.conditions_cell(conditions)})
        self._decide_whole(decision)

    def _decide_whole(self, decision: Decision) -> None:
        whole = {"applied": decision.applied, "underlay_mtu": decision.underlay_mtu}
        said = {name: number for name, number in whole.items() if number is not None}
        if said:
            row = self._picture.row("Global")
            if row is None:
                raise ConflictError("there is no intent yet")
            cells.put(row, said)

    def _find(self, transaction: Transaction, name: HostName, found: Host | None) -> None:
        """A host as its manager reports it. A row without a manager is the users'."""
        row = self._picture.row("Host", name)
        if row is not None and columns.one(row, "manager") is None:
            return
        kind = intent_rows.KIND_OF_TABLE["Host"]
        if row is None and found is not None:
            cells.fill(transaction.insert(transaction.idl.tables["Host"]), kind.write(found))
        elif row is not None and found is None:
            row.delete()
        elif row is not None:
            cells.put(row, kind.write(found))

    def _update(self, table: str, name: str, wanted: Cells, decided: object) -> None:
        row = self._picture.row(table, name)
        if row is not None:
            cells.put(row, wanted)
        elif decided is not None:
            raise ConflictError(f"{table.lower()} {name} has been removed from the intent")

    def _object(self, key: ObjectKey) -> Row | None:
        table = intent_rows.TABLE_OF_KIND[key.kind]
        return self._picture.row(table) if table == "Global" else self._picture.row(table, key.name)

    def _attach(self, transaction: Transaction, port: PortName, attachment: Attachment | None) -> None:
        row = self._picture.row("Attachment", port)
        if attachment is None:
            if row is not None:
                row.delete()
            return
        wanted = state_rows.attachment_cells(attachment)
        if row is None:
            cells.fill(transaction.insert(transaction.idl.tables["Attachment"]), wanted)
            return
        if columns.one(row, "host") != attachment.host:
            wanted = {**wanted, "device": None, "outage_ms": None, "card": None}
        cells.put(row, wanted)

    def _move(self, transaction: Transaction, port: PortName, begun: int, move: Move | None) -> None:
        row = self._picture.row("Move", port, begun)
        if move is None:
            if row is not None:
                row.delete()
        elif row is None:
            cells.fill(transaction.insert(transaction.idl.tables["Move"]), state_rows.move_cells(port, move))
        else:
            times = state_rows.move_cells(port, move)
            cells.put(row, {name: cell for name, cell in times.items() if columns.one(row, name) is None})

    def _tag(self, transaction: Transaction, key: tuple[str, int], tag: Tag | None) -> None:
        row = self._picture.row("Tag", *key)
        if tag is None:
            if row is not None:
                row.delete()
            return
        if row is None:
            cells.fill(transaction.insert(transaction.idl.tables["Tag"]), state_rows.tag_cells(tag))
            return
        held = state_rows.tag(row)
        if not held.released and held.holder != tag.holder:
            raise ConflictError(f"VLAN {tag.vlan} of {tag.scope} is held by {held.holder}")
        row.verify("holder")
        row.verify("released")
        cells.put(row, state_rows.tag_cells(tag))

    # --- agents -----------------------------------------------------------------------------------------------------

    def report(self, report: HostReport) -> None:
        """Write the columns of an agent. What it says of attachments that are gone is dropped."""
        row = self._picture.row("Host", report.host)
        if row is None:
            raise TerminalError(
                f"the intent has no host {report.host}",
                hint="add it to the site file, or correct the agent's `host`",
            )
        if not report.partial:
            carried = report.carried.value if report.carried is not None else None
            cells.put(row, {"carried": carried, "agent_conditions": cells.conditions_cell(report.conditions)})
        if report.inner_vlans is not None:
            cells.put(row, {"inner_vlans": state_rows.vlans_cell(report.inner_vlans)})
        if report.sighted is not None:
            cells.put(row, state_rows.sighted_cells(report.sighted))
        for port, plugged in report.plugged.items():
            attachment = self._picture.row("Attachment", port)
            if attachment is not None:
                cells.put(attachment, state_rows.plugged_cells(plugged))

    # --- bookkeeping ------------------------------------------------------------------------------------------------

    def forget(self, keys: Collection[ObjectKey]) -> None:
        """Delete attachments and held tags of objects that the intent no longer has.

        The tag of a vanished port on a native switch stays held: nobody has seen its vNIC leave yet.
        """
        ports = {
            key.name for key in keys if key.kind == "port" and key.name not in self._picture.part("ports")
        }
        networks = {
            key.name
            for key in keys
            if key.kind == "network" and key.name not in self._picture.part("networks")
        }
        for port in ports:
            row = self._picture.row("Attachment", port)
            if row is not None:
                row.delete()
            for move in self._picture.part("moves").get(PortName(port), ()):
                past = self._picture.row("Move", port, move.begun)
                if past is not None:
                    past.delete()
        if networks:
            self._forget_tags(networks)

    def _forget_tags(self, networks: Collection[str]) -> None:
        for (scope, vlan), tag in self._picture.part("tags").items():
            forgotten = scope.startswith("physical/") and tag.holder in networks and not tag.released
            row = self._picture.row("Tag", scope, vlan) if forgotten else None
            if row is not None:
                row.delete()
