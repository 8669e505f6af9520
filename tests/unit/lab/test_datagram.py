# SPDX-License-Identifier: Apache-2.0
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.lab.datagram import End, build, internet_checksum

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
PAYLOADS = st.binary(max_size=64)
PORTS = st.integers(min_value=1, max_value=65535)


@pytest.mark.parametrize("addresses", [st.ip_addresses(v=4), st.ip_addresses(v=6)], ids=["IPv4", "IPv6"])
def test_whoever_receives_the_frame_finds_every_field_and_both_checksums_right(addresses):
    @given(source=addresses, target=addresses, port=PORTS, payload=PAYLOADS)
    def check(source, target, port, payload):
        sender = End(mac=MACS[0], ip=str(source), port=port)
        frame = build(sender, End(mac=MACS[1], ip=str(target), port=53), payload)

        assert (frame[:6].hex(":"), frame[6:12].hex(":")) == (MACS[1], MACS[0])
        packet = frame[14:]
        head = 20 if source.version == 4 else 40
        kind = IPv4Address if source.version == 4 else IPv6Address
        wide = len(source.packed)
        assert (kind(packet[head - 2 * wide : head - wide]), kind(packet[head - wide : head])) == (
            source,
            target,
        )
        datagram = packet[head:]
        assert datagram[8:] == payload
        assert int.from_bytes(datagram[4:6]) == len(datagram)
        # RFC 1071: over a field that holds its own checksum the sum is nought.
        pseudo = source.packed + target.packed + len(datagram).to_bytes(4) + (17).to_bytes(4)
        assert internet_checksum(pseudo + datagram) == 0
        if source.version == 4:
            assert internet_checksum(packet[:20]) == 0
            assert int.from_bytes(packet[2:4]) == len(packet)
        else:
            assert int.from_bytes(packet[4:6]) == len(datagram)

    check()
