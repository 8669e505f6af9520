# SPDX-License-Identifier: Apache-2.0
"""On what terms a vNIC is plugged, where its manager is told such things (XAPI): its port's name, its addresses."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Card, Terms
from anyvisor.model.host import Host
from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.names import Mac
from anyvisor.planner.facts import traits


def terms_of(host: Host, shown: Host, attachment: Attachment, addresses: Collection[str]) -> Terms | None:
    """What its manager is to be told; None where there is no such thing. `shown` is the host as the manager shows it.

    The integration bridge binds a vNIC by its port's name. A native switch may at least let nothing but the port's
    addresses pass, where these are known.
    """
    if not traits.in_pool(host):
        return None
    if attachment.kind is AttachmentKind.VIF:
        return Terms(iface=attachment.port)
    if not addresses or not shown.facts.get(traits.VIF_LOCKING):
        return Terms()
    return Terms(addresses=_allowed(attachment.mac, addresses))


def agreed(card: Card, terms: Terms | None) -> bool:
    """Whether the card is plugged on these terms. One that is cut off by its operator needs no lock."""
    if terms is None:
        return True
    if card.homeless or card.terms is None:
        return False
    return card.terms == terms or (not card.connected and card.terms.iface == terms.iface)


def _allowed(mac: Mac, addresses: Collection[str]) -> tuple[str, ...]:
    """With IPv6 the link-local address too, as the kernel makes it of the MAC: without it there are no neighbours."""
    found = {str(ip_address(address)) for address in addresses}
    if any(":" in address for address in found):
        found.add(_link_local(mac))
    return tuple(sorted(found))


def _link_local(mac: Mac) -> str:
    octets = [int(part, 16) for part in mac.split(":")]
    suffix = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + suffix))
