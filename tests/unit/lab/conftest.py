# SPDX-License-Identifier: Apache-2.0
from ipaddress import ip_network
from pathlib import Path

import pytest

from anyvisor.codec.site import parse_site
from anyvisor.lab import sitefile, topology_file
from anyvisor.lab.expectation import Picture
from anyvisor.lab.place import Place
from anyvisor.model.kinds import Scheme


def eui64(prefix, mac):
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    interface = int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:])
    return str(ip_network(prefix)[interface])


@pytest.fixture
def place():
    return Place(name="paper", root=Path("/run/anyvisor/lab"))


@pytest.fixture
def topology():
    return topology_file.load()


@pytest.fixture
def site(place, topology):
    return parse_site(sitefile.text(place, topology))


@pytest.fixture
def picture_with(site):
    """The lab as it stands once its site is applied, with the given scheme on kvm3."""

    def make(kvm3):
        addresses = {}
        for port in site.ports.values():
            subnets = site.networks[port.network].subnets
            six = tuple(eui64(subnet.cidr, port.mac) for subnet in subnets if subnet.version == 6)
            addresses[port.name] = port.ips + six
        schemes = {"kvm1": Scheme.BASELINE, "kvm2": Scheme.BASELINE, "kvm3": kvm3}
        return Picture(site=site, schemes=schemes, addresses=addresses)

    return make
