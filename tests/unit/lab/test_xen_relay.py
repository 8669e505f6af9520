# SPDX-License-Identifier: Apache-2.0
"""What is asked of dom0 for a guest that passes on what a VM of the lab sends."""

import pytest

from anyvisor.errors import TerminalError
from anyvisor.lab import topology_file, up
from anyvisor.lab.conformance.xen import HOST, TOPOLOGY
from anyvisor.lab.fabric import cables
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.lab.topology import LabVm
from anyvisor.lab.xen import relay
from anyvisor.lab.xen.stage import STAGES
from anyvisor.model.kinds import Scheme

VM = LabVm(name="xen1-a", host="xen1", network="web", mac="52:54:00:00:31:01")


class Dom0:
    """Takes orders down."""

    mtu, relay_card = 1700, "eth2"

    def __init__(self):
        self.orders, self.files = [], {}

    def do(self, *argv, **_):
        self.orders.append(argv)
        return ""

    def write(self, path, text, mode="644"):
        self.files[path] = text


@pytest.mark.parametrize(
    ("served", "way"), [("", "bridge=xenbr0"), ("network", "backend=network")], ids=["dom0", "driver domain"]
)
def test_the_vif_under_test_has_the_vms_address_and_the_other_leads_to_the_vm(served, way):
    dom0 = Dom0()

    relay.create(dom0, VM, 12, served=served)

    (text,) = dom0.files.values()
    assert f"mac={VM.mac},script=vif-anyvisor,mtu=1700,{way}" in text
    assert "script=vif-bridge,bridge=relay12" in text
    assert 'name="xen1-a"' in text
    assert dom0.orders[-1] == ("xl", "create", "/etc/xen/xen1-a.cfg")


def test_every_vm_has_a_vlan_and_a_bridge_of_its_own():
    dom0 = Dom0()

    relay.prepare(dom0, [11, 12])

    made = [order[5] for order in dom0.orders if order[:3] == ("ip", "link", "add") and "vlan" in order]
    assert made == ["name", "name"]
    joined = [order for order in dom0.orders if "master" in order]
    assert [(order[3], order[5]) for order in joined] == [("eth2.11", "relay11"), ("eth2.12", "relay12")]


def test_its_host_brings_its_own_cables_and_is_not_switched_on_by_others():
    topology = topology_file.load(TOPOLOGY)
    host = topology.host(HOST)

    assert host.is_emulated
    assert HOST not in {cable.part for cable in cables(topology)}
    assert host.card == "fabric", "there its VMs' cards end"
    with pytest.raises(TerminalError, match="xen1") as caught:
        up.up(Place(name="never"), topology, up.Options(), silent)
    assert caught.value.hint == "make conformance-xen"


def test_every_scheme_that_xl_allows_has_a_stage():
    assert {stage.scheme for stage in STAGES} == {Scheme.APPLIANCE, Scheme.SEPARATION, Scheme.SUBSTITUTION}
    assert len([stage for stage in STAGES if stage.scheme is Scheme.APPLIANCE]) == 2
