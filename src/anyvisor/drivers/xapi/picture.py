# SPDX-License-Identifier: Apache-2.0
"""The estate that the records of a pool amount to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from anyvisor.drivers.xapi import hosts, names
from anyvisor.drivers.xapi.api import NULL
from anyvisor.drivers.xapi.pool import Pool, Record
from anyvisor.model.estate import Backing, Card, CardId, CardProblem, Estate, Group, Terms
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.names import HostName, Mac, SwitchName

_RUNNING = frozenset({"Running", "Paused"})
_HIDDEN = ("is_a_template", "is_a_snapshot", "is_control_domain")


class Picture:
    """Of one moment. `owner` is whose marks are ours, `cluster` what the pool is called, `before` the `places` of the
    picture before this one.
    """

    def __init__(self, pool: Pool, owner: str, cluster: str, before: Mapping[str, str] | None = None) -> None:
        self._before = before or {}
        self.places: dict[str, str] = {}
        """The host of each VM, by references."""
        self.pool = pool
        self.owner = owner
        self.hosts = hosts.host_names(pool)
        self.labels = pool.labels()
        self.ours: dict[str, Group] = dict(self._groups())
        """The groups of ours by the references of their networks."""
        self.vifs: dict[CardId, str] = {}
        """References of the VIFs by card."""
        cards = {card.id: card for card in self._cards()}
        self.estate = Estate(
            hosts={
                name: hosts.host_of(pool, ref, name, cluster)
                for ref, name in sorted(self.hosts.items(), key=lambda item: item[1])
            },
            cards=cards,
            groups={group.identity: group for group in self.ours.values()},
        )

    def networks_of(self, switch: str, name: str) -> list[str]:
        """The references of our networks that are that group. After a call that was cut off there may be two."""
        found = [ref for ref, group in self.ours.items() if group.identity == (switch, name)]
        return sorted(found, key=lambda ref: str(self.pool.rows("network")[ref]["uuid"]))

    def foreign(self, switch: str, name: str) -> bool:
        """Whether somebody else's network is called so there."""
        return any(
            row["name_label"] == name and self.pool.base_bridge(row, ref) == switch
            for ref, row in self.pool.rows("network").items()
            if ref not in self.ours
        )

    def backing_of(self, vif: Record, kind: SwitchKind) -> Backing | None:
        """Where a VIF is plugged."""
        ref = vif["network"]
        network = self.pool.row("network", ref)
        if network is None:
            return None
        group = self.ours.get(ref)
        if group is not None:
            return Backing(switch=group.switch, kind=kind, group=group.name)
        switch = SwitchName(self.pool.base_bridge(network, ref))
        return Backing(switch=switch, kind=kind, group=self.labels[ref])

    def _groups(self) -> Iterator[tuple[str, Group]]:
        for ref, row in self.pool.rows("network").items():
            marks = row["other_config"]
            if marks.get(names.OWNER) != self.owner:
                continue
            vlan = marks.get(names.VLAN, "")
            switch = marks.get(names.SWITCH) or str(row["bridge"])
            yield (
                ref,
                Group(
                    switch=SwitchName(switch),
                    name=str(row["name_label"]),
                    key=marks.get(names.KEY, ""),
                    vlan=int(vlan) if vlan.isdigit() else None,
                    partial=vlan.isdigit() and bool(self.lacking(ref, switch)),
                ),
            )

    def lacking(self, network: str, switch: str) -> dict[str, str]:
        """The cards beneath that VLAN network that it is still to be laid on: their references by host's. One on a host
        that does not answer waits for it.
        """
        there = {pif["host"] for pif in self.pool.pifs_on(network)}
        return {
            pif["host"]: ref
            for ref, pif in self.pool.bases(switch)
            if pif["host"] not in there
            and (host := self.pool.row("host", pif["host"])) is not None
            and self.pool.live(host)
        }

    def _cards(self) -> Iterator[Card]:
        for ref, vif in self.pool.rows("VIF").items():
            vm = self.pool.row("VM", vif["VM"])
            if vm is None or any(vm[key] for key in _HIDDEN):
                continue
            place = self._host(vif["VM"], vm)
            if place is None:
                continue
            self.places[vif["VM"]] = place
            card = self._card(vif, vm, place)
            self.vifs[card.id] = ref
            yield card

    def _card(self, vif: Record, vm: Record, place: str) -> Card:
        kind = hosts.switch_kind(self.pool.rows("host")[place])
        other, before = vif["other_config"], names.before_of(vif["other_config"], self.owner)
        running = vm["power_state"] in _RUNNING
        return Card(
            id=CardId(str(vm["uuid"]), str(vif["device"])),
            mac=Mac(str(vif["MAC"]).lower()),
            vm=str(vm["name_label"]),
            host=self.hosts[place],
            moving_to=self._target(vm, place),
            running=running,
            connected=vif["locking_mode"] != "disabled" and bool(vif["currently_attached"] or not running),
            backing=self.backing_of(vif, kind),
            problem=self._problem(vif),
            taken=before is not None,
            homeless=before is not None and names.HOMELESS in other,
            terms=self.terms_of(vif),
        )

    def terms_of(self, vif: Record) -> Terms | None:
        """On what terms a VIF is plugged; None while it is not known where it is."""
        other, before = vif["other_config"], names.before_of(vif["other_config"], self.owner)
        if names.MOVING in other:
            return None
        iface = str(other.get(names.IFACE, ""))
        addresses: tuple[str, ...] | None = None
        if vif["locking_mode"] == "locked":
            addresses = tuple(sorted({*vif["ipv4_allowed"], *vif["ipv6_allowed"]}))
        group = self.ours.get(vif["network"])
        if before is not None and (group is None or group.vlan is not None):
            # What was so before is nothing of ours; only where the controller binds vNICs it must be gone.
            iface = "" if iface == before.iface else iface
            addresses = None if lock_of(vif) == (before.mode, before.ipv4, before.ipv6) else addresses
        return Terms(iface=iface or None, addresses=addresses)

    def _host(self, ref: str, vm: Record) -> str | None:
        """Where it runs. Of one that does not, where it ran when it was seen last, or is to run; else the master, for
        want of a better answer: XAPI keeps no place for it.
        """
        master = next((row["master"] for row in self.pool.rows("pool").values()), NULL)
        target = vm["scheduled_to_be_resident_on"]
        places = (vm["resident_on"], target, self._before.get(ref, NULL), vm["affinity"], master)
        return next((place for place in places if place in self.hosts), None)

    def _target(self, vm: Record, place: str) -> HostName | None:
        target = vm["scheduled_to_be_resident_on"]
        return self.hosts.get(target) if target != place and vm["resident_on"] == place else None

    def _problem(self, vif: Record) -> CardProblem | None:
        passed = any(pif["sriov_logical_PIF_of"] for pif in self.pool.pifs_on(vif["network"]))
        return CardProblem.PASSTHROUGH if passed else None


def lock_of(vif: Record) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Mode and addresses, to compare by."""
    return (
        str(vif["locking_mode"]),
        tuple(sorted(vif["ipv4_allowed"])),
        tuple(sorted(vif["ipv6_allowed"])),
    )
