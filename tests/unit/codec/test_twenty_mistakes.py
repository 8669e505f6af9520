# SPDX-License-Identifier: Apache-2.0
"""One site file with twenty different mistakes yields exactly twenty faults, each in its place."""

from __future__ import annotations

import pytest

from anyvisor.codec.site import parse_site
from anyvisor.errors import InputError

SITE = """\
controller: {driver: ovn, northbound: "https://nb.example"}
managers:
  - {name: vc1, driver: vmware, credentials: "hunter2"}
hosts:
  - name: esx9
    hypervisor: esxi
    scheme: aplliance
    nics: [{name: vmnic0, sriov_vfs: "8"}]
  - {name: esx9, hypervisor: esxi, colour: red}
policy:
  default: {prefer: [baseline, baseline], floor: {controlled: 1.5}}
networks:
  - {name: web, kind: overlay, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1}, {cidr: 10.9.0.1/24}]}
  - {name: ext, kind: vlan, physical: fabric, vlan: 4095, subnets: [{cidr: 203.0.113.0/24}]}
  - {name: lan, kind: vlan, vlan: 7}
routers:
  - {name: r1, networks: [web], external: {network: exit}}
security_groups:
  - name: web
    rules:
      - {direction: ingress, protocol: icmp, ports: "443"}
      - {direction: ingress, protocol: tcp, ports: "70000"}
      - {direction: egress, from: any}
      - {direction: ingress, from: {group: wbe}}
ports:
  - {name: vm1, network: web, mac: "53:54:00:00:00:01", ips: [10.1.0.11]}
  - {name: vm2, network: web, mac: 52:54:00:00:00:02, ips: [10.1.0.11]}
"""

PLACES = [
    ("controller.northbound", 1, "no OVSDB remote"),
    ("managers[0].driver", 3, "one of libvirt, vsphere, xapi, xl, listed, nsx"),
    ("managers[0].credentials", 3, "env:NAME or file:PATH"),
    ("hosts[0].scheme", 7, "did you mean appliance?"),
    ("hosts[0].nics[0].sriov_vfs", 8, "leave out the quotes"),
    ("hosts[1].name", 9, "already the name of hosts[0]"),
    ("hosts[1].colour", 9, "unknown key"),
    ("policy.default.prefer[1]", 11, "twice"),
    ("policy.default.floor.controlled", 11, "outside 0-1"),
    ("networks[0].subnets[1].cidr", 13, "the prefix is 10.9.0.0/24"),
    ("networks[1].vlan", 14, "outside 1-4094"),
    ("networks[2].physical", 15, "needs the physical network"),
    ("routers[0].external.network", 17, "there is no network 'exit'"),
    ("security_groups[0].rules[0].ports", 21, "only tcp and udp"),
    ("security_groups[0].rules[1].ports", 22, "outside 1-65535"),
    ("security_groups[0].rules[2].from", 23, "use `to`"),
    ("security_groups[0].rules[3].from.group", 24, "did you mean web?"),
    ("ports[0].mac", 26, "multicast"),
    ("ports[1].mac", 27, "in quotes"),
    ("ports[1].ips[0]", 27, "taken by ports[0]"),
]


@pytest.fixture(scope="module")
def faults():
    with pytest.raises(InputError) as caught:
        parse_site(SITE)
    return caught.value.faults


def test_twenty_mistakes_make_twenty_faults(faults):
    assert [fault.place for fault in faults] == [f"site.yaml: {path}" for path, _, _ in PLACES]
    assert len(faults) == 20


@pytest.mark.parametrize("index", range(20), ids=[path for path, _, _ in PLACES])
def test_each_fault_says_what_is_wrong_and_in_which_line(faults, index):
    _, line, words = PLACES[index]

    assert words in faults[index].message
    assert faults[index].message.endswith(f"(line {line})")


def test_the_error_counts_them_and_repeats_no_secret(faults):
    assert str(InputError(faults)) == "20 mistakes in the input"
    assert not any("hunter2" in str(fault) for fault in faults)


def test_without_the_mistakes_there_is_a_site():
    mended = SITE
    for wrong, right in [
        ("https://nb.example", "ssl:nb.example:6641"),
        ("driver: vmware", "driver: vsphere"),
        ("hunter2", "env:VC1"),
        ("aplliance", "appliance"),
        ('"8"', "8"),
        ("name: esx9, hypervisor: esxi, colour: red", "name: esx8, hypervisor: esxi"),
        ("[baseline, baseline]", "[baseline]"),
        ("1.5", "0.5"),
        ("10.9.0.1/24", "10.9.0.0/24"),
        ("4095", "4094"),
        ("kind: vlan, vlan: 7", "kind: vlan, physical: fabric, vlan: 7"),
        ("exit", "ext"),
        ("protocol: icmp, ports", "protocol: udp, ports"),
        ("70000", "7000"),
        ("egress, from", "egress, to"),
        ("wbe", "web"),
        ("53:54", "52:54"),
        ("52:54:00:00:00:02, ips: [10.1.0.11]", '"52:54:00:00:00:02", ips: [10.1.0.12]'),
    ]:
        assert wrong in mended
        mended = mended.replace(wrong, right)

    site = parse_site(mended)

    assert sorted(site.ports) == ["vm1", "vm2"]
    assert sorted(site.hosts) == ["esx8", "esx9"]
