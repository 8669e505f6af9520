# SPDX-License-Identifier: Apache-2.0
"""Appliances in which nothing of ours runs: OVN child ports behind them do what was planned, with real packets."""

import os
import sys
import time

import pytest

from anyvisor.lab import down, report, session, topology_file, up
from anyvisor.lab.esxi import centre
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.model.kinds import AttachmentKind

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

TOPOLOGY = """
name: agentless
underlay: {prefix_length: 24, vlan: 10, mtu: 1700, central: 192.168.77.1, physical: fabric}
hosts:
  - {name: kvm1, ip: 192.168.77.11, switch: openvswitch, nics: [{name: eth0}]}
  - {name: esx1, hypervisor: esxi, version: 8.0.3, cluster: c, ip: 192.168.77.21, switch: vds, nics: [{name: vmnic0}], scheme: appliance, facts: {agentless: true, spare_vcpus: 8, spare_memory_gib: 32}}
  - {name: esx2, hypervisor: esxi, version: 8.0.3, cluster: c, ip: 192.168.77.22, switch: vds, nics: [{name: vmnic0}], scheme: appliance, facts: {agentless: true, spare_vcpus: 8, spare_memory_gib: 32}}
  - {name: esx3, hypervisor: esxi, version: 8.0.3, cluster: c, ip: 192.168.77.23, switch: vds, nics: [{name: vmnic0}], scheme: appliance, facts: {spare_vcpus: 8, spare_memory_gib: 32}}
vcenter:
  name: vc1
  address: 192.168.77.2
  datacenter: DC1
  template: anyvisor-appliance
  port_groups: [{name: Management, vlan: 0}, {name: Uplink, trunk: true}, {name: VM Network, vlan: 150}]
vms:
  - {name: kweb, host: kvm1, network: web, mac: "52:54:00:00:01:01", ips: [10.1.0.11], security_groups: [web]}
  - {name: web1, host: esx1, network: web, mac: "52:54:00:00:01:02", ips: [10.1.0.12], security_groups: [web]}
  - {name: web2, host: esx1, network: web, mac: "52:54:00:00:01:03", ips: [10.1.0.13], security_groups: [shut]}
  - {name: db1, host: esx1, network: db, mac: "52:54:00:00:02:01", ips: [10.2.0.11], security_groups: [web]}
  - {name: web3, host: esx2, network: web, mac: "52:54:00:00:01:04", ips: [10.1.0.14], security_groups: [web]}
  - {name: web4, host: esx3, network: web, mac: "52:54:00:00:01:05", ips: [10.1.0.15], security_groups: [web]}
ports: {tcp: [80], udp: [53]}
site:
  policy:
    appliance: {template: anyvisor-appliance, management: dvs-c-Management, tunnel: dvs-c-Uplink, database: "tcp:192.168.77.1:6640", prefix_length: 24, datapath: netdev}
  networks:
    - {name: web, kind: overlay, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1, dhcp: true}]}
    - {name: db, kind: overlay, subnets: [{cidr: 10.2.0.0/24, gateway: 10.2.0.1, dhcp: true}]}
  routers:
    - {name: r1, networks: [web, db]}
  security_groups:
    - name: web
      rules: [{direction: ingress, protocol: tcp, ports: "80", from: any}, {direction: ingress, protocol: icmp, from: {group: web}}]
    - {name: shut, rules: []}
"""


def wrong(found):
    return [report.in_words(failure) for failure in found.failures]


def eventually(what, true, seconds=60):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


class Fleet:
    """The lab with a daemon at work in it."""

    def __init__(self, place, product):
        self.place, self.product = place, product
        self.vcenter = centre.control(place)

    def state(self):
        return session.state_of(self.place)

    def attachment(self, port):
        return self.state().attachments[port]

    def ready(self, port):
        return "Ready=true" in self.product.run("explain", port)

    def moves(self, vm, to):
        self.vcenter.vm(vm, move_to=to)
        eventually(f"{vm} on {to}", lambda: self.attachment(vm).host == to)
        eventually(f"{vm} ready", lambda: self.ready(vm))


@pytest.fixture(scope="module")
def fleet(product_of, options):
    place = Place(name=f"c{os.getpid()}")
    topology = topology_file.parse(TOPOLOGY, source="agentless.yaml")
    up.up(place, topology, options(), silent)
    try:
        product = product_of(place)
        with product.serving():
            product.apply()
            yield Fleet(place, product)
    finally:
        down.down(place)


def test_every_packet_does_what_was_planned_and_nothing_escapes(fleet):
    found = session.check(fleet.place, silent)

    assert wrong(found) == []
    assert found.duplicates == {}
    kinds = {a.host: a.kind for a in fleet.state().attachments.values()}
    assert kinds["esx1"] is kinds["esx2"] is AttachmentKind.CHILD
    assert kinds["esx3"] is AttachmentKind.VLAN_ACCESS
    assert fleet.product.view()["escapes"] == []


def test_the_view_shows_the_host_in_force_and_its_bytes_as_controlled(fleet):
    flows = [session.flow(fleet.place, "web1", "kweb"), session.flow(fleet.place, "web1", "db1")]
    with session.measuring(fleet.place, *flows):
        time.sleep(2)

    eventually("bytes are counted", lambda: fleet.product.host("esx1")["bytes"] > 0)
    shown = fleet.product.host("esx1")
    assert (shown["scheme"], shown["controlled"], shown["attached"]) == ("appliance", 1.0, 3)


def test_a_vm_moves_between_hosts_without_agent_and_keeps_its_tag(fleet, capsys):
    tag = fleet.attachment("web1").vlan
    flows = [session.flow(fleet.place, "kweb", "web1")]

    fleet.vcenter.set(vmotion_seconds=1)
    with session.measuring(fleet.place, *flows) as measured:
        fleet.moves("web1", "esx2")
        time.sleep(1)

    (found,) = measured.outages
    with capsys.disabled():
        sys.stdout.write(f"\n    child port moved: {found}\n")
    assert found.longest_gap_ms < 10_000
    assert found.duplicates == 0
    assert fleet.attachment("web1").vlan == tag
    assert wrong(session.check(fleet.place, silent)) == []


def test_a_vm_moves_to_a_host_with_an_agent_and_back(fleet):
    fleet.moves("web3", "esx3")
    there = fleet.attachment("web3").kind
    first = wrong(session.check(fleet.place, silent))
    fleet.moves("web3", "esx2")

    assert there is AttachmentKind.VLAN_ACCESS
    assert fleet.attachment("web3").kind is AttachmentKind.CHILD
    assert (first, wrong(session.check(fleet.place, silent))) == ([], [])
