# SPDX-License-Identifier: Apache-2.0
"""MAC addresses computed from names: the same name always has the same address, with nothing to remember."""

from __future__ import annotations

import hashlib
from collections.abc import Container

from anyvisor.model.names import Mac


def mac_of(name: str, taken: Container[str] = ()) -> Mac:
    """A locally administered unicast MAC for `name`, not in `taken`.

    Its first octet is X2 (administratively assigned, IEEE 802c), so it is never the ``fe`` by which libvirt marks the
    host's end of a vNIC. 44 bits come from the name: among 10,000 names, two are alike once in 350,000 fleets;
    `taken` is for that case, and the answer is stable as long as the other name is taken first.
    """
    attempt = 0
    while True:
        octets = bytearray(hashlib.blake2s(f"{name}\0{attempt}".encode(), digest_size=6).digest())
        octets[0] = (octets[0] & 0xF0) | 0x02
        mac = octets.hex(":")
        if mac not in taken:
            return Mac(mac)
        attempt += 1
