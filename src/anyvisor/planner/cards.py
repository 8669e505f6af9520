# SPDX-License-Identifier: Apache-2.0
"""What the cards of a machine mean for its host: whose vNIC a representor is, and what is wrong with a card. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from anyvisor.model.card import Eswitch, SwitchingCard
from anyvisor.model.host import Host
from anyvisor.model.names import Mac
from anyvisor.model.vnic import Vnic
from anyvisor.planner.facts import traits
from anyvisor.planner.facts.vendors import how_to_switch


def function_vnics(cards: Iterable[SwitchingCard]) -> tuple[Vnic, ...]:
    """A vNIC for each function that has an address: it was given to a VM. Two with one address are nobody's."""
    functions = [each for card in cards for each in card.functions if each.mac is not None]
    often = Counter(each.mac for each in functions)
    return tuple(
        Vnic(mac=Mac(each.mac), device=each.device)
        for each in sorted(functions, key=lambda each: each.device)
        if each.mac is not None and often[each.mac] == 1
    )


def serial_of(host: Host, cards: Iterable[SwitchingCard]) -> str | None:
    """The serial number of the card that serves the host: as the card says, else as the site does."""
    nic = traits.smart_nic(host)
    stated = nic.dpu if nic is not None else None
    told = [card.serial for card in cards if card.serial is not None]
    return stated if stated in told or not told else told[0]


def as_its_card(host: Host) -> Host:
    """The host as its DPU sees it: with the DPU's cables and what holds them alone, whatever other cards there are. A
    host that drives its card itself is seen whole.
    """
    card = traits.smart_nic(host)
    if card is None or card.dpu is None:
        return host
    nics = tuple(nic for nic in host.nics if nic.dpu == card.dpu)
    cables = {nic.name for nic in nics}
    switches = tuple(switch for switch in host.switches if cables.intersection(switch.uplinks))
    return replace(host, nics=nics, switches=switches)


def in_legacy_mode(host: Host, cards: Iterable[SwitchingCard]) -> bool:
    """The card passes frames between functions and cable by MAC address, past every flow."""
    return any(card.eswitch is Eswitch.LEGACY for card in _serving(host, tuple(cards)))


def card_problems(host: Host, cards: Iterable[SwitchingCard]) -> tuple[str, ...]:
    """What keeps the host's vNICs from being switched by its card, in words; empty if nothing does."""
    return tuple(_problems(host, tuple(cards)))


def _serving(host: Host, cards: tuple[SwitchingCard, ...]) -> tuple[SwitchingCard, ...]:
    """Those that the site means: the DPU of that serial number, else whose ports it says can switch. All where none is
    known by that. A management port whose switch is in legacy mode is nobody's fault.
    """
    nic = traits.smart_nic(host)
    if nic is not None and nic.dpu is not None:
        meant = [card for card in cards if card.serial == nic.dpu]
    else:
        named = {nic.name for nic in host.nics if nic.switchdev}
        meant = [card for card in cards if named.intersection(card.ports)]
    return tuple(meant) or cards


def _problems(host: Host, cards: tuple[SwitchingCard, ...]) -> Iterator[str]:
    if not cards:
        yield "no card that can switch is seen on this machine (devlink dev show; phys_switch_id in /sys/class/net)"
        return
    nic = traits.smart_nic(host)
    serials = sorted(card.serial for card in cards if card.serial is not None)
    if nic is not None and nic.dpu is not None and serials and nic.dpu not in serials:
        yield f"the site says that {host.name} has the DPU {nic.dpu}, but this is {', '.join(serials)}"
    serving = _serving(host, cards)
    for card in serving:
        if card.eswitch is Eswitch.LEGACY:
            yield f"{card.address} is in legacy mode: {how_to_switch(card.driver, card.address)}"
    if not any(card.functions or card.eswitch is Eswitch.LEGACY for card in serving):
        yield "the card has no function with a representor: make virtual functions for the VMs"
    often = Counter(each.mac for card in cards for each in card.functions if each.mac is not None)
    for mac in sorted(mac for mac, times in often.items() if times > 1):
        yield f"{often[mac]} functions have the address {mac}: which of them a VM has cannot be told"
