# SPDX-License-Identifier: Apache-2.0
"""The Open vSwitch of one ESXi host: its bridges, their ports and flows brought to what they shall be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from anyvisor.lab.esxi import flows
from anyvisor.lab.esxi.picture import Bridge, Socket
from anyvisor.lab.place import Place
from anyvisor.lab.programs import Programs, run

PLUG = "plug"
_COOKIE = re.compile(r"cookie=(0x[0-9a-f]+)")
Steps = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A port as the switch has it. `number` None: its device is not there."""

    number: int | None
    plug: str = ""


Picture = Mapping[str, Mapping[str, Seen]]
"""Ports by name, per bridge, but for the bridge's own."""


class Switches:
    """The host's Open vSwitch. Stateless: everything is looked at before it is changed."""

    def __init__(self, place: Place, host: str, programs: Programs) -> None:
        self._database = f"--db={place.switch_database(host)}"
        self._run = place.part(host) / "run"
        self._programs = programs

    def observe(self) -> Picture:
        """What there is."""
        columns = (
            *("--", "--columns=name,ports", "list", "Bridge"),
            *("--", "--columns=_uuid,name", "list", "Port"),
            *("--", "--columns=name,ofport,external_ids", "list", "Interface"),
        )
        return parse(self._vsctl("--format=json", *columns))

    def change(self, steps: Steps) -> None:
        """Carry out in one transaction; returns when the switch has done it."""
        if steps:
            self._vsctl(*(word for step in steps for word in ("--", *step)))

    def settle(self, bridge: Bridge, ports: Mapping[str, Seen], addresses: Mapping[str, str]) -> bool:
        """Bring the flows to what the bridge's sockets say; whether there was anything to do."""
        wanted = flows.rules(switch_of(bridge, ports, addresses))
        there = _COOKIE.findall(self._ofctl("dump-flows", "--no-names", self._socket(bridge.name)))
        lines = flows.changes(wanted, (int(cookie, 16) for cookie in there))
        if lines:
            given = "".join(f"{line}\n" for line in lines)
            self._ofctl("--bundle", "add-flows", self._socket(bridge.name), "-", given=given)
        return bool(lines)

    def send(self, bridge: str, frame: bytes, port: int) -> None:
        """Let a frame out of a port, as the switch itself."""
        order = f"in_port=controller packet={frame.hex()} actions=output:{port}"
        self._ofctl("packet-out", self._socket(bridge), order)

    def _socket(self, bridge: str) -> str:
        return f"unix:{self._run}/{bridge}.mgmt"

    def _vsctl(self, *arguments: str) -> str:
        return run(self._programs.command("ovs-vsctl", self._database, "--timeout=20", *arguments))

    def _ofctl(self, *arguments: str, given: str = "") -> str:
        return run(self._programs.command("ovs-ofctl", "-O", "OpenFlow14", *arguments), given=given)


def switch_of(bridge: Bridge, ports: Mapping[str, Seen], addresses: Mapping[str, str]) -> flows.Switch:
    """The bridge with the numbers that its ports have and the addresses that the guests use now."""
    uplinks = [ports[name].number for name in bridge.uplinks[:1] if name in ports]
    stations = (_station(socket, ports, addresses.get(socket.device)) for socket in bridge.sockets)
    return flows.Switch(
        stations=tuple(station for station in stations if station is not None),
        uplink=uplinks[0] if uplinks else None,
    )


def _station(socket: Socket, ports: Mapping[str, Seen], address: str | None) -> flows.Station | None:
    """None: it is not there yet, or its guest took an address that it may not have and is cut off for that."""
    seen = ports.get(socket.device)
    if seen is None or seen.number is None:
        return None
    changed = address is not None and address != socket.station.mac
    if changed and not socket.may_change:
        return None
    return replace(socket.station, port=seen.number, mac=address or socket.station.mac)


def removals(wanted: Iterable[Bridge], seen: Picture) -> Steps:
    """Take away bridges that are no switch's, and ports that are no socket's there."""
    return tuple(_removals({bridge.name: bridge for bridge in wanted}, seen))


def _removals(wanted: Mapping[str, Bridge], seen: Picture) -> Iterator[tuple[str, ...]]:
    for name, ports in seen.items():
        if name not in wanted:
            yield "del-br", name
            continue
        kept = port_names(wanted[name])
        for port in ports:
            if port not in kept:
                yield "del-port", name, port


def additions(wanted: Iterable[Bridge], seen: Picture) -> Steps:
    """Make what is missing; nothing that is there is touched."""
    return tuple(step for bridge in wanted for step in _additions(bridge, seen.get(bridge.name)))


def _additions(bridge: Bridge, ports: Mapping[str, Seen] | None) -> Iterator[tuple[str, ...]]:
    if ports is None:
        yield "add-br", bridge.name
        yield (
            *("set", "bridge", bridge.name, "datapath_type=netdev", "fail-mode=secure"),
            *("other-config:disable-in-band=true", f"external-ids:native={json.dumps(bridge.title)}"),
        )
    plugs = {socket.device: socket.plug for socket in bridge.sockets}
    for port in port_names(bridge):
        seen = (ports or {}).get(port)
        if seen is None:
            yield "add-port", bridge.name, port
        plug = plugs.get(port, "")
        if plug and (seen is None or seen.plug != plug):
            yield "set", "Interface", port, f"external-ids:{PLUG}={json.dumps(plug)}"


def port_names(bridge: Bridge) -> tuple[str, ...]:
    """The ports that the bridge shall have: the uplink in use, and the sockets."""
    return (*bridge.uplinks[:1], *(socket.device for socket in bridge.sockets))


def parse(text: str) -> Picture:
    """The picture in what `ovs-vsctl` lists as JSON: bridges, ports, interfaces, a line each."""
    bridges, ports, interfaces = (json.loads(line)["data"] for line in text.splitlines())
    names = {_one(uuid): name for uuid, name in ports}
    seen = {
        name: Seen(number=_number(number), plug=dict(external[1]).get(PLUG, ""))
        for name, number, external in interfaces
    }
    return {
        bridge: {names[u]: seen[names[u]] for u in _many(uuids) if names[u] != bridge and names[u] in seen}
        for bridge, uuids in bridges
    }


def _one(cell: Any) -> str:
    return str(cell[1])


def _many(cell: Any) -> list[str]:
    return [str(item[1]) for item in cell[1]] if cell[0] == "set" else [str(cell[1])]


def _number(cell: Any) -> int | None:
    return cell if isinstance(cell, int) and cell > 0 else None
