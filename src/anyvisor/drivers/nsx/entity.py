# SPDX-License-Identifier: Apache-2.0
"""The driver of an NSX: a vendor's own controller that is given networks, ports and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyvisor.access import credentials
from anyvisor.access.trust import trust
from anyvisor.contracts.controller import ControllerPlan
from anyvisor.drivers.nsx import difference, ports
from anyvisor.drivers.nsx.client import Client
from anyvisor.drivers.nsx.difference import Write
from anyvisor.drivers.nsx.faults import InUseError
from anyvisor.drivers.nsx.hierarchy import trees
from anyvisor.drivers.nsx.names import SEGMENTS, Names
from anyvisor.drivers.nsx.stored import POLICY_API, read_all, read_ports, read_segments
from anyvisor.errors import ConflictError, RetryableError, TerminalError
from anyvisor.model.entity import EntityWish
from anyvisor.model.names import NetworkName, PortName
from anyvisor.model.site import Manager

if TYPE_CHECKING:
    from anyvisor.contracts.entity import EntityDriver

ZONES = "/infra/sites/default/enforcement-points/default/transport-zones"
_INFRA = f"{POLICY_API}/infra?enforce_revision_check=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long we wait for an answer."""

    answer_seconds: float = 60.0


class NsxEntity:
    """Used by one thread at a time.

    `plan` asks for three lists (segments, groups, policies), one more (vNICs) if there are ports, and one for each
    segment and each policy of ours, however many ports there are. Lists come in pages of 1,000. `apply` is one
    request for each 5,000 objects that change.
    """

    def __init__(self, manager: str, names: Names, client: Client, zone: str) -> None:
        self._manager = manager
        self._names = names
        self._client = client
        self._zone = zone

    @classmethod
    def connect(cls, manager: Manager, owner: str, *, patience: Patience | None = None) -> NsxEntity:
        """The driver of that manager, logged in, its transport zone found.

        Raises:
            TerminalError: address, certificate, credentials or transport zone are wrong.
            UnreachableError: it does not answer.
        """
        if not manager.url or not manager.transport_zone:
            raise TerminalError(f"{manager.name}: an NSX needs its address and a transport zone")
        client = Client(
            manager.name,
            manager.url,
            trust(manager.ca),
            lambda: credentials.read(manager.credentials),
            (patience or Patience()).answer_seconds,
        )
        try:
            zone = _zone(client, manager.name, manager.transport_zone)
        except BaseException:
            client.close()
            raise
        return cls(manager.name, Names(owner), client, zone)

    def close(self) -> None:
        """Log out."""
        self._client.close()

    def plan(self, wish: EntityWish) -> ControllerPlan:
        """What leads to `wish`. A vNIC that vCenter did not plug yet is waited for: no change, no refusal."""
        stored = read_all(self._client, self._names, vifs=bool(wish.ports))
        return difference.plan(wish, stored, self._names, self._zone)

    def apply(self, plan: ControllerPlan) -> None:
        """All or nothing, but for what is still in use: that stays, and is an error when the rest is done."""
        writes = difference.writes_of(plan)
        ready = [write for write in writes if not write.waits]
        try:
            self._write(ready)
        except InUseError:
            # What somebody else still names must not keep the rest from being done.
            self._write([write for write in ready if not _is_named(write)])
            raise
        waiting = [write.path for write in writes if write.waits]
        if waiting:
            raise RetryableError(f"{self._manager}: vNICs are still plugged into {', '.join(waiting)}")

    def places(self) -> Mapping[NetworkName, str]:
        """The policy path of each segment: vCenter has it as the `segmentId` of the port group. One list."""
        found = read_segments(self._client).objects
        keys = {path: self._names.key_of(held) for path, held in found.items() if self._names.owns(held)}
        return {
            NetworkName(key.name): path
            for path, key in keys.items()
            if key.kind == "network" and path.startswith(SEGMENTS)
        }

    def wired(self) -> frozenset[PortName]:
        """One list, and one for each segment of ours."""
        return ports.wired(read_ports(self._client, self._names), self._names)

    def _write(self, writes: list[Write]) -> None:
        try:
            for tree in trees(writes):
                self._client.patch(_INFRA, tree, "writing")
        except ConflictError:
            # Perhaps it was us: an answer that got lost, or a plan carried out twice.
            stored = read_all(self._client, self._names, vifs=False)
            if not all(difference.is_settled(write, stored) for write in writes):
                raise


def _is_named(write: Write) -> bool:
    """Whether it is to be removed, and others may name it."""
    return write.body is None and write.kind in {"Segment", "Group"}


def _zone(client: Client, manager: str, wanted: str) -> str:
    """The path of the transport zone with that path or display name."""
    zones = list(client.pages(f"{POLICY_API}{ZONES}", "reading transport zones"))
    found = [zone for zone in zones if wanted in {zone.get("path"), zone.get("display_name")}]
    if len(found) != 1:
        said = "there is none" if not found else f"there are {len(found)}: name its path"
        raise TerminalError(f"{manager}: transport zone {wanted}: {said}")
    if "VLAN" not in str(found[0].get("tz_type", "")):
        raise TerminalError(f"{manager}: transport zone {wanted} is not for VLANs")
    return str(found[0]["path"])


if TYPE_CHECKING:
    _conforms: type[EntityDriver] = NsxEntity
