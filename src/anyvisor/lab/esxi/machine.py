# SPDX-License-Identifier: Apache-2.0
"""The cards of VMs on ESXi hosts: made, moved between hosts, switched on and off, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from anyvisor.errors import TerminalError
from anyvisor.lab import namespace
from anyvisor.lab.esxi import links
from anyvisor.lab.esxi.links import Link
from anyvisor.lab.esxi.picture import Cable
from anyvisor.lab.place import Place
from anyvisor.lab.vcenter.client import Counters
from anyvisor.lab.vm import host_mac

PREFIXES = ("tap-", "nic-")
"""The host's ends of cards have such names, and nothing else on an ESXi host has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """Where the host's end of a card is now."""

    host: str
    link: Link


def observe(place: Place, hosts: Mapping[str, object]) -> dict[str, Lying]:
    """The host's ends of all cards, by name."""
    return {
        device: Lying(host=host, link=link)
        for host in hosts
        for device, link in links.read(place.namespace(host), PREFIXES).items()
    }


def arrange(place: Place, cables: Mapping[str, Cable], lying: Mapping[str, Lying]) -> bool:
    """Bring every card to its host and state; whether there was anything to do.

    A card is up only once its host's switch has it, so the ports come first: whoever moves a card takes it out of the
    switch before this, and puts it in afterwards.
    """
    batches: dict[tuple[int, str], list[str]] = {}
    for phase, where, line in _lines(place, cables, lying):
        batches.setdefault((phase, where), []).append(line)
    for (_, where), lines in sorted(batches.items()):
        namespace.batch(lines, inside=where or None)
    for device, cable in cables.items():
        if device not in lying:
            namespace.forgo_transmit_checksum(place.namespace(cable.part), [cable.card])
    return bool(batches)


def _lines(
    place: Place, cables: Mapping[str, Cable], lying: Mapping[str, Lying]
) -> Iterator[tuple[int, str, str]]:
    """Commands, each with its phase and the namespace it belongs into (empty: any)."""
    for device, there in lying.items():
        if device not in cables:
            yield 1, place.namespace(there.host), f"link del {device}"
        elif cables[device].host != there.host:
            target = place.namespace(cables[device].host)
            yield 1, place.namespace(there.host), f"link set {device} netns {target}"
    for device, cable in cables.items():
        if device not in lying:
            yield 2, "", made(place, cable)
        for line in _state(cable, lying.get(device)):
            yield 3, place.namespace(cable.host), line


def _state(cable: Cable, there: Lying | None) -> Iterator[str]:
    moved = there is None or there.host != cable.host
    if there is None or there.link.mtu != cable.mtu:
        yield f"link set {cable.device} mtu {cable.mtu}"
    # A card that moves goes down by itself.
    if moved or (there is not None and there.link.up != cable.up):
        yield f"link set {cable.device} {'up' if cable.up else 'down'}"


def made(place: Place, cable: Cable) -> str:
    """What `ip` is told to make a card."""
    return (
        f"link add {cable.card} netns {place.namespace(cable.part)} address {cable.mac} type veth "
        f"peer name {cable.device} netns {place.namespace(cable.host)} address {host_mac(cable.mac)}"
    )


def addresses(place: Place, cables: Mapping[str, Cable]) -> dict[str, str]:
    """The addresses that guests use now, by the host's end of the card."""
    parts: dict[str, list[Cable]] = {}
    for cable in cables.values():
        parts.setdefault(cable.part, []).append(cable)
    found = {}
    for part, own in parts.items():
        try:
            read = links.addresses(place.namespace(part), [cable.card for cable in own])
        except (OSError, TerminalError):
            continue  # an appliance that was never switched on has no namespace
        found.update({cable.device: read[cable.card] for cable in own if cable.card in read})
    return found


def counters(cable: Cable, link: Link) -> Counters:
    """What a card has counted, seen from the VM: the host's end receives what the VM sends."""
    return Counters(
        key=cable.counter,
        tx_bytes=link.rx_bytes,
        tx_packets=link.rx_packets,
        tx_dropped=link.rx_dropped,
        rx_bytes=link.tx_bytes,
        rx_packets=link.tx_packets,
        rx_dropped=link.tx_dropped,
    )
