# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.codec.site import parse_site
from anyvisor.lab import sitefile, topology_file
from anyvisor.model.kinds import Scheme
from anyvisor.model.state import State
from anyvisor.planner import paper


@pytest.mark.parametrize("name", topology_file.packaged())
def test_the_site_file_of_every_packaged_topology_is_accepted(name, place):
    topology = topology_file.load(name)

    for pinned in (None, *topology.variants.values()):
        site = parse_site(sitefile.text(place, topology, pinned))

        assert set(site.ports) == {vm.name for vm in topology.vms}
        assert set(site.hosts) == {host.name for host in topology.hosts}


def test_a_variant_pins_a_scheme(place, topology):
    site = parse_site(sitefile.text(place, topology, topology.variants["separation"]))

    assert site.hosts["kvm3"].scheme is Scheme.SEPARATION
    assert site.hosts["kvm1"].scheme is None


def test_a_host_is_described_as_the_lab_cables_it(site):
    kvm3 = site.hosts["kvm3"]

    assert kvm3.tunnel_ip == "192.168.77.13"
    assert [(nic.name, nic.physical, nic.vlan) for nic in kvm3.nics] == [
        ("eth0", "fabric", None),
        ("eth1", "fabric", 200),
        ("eth2", "fabric", 201),
    ]


def test_kvm3_gets_substitution_unless_separation_is_pinned(place, topology, site):
    pinned = parse_site(sitefile.text(place, topology, topology.variants["separation"]))

    chosen = {host.host: host.scheme for host in paper.plan(site, State()).hosts}
    asked = {host.host: host.scheme for host in paper.plan(pinned, State()).hosts}

    assert chosen["kvm3"] is Scheme.SUBSTITUTION
    assert asked["kvm3"] is Scheme.SEPARATION
    assert chosen["kvm1"] is asked["kvm1"] is Scheme.BASELINE
