# SPDX-License-Identifier: Apache-2.0
from ipaddress import ip_network
from pathlib import Path

import pytest

from anyvisor.codec.site import parse_site
from anyvisor.lab import sitefile, topology_file
from anyvisor.lab.place import Place
from anyvisor.model.attachment import Attachment
from anyvisor.model.kinds import Scheme
from anyvisor.model.state import HostState, PortState, State
from anyvisor.planner.schemes import attachment_kind

SCHEMES = {
    "ref": Scheme.BASELINE,
    "kvm1": Scheme.BASELINE,
    "kvm2": Scheme.SEPARATION,
    "kvm3": Scheme.SUBSTITUTION,
    "kvm4": Scheme.NIC,
    "esx1": Scheme.SEPARATION,
    "esx2": Scheme.APPLIANCE,
    "esx3": Scheme.APPLIANCE,
    "esx4": Scheme.VENDOR,
    "esx5": Scheme.NIC,
    "xen1": Scheme.NIC,
}


def eui64(prefix, mac):
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(ip_network(prefix)[int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:])])


@pytest.fixture(scope="session")
def topology():
    return topology_file.load("conformance")


@pytest.fixture(scope="session")
def site(topology):
    return parse_site(sitefile.text(Place(name="paper", root=Path("/run/anyvisor/lab")), topology))


@pytest.fixture(scope="session")
def state_with(site):
    """The lab as it stands once its site is applied, with other schemes on some hosts."""

    def make(**others):
        schemes = {**SCHEMES, **others}
        ports, attachments = {}, {}
        for port in site.ports.values():
            six = (eui64(s.cidr, port.mac) for s in site.networks[port.network].subnets if s.version == 6)
            ports[port.name] = PortState(mac=port.mac, addresses=(*port.ips, *six))
            scheme = schemes[port.host]
            if scheme is not None:
                attachments[port.name] = Attachment(
                    port=port.name,
                    host=port.host,
                    kind=attachment_kind(scheme, site.hosts[port.host]),
                    network=port.network,
                    mac=port.mac,
                )
        hosts = {name: HostState(scheme=scheme, carried=scheme) for name, scheme in schemes.items()}
        return State(site=site, owner="paper", hosts=hosts, ports=ports, attachments=attachments)

    return make
