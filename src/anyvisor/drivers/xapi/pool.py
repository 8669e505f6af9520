# SPDX-License-Identifier: Apache-2.0
"""The pool's records as XAPI told them last, and how they hang together. Whole numbers are text there.

Source: xen-api, ocaml/idl/datamodel.ml.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from anyvisor.drivers.xapi.api import NULL

Record = Mapping[str, Any]
CLASSES = (
    "pool", "host", "host_metrics", "network", "PIF", "PIF_metrics", "VLAN", "Bond", "VM", "VIF", "SDN_controller",
)  # fmt: skip
_BY_LOWER = {name.lower(): name for name in CLASSES}
UNTAGGED = "-1"


class Pool:
    """By class and reference. Changed by `take` alone."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Record]] = {name: {} for name in CLASSES}
        self._pifs_on: Mapping[str, list[Record]] | None = None
        self._bases: Mapping[str, list[tuple[str, Record]]] | None = None

    def take(self, events: Iterable[Record]) -> None:
        """What ``event.from`` tells."""
        self._pifs_on = self._bases = None
        for event in events:
            kind = _BY_LOWER.get(str(event["class"]).lower())
            if kind is None:
                continue
            if event["operation"] == "del":
                self._held[kind].pop(event["ref"], None)
            elif "snapshot" in event:
                self._held[kind][event["ref"]] = event["snapshot"]

    def lacks(self, counts: Mapping[str, Any]) -> bool:
        """Whether XAPI has another number of objects of some class than we have seen."""
        return any(
            name.lower() in counts and int(counts[name.lower()]) != len(self._held[name]) for name in CLASSES
        )

    def rows(self, kind: str) -> Mapping[str, Record]:
        """All objects of a class."""
        return self._held[kind]

    def row(self, kind: str, ref: str) -> Record | None:
        """One object; None if it is not there."""
        return self._held[kind].get(ref)

    @property
    def restrictions(self) -> Mapping[str, str]:
        """What the licence does not allow."""
        return next((row.get("restrictions", {}) for row in self._held["pool"].values()), {})

    @property
    def sdn_controller(self) -> str:
        """Another SDN controller that the pool obeys; ``""`` without one. We never make such a record."""
        for row in self._held["SDN_controller"].values():
            return f"{row['protocol']}:{row['address']}".rstrip(":")
        return ""

    def live(self, host: Record) -> bool:
        """Whether the master hears of that host."""
        metrics = self.row("host_metrics", host["metrics"])
        return metrics is None or bool(metrics["live"])

    def pifs_on(self, network: str) -> list[Record]:
        """The PIFs of a network, one per host that it reaches."""
        if self._pifs_on is None:
            by_network: defaultdict[str, list[Record]] = defaultdict(list)
            for pif in self._held["PIF"].values():
                by_network[pif["network"]].append(pif)
            self._pifs_on = by_network
        return self._pifs_on.get(network, [])

    def bases(self, switch: str) -> list[tuple[str, Record]]:
        """The PIFs, with their references, that are the way out of the bridge of that name, one per host."""
        if self._bases is None:
            by_bridge: defaultdict[str, list[tuple[str, Record]]] = defaultdict(list)
            for ref, pif in self._held["PIF"].items():
                network = self.row("network", pif["network"])
                if network is not None and leads_out(pif):
                    by_bridge[network["bridge"]].append((ref, pif))
            self._bases = by_bridge
        return self._bases.get(switch, [])

    def base_bridge(self, network: Record, ref: str) -> str:
        """The bridge that a network's frames are switched in: of a VLAN network that of the card beneath."""
        for pif in self.pifs_on(ref):
            vlan = self.row("VLAN", pif["VLAN_master_of"])
            tagged = None if vlan is None else self.row("PIF", vlan["tagged_PIF"])
            below = None if tagged is None else self.row("network", tagged["network"])
            if below is not None:
                return str(below["bridge"])
        return str(network["bridge"])

    def labels(self) -> dict[str, str]:
        """A name for each network. Labels need not be unique: one that is not has its network's uuid behind it."""
        networks = self._held["network"]
        counts = Counter(row["name_label"] for row in networks.values())
        return {
            ref: row["name_label"]
            if counts[row["name_label"]] == 1
            else f"{row['name_label']} ({row['uuid']})"
            for ref, row in networks.items()
        }


def leads_out(pif: Record) -> bool:
    """Whether it is a card, or a bond of some: no VLAN, no slave, nothing made on top."""
    whole = pif["physical"] or pif["bond_master_of"]
    return bool(whole) and pif["VLAN"] == UNTAGGED and pif["bond_slave_of"] == NULL
