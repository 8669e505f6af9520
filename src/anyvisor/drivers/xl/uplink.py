# SPDX-License-Identifier: Apache-2.0
"""Whether the card of a driver domain can carry what its vifs receive.

Frames of guests come in pages that are mapped, not owned, where they are longer than what the back end copies (128
bytes). A card that is itself a vif would have to lend those pages on, which Xen does not do: such frames are lost
without a word. The front end copies them into pages of its own if it is told not to trust its back end.

Source: Linux, drivers/net/xen-netback/netback.c (XEN_NETBACK_TX_COPY_LEN), drivers/net/xen-netfront.c (parameter
``trusted``; Xen security advisory 403); measured on Linux 6.1 under Xen 4.17.
"""

from __future__ import annotations

from pathlib import Path

SYS = Path("/sys")
_FRONT_END = "vif"
CURE = "boot this domain with xen_netfront.trusted=0 in its kernel's parameters"


def lends_pages(card: str, sys: Path = SYS) -> str | None:
    """What is wrong with a card as the way out of a driver domain, None if nothing is."""
    driver = sys / "class" / "net" / card / "device" / "driver"
    if not driver.exists() or driver.resolve().name != _FRONT_END:
        return None
    try:
        trusted = (sys / "module" / "xen_netfront" / "parameters" / "trusted").read_text().strip()
    except OSError:
        trusted = "Y"  # an older kernel never copies
    if trusted == "N":
        return None
    return f"{card} is a vif itself and cannot pass on frames of more than 128 bytes: {CURE}"
