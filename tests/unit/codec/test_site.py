# SPDX-License-Identifier: Apache-2.0
"""What the site file takes, what it refuses, and with which words."""

from __future__ import annotations

import pytest

from anyvisor.codec.site import load_site, parse_site
from anyvisor.errors import InputError
from anyvisor.model.kinds import Direction, NetworkKind, Protocol, Scheme
from anyvisor.model.policy import Floor
from anyvisor.model.security import PortRange

BASE = """\
hosts:
  - {name: kvm1, hypervisor: kvm, cluster: c1}
  - {name: kvm2, hypervisor: kvm}
networks:
  - {name: web, kind: overlay, subnets: [{cidr: 10.1.0.0/24, gateway: 10.1.0.1}, {cidr: "fd00:1::/64"}]}
  - {name: db, kind: overlay, subnets: [{cidr: 10.2.0.0/24, gateway: 10.2.0.1}]}
  - {name: bare, kind: overlay}
  - {name: ext, kind: vlan, physical: fabric, vlan: 200, subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1}]}
routers:
  - {name: r1, networks: [web], external: {network: ext, ip: 203.0.113.2}}
security_groups:
  - {name: web}
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_site(text)
    return [str(fault) for fault in caught.value.faults]


def only_fault_of(text: str) -> str:
    faults = faults_of(text)
    assert len(faults) == 1, faults
    return faults[0].removeprefix("site.yaml: ")


def with_port(text: str) -> str:
    return f"{BASE}ports:\n  - {{name: vm1, network: web, {text}}}\n"


def with_rule(text: str) -> str:
    return f"security_groups:\n  - {{name: web, rules: [{{{text}}}]}}\n"


def test_an_empty_mapping_is_an_empty_site():
    assert parse_site("{}").ports == {}


def test_an_empty_section_is_the_same_as_none():
    assert parse_site("ports:\nnetworks: []\n") == parse_site("{}")


def test_rules_are_read_in_all_their_forms():
    text = """
security_groups:
  - name: web
    rules:
      - {direction: ingress}
      - {direction: ingress, protocol: tcp, ports: 443, from: any}
      - {direction: ingress, protocol: udp, ports: "80-90", from: 10.0.0.0/8}
      - {direction: egress, protocol: tcp, ports: "80, 443", to: "fd00::/8"}
      - {direction: egress, protocol: icmp, to: {group: web}}
"""
    plain, one, span, several, icmp = parse_site(text).security_groups["web"].rules

    assert (plain.direction, plain.protocol, plain.remote) == (Direction.INGRESS, Protocol.ANY, "any")
    assert (one.ports, one.remote) == ((PortRange(first=443, last=443),), "any")
    assert (span.ports, span.cidr) == ((PortRange(first=80, last=90),), "10.0.0.0/8")
    assert several.ports == (PortRange(first=80, last=80), PortRange(first=443, last=443))
    assert several.cidr == "fd00::/8"
    assert (icmp.group, icmp.ports) == ("web", ())


def test_a_cluster_overrides_only_what_it_names():
    policy = parse_site("""
policy:
  default: {prefer: [nic, baseline], floor: {observed: 0.5}}
  clusters: {c1: {floor: {controlled: 1}}, c2: {prefer: [vendor]}}
  vlans: {fabric: "200-299", other: 7}
""").policy

    assert policy.of_cluster("c1").prefer == (Scheme.NIC, Scheme.BASELINE)
    assert policy.of_cluster("c1").floor == Floor(controlled=1.0, observed=0.5)
    assert policy.of_cluster("c2").prefer == (Scheme.VENDOR,)
    assert policy.of_cluster("c2").floor == Floor(observed=0.5)
    assert policy.vlans == {"fabric": (200, 299), "other": (7, 7)}


def test_addresses_are_kept_in_one_spelling():
    port = parse_site(with_port('mac: "52:54:00:AB:CD:EF", ips: ["FD00:1:0::00A"]')).ports["vm1"]

    assert port.mac == "52:54:00:ab:cd:ef"
    assert port.ips == ("fd00:1::a",)


def test_a_null_says_the_same_as_no_key():
    assert parse_site("hosts: [{name: a, hypervisor: kvm, cluster: null, nics: [{name: e, dpu: ~}]}]")


def test_facts_keep_the_type_they_are_written_in():
    text = 'hosts: [{name: a, hypervisor: kvm, facts: {edition: "8.0", spare_vcpus: 4, ratio: 1.5, vcenter: true}}]'

    facts = parse_site(text).hosts["a"].facts

    assert [(key, type(value)) for key, value in facts.items()] == [
        ("edition", str),
        ("spare_vcpus", int),
        ("ratio", float),
        ("vcenter", bool),
    ]


def test_a_host_of_a_manager_need_not_stand_in_the_file():
    port = "ports: [{name: vm1, network: web, host: elsewhere}]\n"
    managers = "managers: [{name: kvm-a, driver: libvirt, url: qemu:///system}]\n"

    assert parse_site(managers + BASE + port).ports["vm1"].host == "elsewhere"
    assert "there is no host 'elsewhere'" in only_fault_of(BASE + port)


def test_a_raft_cluster_has_several_remotes():
    text = 'controller: {northbound: "ssl:a:6641,ssl:[fd00::1]:6641", southbound: "unix:/run/ovn/sb.sock"}'

    assert parse_site(text).controller.northbound == "ssl:a:6641,ssl:[fd00::1]:6641"


def test_an_alias_stands_for_what_it_names():
    text = "networks: [{name: a, kind: overlay, subnets: &s [{cidr: 10.0.0.0/8}]}, {name: b, kind: overlay, subnets: *s}]"

    assert parse_site(text).networks["b"].subnets == parse_site(text).networks["a"].subnets


def test_a_network_of_kind_vlan_is_complete():
    network = parse_site(BASE).networks["ext"]

    assert (network.kind, network.physical, network.vlan) == (NetworkKind.VLAN, "fabric", 200)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("on", "", "a mapping"),
        ("- 1", "", "a list"),
        ("", "", "the file is empty"),
        ("# nothing\n", "", "the file is empty"),
        ("a: [1", "line 2, column 1", "not YAML"),
        ("a: 1\n b: 2", "line 2, column 3", "not YAML"),
        ("a: 1\n---\nb: 2", "line 2, column 1", "single document"),
        ("a: \x07", "", "not YAML"),
        ("ports: 5", "ports", "a list of ports is expected"),
        ("port: []", "port", "did you mean ports?"),
        ("ports: [vm1]", "ports[0]", "a port is a mapping"),
        ("hosts: []\nhosts: []", "hosts", "stands twice, first in line 1"),
        ("? [a]\n: 1", "", "one word"),
        ("hosts: [{hypervisor: kvm}]", "hosts[0].name", "a host needs this key"),
        ("hosts: [{name: -a, hypervisor: kvm}]", "hosts[0].name", "is no name"),
        (f"hosts: [{{name: {'a' * 64}, hypervisor: kvm}}]", "hosts[0].name", "is no name"),
        ("hosts: [{name: on, hypervisor: kvm}]", "hosts[0].name", 'put it in quotes: "on"'),
        ("hosts: [{name: a, hypervisor: kwm}]", "hosts[0].hypervisor", "did you mean kvm?"),
        ("hosts: [{name: a, hypervisor: kvm, version: 8.0}]", "hosts[0].version", 'quotes: "8.0"'),
        ("hosts: [{name: a, hypervisor: kvm, version: 2016-01-01}]", "hosts[0].version", "date"),
        ("hosts: [{name: a, hypervisor: kvm, scheme: none}]", "hosts[0].scheme", "one of baseline, vendor"),
        ("hosts: [{name: a, hypervisor: kvm, ovsdb: 'ssl:x'}]", "hosts[0].ovsdb", "no OVSDB remote"),
        ("hosts: [{name: a, hypervisor: kvm, ovsdb: 'tcp:x:99999'}]", "hosts[0].ovsdb", "outside 1-65535"),
        (
            "hosts: [{name: a, hypervisor: kvm, tunnel_ip: 10.0.0.1/24}]",
            "hosts[0].tunnel_ip",
            "prefix length",
        ),
        ("hosts: [{name: a, hypervisor: kvm, tunnel_ip: 224.0.0.1}]", "hosts[0].tunnel_ip", "one machine"),
        ("hosts: [{name: a, hypervisor: kvm, facts: {x: on}}]", "hosts[0].facts.x", "reads on as true"),
        ("hosts: [{name: a, hypervisor: kvm, facts: {x: 12:30}}]", "hosts[0].facts.x", "plain decimal"),
        ("hosts: [{name: a, hypervisor: kvm, facts: {x: []}}]", "hosts[0].facts.x", "a list"),
        ("hosts: [{name: a, hypervisor: kvm, facts: {1: 2}}]", "hosts[0].facts.1", "text is expected"),
        (
            "hosts: [{name: a, hypervisor: kvm, facts: {spare_vcpu: 2}}]",
            "hosts[0].facts.spare_vcpu",
            "spare_vcpus",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, facts: {spare_vcpus: two}}]",
            "hosts[0].facts.spare_vcpus",
            "number",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, switchdev: 1}]}]",
            "hosts[0].nics[0].switchdev",
            "true or false",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, switchdev: yes}]}]",
            "hosts[0].nics[0].switchdev",
            "instead of yes",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, sriov_vfs: true}]}]",
            "hosts[0].nics[0].sriov_vfs",
            "whole number",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, sriov_vfs: 010}]}]",
            "hosts[0].nics[0].sriov_vfs",
            "plain decimal",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, sriov_vfs: 1.0}]}]",
            "hosts[0].nics[0].sriov_vfs",
            "whole number",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e, speed_gbps: .inf}]}]",
            "hosts[0].nics[0].speed_gbps",
            "decimal",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, nics: [{name: e}, {name: e}]}]",
            "hosts[0].nics[1].name",
            "two nics",
        ),
        (
            "hosts: [{name: a, hypervisor: kvm, switches: [{name: s, kind: ovs}]}]",
            "hosts[0].switches[0].kind",
            "openvswitch",
        ),
        ("hosts: [{name: a, hypervisor: kvm}, {name: a, hypervisor: xen}]", "hosts[1].name", "hosts[0]"),
        (
            "hosts: [{name: a, hypervisor: kvm, tunnel_ip: 10.0.0.1}, {name: b, hypervisor: kvm, tunnel_ip: 10.0.0.1}]",
            "hosts[1].tunnel_ip",
            "already the tunnel_ip of hosts[0]",
        ),
        ("managers: [{name: a, driver: xapi, url: 'https://root:pw@x'}]", "managers[0].url", "password"),
        (
            "managers: [{name: a, driver: xapi, credentials: pw}]",
            "managers[0].credentials",
            "never the secret",
        ),
        (
            "managers: [{name: a, driver: xapi, credentials: 'env:A B'}]",
            "managers[0].credentials",
            "env:NAME",
        ),
        (
            "managers: [{name: v, driver: vsphere}, {name: n, driver: nsx, transport_zone: z}]",
            "managers[1].url",
            "https://HOST",
        ),
        (
            "managers: [{name: v, driver: vsphere}, {name: n, driver: nsx, url: 'https://n'}]",
            "managers[1].transport_zone",
            "in which segments are made",
        ),
        (
            "managers: [{name: n, driver: nsx, url: 'https://n', transport_zone: z}]",
            "managers[0].vcenter",
            "there is none",
        ),
        (
            (
                "managers: [{name: v, driver: vsphere}, {name: w, driver: vsphere}, "
                "{name: n, driver: nsx, url: 'https://n', transport_zone: z}]"
            ),
            "managers[2].vcenter",
            "name one of v, w",
        ),
        (
            "managers: [{name: v, driver: vsphere}, {name: n, driver: nsx, url: 'https://n', transport_zone: z, vcenter: w}]",
            "managers[1].vcenter",
            "there is no manager 'w'",
        ),
        (
            "managers: [{name: l, driver: libvirt}, {name: n, driver: nsx, url: 'https://n', transport_zone: z, vcenter: l}]",
            "managers[1].vcenter",
            "its driver is libvirt",
        ),
        (
            (
                "managers: [{name: v, driver: vsphere}, {name: n, driver: nsx, url: 'https://n', transport_zone: z}, "
                "{name: m, driver: nsx, url: 'https://m', transport_zone: z, vcenter: v}]"
            ),
            "managers[2].vcenter",
            "switched by managers[1] already",
        ),
        (
            "managers: [{name: v, driver: vsphere, transport_zone: z}]",
            "managers[0].transport_zone",
            "only a manager with driver nsx",
        ),
        ("controller: {driver: ofl}", "controller.driver", "one of ovn"),
        ("policy: {default: {prefer: []}}", "policy.default.prefer", "at least one"),
        ("policy: {default: {floor: {controlled: -0.1}}}", "policy.default.floor.controlled", "outside 0-1"),
        ("policy: {vlans: {fabric: 4095}}", "policy.vlans.fabric", "outside 1-4094"),
        ("policy: {vlans: {fabric: '300-200'}}", "policy.vlans.fabric", "write 200-300"),
        ("policy: {vlans: {fabric: '1,2'}}", "policy.vlans.fabric", "one range"),
        (BASE + "policy: {clusters: {c2: {}}}", "policy.clusters.c2", "no host is in cluster 'c2'"),
        ("networks: [{name: a, kind: overlay, vlan: 5}]", "networks[0].physical", "needs the physical"),
        ("networks: [{name: a, kind: vlan, physical: f}]", "networks[0].vlan", "needs its VLAN"),
        ("networks: [{name: a, kind: overlay, mtu: 100}]", "networks[0].mtu", "outside 576"),
        (
            "networks: [{name: a, kind: overlay, mtu: 1000, subnets: [{cidr: 'fd00::/64'}]}]",
            "networks[0].mtu",
            "1280",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.1}]}]",
            "networks[0].subnets[0].cidr",
            "10.0.0.1/32",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/33}]}]",
            "networks[0].subnets[0].cidr",
            "no IP prefix",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/255.0.0.0}]}]",
            "networks[0].subnets[0].cidr",
            "10.0.0.0/8",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 224.0.0.0/8}]}]",
            "networks[0].subnets[0].cidr",
            "multicast",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/8}, {cidr: 10.1.0.0/16}]}]",
            "networks[0].subnets[1].cidr",
            "overlaps 10.0.0.0/8",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/8, gateway: 11.0.0.1}]}]",
            "networks[0].subnets[0].gateway",
            "not inside",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/8, gateway: 10.0.0.0}]}]",
            "networks[0].subnets[0].gateway",
            "broadcast",
        ),
        (
            "networks: [{name: a, kind: overlay, subnets: [{cidr: 10.0.0.0/8, dns: ['fd00::1']}]}]",
            "networks[0].subnets[0].dns[0]",
            "not IPv4",
        ),
        (
            "networks: [{name: a, kind: vlan, physical: f, vlan: 5}, {name: b, kind: vlan, physical: f, vlan: 5}]",
            "networks[1].vlan",
            "already that of networks[0]",
        ),
        (BASE + "  - {name: web}", "security_groups[1].name", "security_groups[0]"),
        (with_rule("direction: up"), "security_groups[0].rules[0].direction", "one of ingress, egress"),
        (
            with_rule("direction: egress, protocol: gre"),
            "security_groups[0].rules[0].protocol",
            "one of any, tcp",
        ),
        (
            with_rule("direction: egress, ports: 5"),
            "security_groups[0].rules[0].ports",
            "protocol any has no ports",
        ),
        (
            with_rule("direction: egress, protocol: tcp, ports: 0"),
            "security_groups[0].rules[0].ports",
            "outside",
        ),
        (
            with_rule("direction: egress, protocol: tcp, ports: '90-80'"),
            "security_groups[0].rules[0].ports",
            "80-90",
        ),
        (
            with_rule("direction: egress, protocol: tcp, ports: http"),
            "security_groups[0].rules[0].ports",
            "written 443",
        ),
        (with_rule("direction: egress, from: any"), "security_groups[0].rules[0].from", "use `to`"),
        (with_rule("direction: ingress, to: any"), "security_groups[0].rules[0].to", "use `from`"),
        (with_rule("direction: ingress, from: web"), "security_groups[0].rules[0].from", "{group: web}"),
        (
            with_rule("direction: ingress, from: {group: x}"),
            "security_groups[0].rules[0].from.group",
            "no security group",
        ),
        (
            with_rule("direction: ingress, from: {grp: web}"),
            "security_groups[0].rules[0].from.grp",
            "did you mean group?",
        ),
        (
            with_rule("direction: ingress, from: 10.0.0.1/8"),
            "security_groups[0].rules[0].from",
            "the prefix is 10.0.0.0/8",
        ),
        (with_port("host: kvm9"), "ports[0].host", "did you mean kvm"),
        (with_port("security_groups: [wbe]"), "ports[0].security_groups[0]", "did you mean web?"),
        (with_port("security_groups: [web, web]"), "ports[0].security_groups[1]", "twice"),
        (with_port("mac: 52:54:00:00:00:01"), "ports[0].mac", 'in quotes: "52:54:00:00:00:01"'),
        (with_port("mac: 52-54-00-00-00-01"), "ports[0].mac", "is no MAC"),
        (with_port("mac: '01:00:5e:00:00:01'"), "ports[0].mac", "multicast"),
        (with_port("mac: '00:00:00:00:00:00'"), "ports[0].mac", "zeros"),
        (with_port("ips: 10.1.0.5"), "ports[0].ips", "a list of addresses is expected"),
        (with_port("ips: [10.9.0.5]"), "ports[0].ips[0]", "in no subnet of network 'web'"),
        (with_port("ips: [10.1.0.1]"), "ports[0].ips[0]", "taken by the gateway"),
        (with_port("ips: ['fd00:1::1']"), "ports[0].ips[0]", "taken by the router"),
        (with_port("ips: [10.1.0.255]"), "ports[0].ips[0]", "broadcast"),
        (with_port("ips: ['fe80::1%eth0']"), "ports[0].ips[0]", "zone"),
        (
            with_port("floating_ip: 10.0.0.1"),
            "ports[0].floating_ip",
            "in no subnet of external network 'ext'",
        ),
        (with_port("floating_ip: 203.0.113.2"), "ports[0].floating_ip", "taken by routers[0].external"),
        (with_port("floating_ip: 203.0.113.1"), "ports[0].floating_ip", "taken by the gateway"),
        (with_port("floating_ip: 'fd00::9'"), "ports[0].floating_ip", "not IPv4"),
        (BASE + "ports: [{name: a, network: bare, ips: [10.0.0.1]}]", "ports[0].ips[0]", "has no subnets"),
        (
            BASE + "ports: [{name: a, network: db, floating_ip: 203.0.113.9}]",
            "ports[0].floating_ip",
            "on no router",
        ),
        (BASE + "ports: [{name: a, network: wep}]", "ports[0].network", "did you mean web?"),
        (BASE + "ports: [{name: a}]", "ports[0].network", "a port needs this key"),
    ],
)
def test_one_mistake_makes_one_fault_in_its_place(text, place, words):
    fault = only_fault_of(text)

    assert fault.startswith(f"{place}: " if place else "")
    assert words in fault


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("{name: r2, networks: [web]}", "routers[1].networks[0]", "already served by routers[0]"),
        ("{name: r2, networks: [db, db]}", "routers[1].networks[1]", "twice"),
        ("{name: r2, networks: [nowhere]}", "routers[1].networks[0]", "no network 'nowhere'"),
        (
            "{name: r2, networks: [db], external: {network: db}}",
            "routers[1].external.network",
            "on the inside",
        ),
        ("{name: r2, external: {network: bare}}", "routers[1].external.network", "is an overlay"),
        ("{name: r2, external: {network: ext, ip: 10.0.0.1}}", "routers[1].external.ip", "in no subnet"),
        (
            "{name: r2, external: {network: ext, ip: 203.0.113.2}}",
            "routers[1].external.ip",
            "taken by routers[0]",
        ),
        ("{name: r2, external: {network: ext, ip: 203.0.113.0}}", "routers[1].external.ip", "broadcast"),
        ("{name: r2, external: {network: ext, snat: on}}", "routers[1].external.snat", "instead of on"),
        ("{name: r1}", "routers[1].name", "routers[0]"),
    ],
)
def test_a_router_joins_what_can_be_joined(text, place, words):
    fault = only_fault_of(BASE.replace("security_groups:", f"  - {text}\nsecurity_groups:"))

    assert fault.startswith(f"{place}: ")
    assert words in fault


def test_networks_of_one_router_must_not_overlap():
    text = BASE.replace("cidr: 10.2.0.0/24, gateway: 10.2.0.1", "cidr: 10.0.0.0/8").replace(
        "[web]", "[web, db]"
    )

    assert "routers[0].networks[1]: 10.0.0.0/8 of network 'db' overlaps 10.1.0.0/24" in only_fault_of(text)


def test_an_address_has_one_holder_only():
    ports = """ports:
  - {name: a, network: web, mac: "52:54:00:00:00:01", ips: [10.1.0.5], floating_ip: 203.0.113.9}
  - {name: b, network: web, mac: "52:54:00:00:00:01", ips: [10.1.0.5], floating_ip: 203.0.113.9}
  - {name: c, network: ext, ips: [203.0.113.9]}
  - {name: d, network: db, ips: [10.2.0.5, 10.2.0.6]}
"""

    assert [fault.split(" (line")[0].removeprefix("site.yaml: ") for fault in faults_of(BASE + ports)] == [
        "ports[0].floating_ip: 203.0.113.9 is taken by ports[2]",
        "ports[1].mac: 52:54:00:00:00:01 is already the MAC of ports[0]",
        "ports[1].ips[0]: 10.1.0.5 is taken by ports[0]",
        "ports[1].floating_ip: 203.0.113.9 is taken by ports[2]",
    ]


def test_a_vm_is_on_one_host():
    ports = "ports: [{name: a, network: web, vm: v, host: kvm1}, {name: b, network: db, vm: v, host: kvm2}]\n"

    assert "ports[1].host: VM 'v' is on host 'kvm1' already" in only_fault_of(BASE + ports)


@pytest.mark.parametrize(
    "broken",
    [
        BASE.replace("{name: web, kind: overlay", "{name: web, kind: overly"),
        BASE.replace("cidr: 10.1.0.0/24", "cidr: 10.1.0.0/99"),
        BASE.replace("{name: web, kind: overlay, subnets", "{name: web, kind: overlay, subnet"),
        BASE.replace("{name: web, kind: overlay, ", "{kind: overlay, "),
        BASE.replace("networks:\n", "network:\n", 1),
        BASE.replace(
            "name: ext, kind: vlan, physical: fabric, vlan: 200",
            "name: ext, kind: vlan, physical: fabric, vlan: 0",
        ),
        BASE.replace("203.0.113.0/24", "203.0.113.0/99"),
        BASE.replace("routers:", "router:"),
        BASE.replace("networks: [web]", "network: [web]"),
        BASE.replace("external: {network: ext", "external: {network: exd"),
        BASE.replace("{name: web}", "{name: web, rules: [{}]}"),
        BASE.replace("{name: kvm1, hypervisor: kvm", "{name: kvm1, hypervisor: 7"),
    ],
)
def test_a_mistake_elsewhere_makes_no_noise_at_the_ports(broken):
    ports = """ports:
  - {name: a, network: web, host: kvm1, ips: [10.1.0.5], security_groups: [web], floating_ip: 203.0.113.9}
  - {name: b, network: web, host: kvm1, ips: [10.1.0.6], security_groups: [web]}
"""

    assert "ports" not in only_fault_of(broken + ports)


def test_a_merge_key_is_refused_by_name():
    text = "hosts: [&a {name: a, hypervisor: kvm}, {<<: *a, name: b, hypervisor: kvm}]"

    assert "hosts[1].<<: merge keys are not understood here" in only_fault_of(text)


def test_a_secret_is_never_repeated():
    text = """
managers:
  - {name: a, driver: xapi, credentials: s3cret, url: "https://root:s3cret@x"}
  - {name: b, driver: xapi, credentials: [s3cret], password: s3cret}
"""
    faults = faults_of(text)

    assert len(faults) == 4
    assert "s3cret" not in "".join(faults)


def test_a_file_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("ports: [{name: a}]\n", encoding="utf-8")

    with pytest.raises(InputError) as caught:
        load_site(path)

    assert caught.value.faults[0].place == f"{path}: ports[0].network"


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"\xff\xfe\xfa", "not UTF-8")], ids=["missing", "binary"]
)
def test_a_file_that_cannot_be_read_is_bad_input(tmp_path, content, words):
    path = tmp_path / "site.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError) as caught:
        load_site(path)

    assert words in str(caught.value.faults[0])
