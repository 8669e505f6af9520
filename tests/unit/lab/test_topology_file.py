# SPDX-License-Identifier: Apache-2.0
from ipaddress import ip_address, ip_network

import pytest

from anyvisor.errors import InputError
from anyvisor.lab import topology_file
from anyvisor.lab.dpu import card
from anyvisor.lab.fabric import cables
from anyvisor.model.kinds import Scheme, SwitchKind


def faults_of(text):
    with pytest.raises(InputError) as caught:
        topology_file.parse(text, source="t.yaml")
    return {fault.place: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize("name", topology_file.packaged())
def test_every_packaged_topology_is_without_mistakes(name):
    topology = topology_file.load(name)

    assert topology.name == name
    assert topology.hosts


@pytest.mark.parametrize("name", topology_file.packaged())
def test_a_topology_that_was_written_is_read_back_the_same(name):
    topology = topology_file.load(name)

    assert topology_file.parse(topology_file.dump(topology), source="copy.yaml") == topology


def test_the_default_lab_mixes_switches_and_has_enough_machines():
    topology = topology_file.load()

    assert {host.switch for host in topology.hosts} == {SwitchKind.OPENVSWITCH, SwitchKind.LINUX_BRIDGE}
    assert len(topology.vms) >= 11
    assert len(topology.vms_of("kvm3")) >= 3
    assert topology.variants["separation"] == {"kvm3": Scheme.SEPARATION}


def test_every_machine_of_the_default_lab_has_an_address_of_its_network():
    topology = topology_file.load()
    prefixes = {
        network["name"]: [ip_network(subnet["cidr"]) for subnet in network["subnets"]]
        for network in topology.site["networks"]
    }

    lost = [
        (vm.name, ip)
        for vm in topology.vms
        for ip in vm.ips
        if not any(ip_address(ip) in prefix for prefix in prefixes[vm.network])
    ]

    assert lost == []


def test_all_mistakes_come_at_once_each_with_its_place():
    faults = faults_of(
        "hosts: [{name: fabric, ip: 1.2.3, switch: openvswitch, nics: []}]\n"
        "vms: [{name: a, host: b, network: n, mac: 'x'}]\n"
        "variants: {s: {h: separation}}\n"
    )

    assert set(faults) == {
        "t.yaml: hosts[0].name",
        "t.yaml: hosts[0].ip",
        "t.yaml: hosts[0].nics",
        "t.yaml: vms[0].mac",
        "t.yaml: vms[0].host",
        "t.yaml: vms[0].network",
        "t.yaml: variants.s.h",
    }


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("vmz: []", "t.yaml: document", "vmz"),
        (
            "hosts: [{name: a, ip: 1.2.3.4, switch: vds9, nics: []}]",
            "t.yaml: hosts[0].switch",
            "one of openvswitch",
        ),
        (
            "hosts: [{name: a, ip: 3, switch: openvswitch, nics: []}]",
            "t.yaml: hosts[0].ip",
            "3 is not a valid str",
        ),
        ("hosts: {a: b}", "t.yaml: hosts[0]", "a mapping is expected"),
        ("underlay: {mtu: '1700'}", "t.yaml: underlay.mtu", "'1700' is not a valid int"),
        ("a: [", "t.yaml", "expected the node content"),
        ("- 3", "t.yaml", "a mapping is expected at the top"),
        ("site: {networks: 4, ports: []}", "t.yaml: site.ports", "the rest is made from the lab"),
    ],
)
def test_a_mistake_says_where_it_is_and_what_would_be_right(text, place, message):
    assert message in faults_of(text)[place]


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(InputError) as caught:
        topology_file.load("moon")

    assert "kvm" in caught.value.faults[0].message


def test_a_file_that_is_not_there_is_bad_input(tmp_path):
    with pytest.raises(InputError) as caught:
        topology_file.load(str(tmp_path / "none.yaml"))

    assert "No such file" in caught.value.faults[0].message


DPU = (
    "hosts: [{name: kvm1, ip: 192.0.2.1, switch: nic-eswitch, nics: [{name: p0}], dpu: {serial: MT1, host_ip: 192.0.2.9, "
    "functions: 1}}]\n"
    "site: {networks: [{name: web}]}\n"
    'vms: [{name: vm1, host: kvm1, network: web, mac: "52:54:00:00:00:01"}]\n'
)


def test_the_vnics_of_a_host_with_a_dpu_end_on_the_card():
    topology = topology_file.parse(DPU, source="t.yaml")

    assert topology.host("kvm1").card == "kvm1-dpu"
    assert topology.device(topology.vms[0]) == "pf0vf0"
    assert "kvm1-dpu" in topology.parts


@pytest.mark.parametrize(
    ("before", "after", "place", "message"),
    [
        ("nic-eswitch", "openvswitch", "hosts[0].switch", "a host with a DPU comes with nic-eswitch"),
        ("MT1", "''", "hosts[0].dpu.serial", "is needed"),
        ("192.0.2.9", "here", "hosts[0].dpu.host_ip", "does not appear to be"),
        ("functions: 1", "functions: 0", "hosts[0].dpu.functions", "more VMs than its card has functions"),
        ("name: vm1", "name: kvm1-dpu", "vms[0].name", "is used 2 times"),
    ],
)
def test_what_is_wrong_with_a_dpu_is_said(before, after, place, message):
    assert message in faults_of(DPU.replace(before, after))[f"t.yaml: {place}"]


ON_ESXI = (
    "hosts: [{name: esx1, hypervisor: esxi, version: 8.0.3, ip: 192.0.2.1, switch: vds, "
    "nics: [{name: vmnic0}, {name: p0}], dpu: {serial: MT1}}]\n"
    "vms: [{name: vm1, host: esx1, network: web, mac: '52:54:00:00:00:01'}]\n"
    "site: {networks: [{name: web}]}\n"
)


def test_an_esxi_host_has_a_card_of_its_own_beside_its_dpu():
    topology = topology_file.parse(ON_ESXI, source="t.yaml")

    host = topology.host("esx1")
    assert [host.part_of(nic) for nic in host.nics] == ["esx1", "esx1-dpu"]
    assert (host.bridge, host.bridge_on_card) == ("dvs-esx1", "br-ex")
    assert {(cable.part, cable.card) for cable in cables(topology)} >= {
        ("esx1", "vmnic0"),
        ("esx1-dpu", "p0"),
    }
    ports = card(topology, host, host.dpu)["ports"].values()
    assert [port["netdev"] for port in ports if "netdev" in port] == ["p0", "pf0vf0"]


def test_what_is_not_drawn_of_dpus_is_said():
    alone = ON_ESXI.replace("{name: vmnic0}, ", "")
    assert "the DPU's cable last" in faults_of(alone)["t.yaml: hosts[0].nics"]

    xen = "hosts: [{name: x, hypervisor: xen, ip: 192.0.2.1, switch: linux-bridge, nics: [{name: eth0}]}]"
    assert "called xen1" in faults_of(xen)["t.yaml: hosts[0].name"]


def test_a_topology_can_add_hosts_and_vms_to_another():
    base, more = topology_file.load("mixed"), topology_file.load("mixed-xen")

    assert more.name == "mixed-xen"
    assert [host.name for host in more.hosts if host not in base.hosts] == ["xen2"]
    assert [vm.name for vm in more.vms if vm not in base.vms] == ["web15", "web16"]
    assert more.site == base.site
    assert more.without_emulated.hosts == base.hosts
    assert more.without_emulated.vms == base.vms


def test_a_mistake_in_what_is_added_has_its_place_in_the_file_that_adds_it():
    vm = '{name: more1, host: nowhere, network: web, mac: "52:54:00:00:09:01"}'

    assert faults_of(f"extends: kvm\nvms: [{vm}]") == {"t.yaml: vms[0].host": "there is no host 'nowhere'"}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("extends: kvm\nsite: {}\nports: {}", "t.yaml: site", "comes from kvm"),
        ("extends: 7", "t.yaml: extends", "the name of a topology"),
        ("extends: nothing", "topology", "is not known"),
        ("extends: kvm\nvms: {}", "t.yaml: vms", "a list is expected"),
        ("extends: t.yaml", "t.yaml: extends", "extends this one in turn"),
    ],
)
def test_an_extension_that_is_none_is_refused(text, place, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(text)

    with pytest.raises(InputError) as caught:
        topology_file.load("t.yaml")

    assert any(fault.place == place and words in fault.message for fault in caught.value.faults)
