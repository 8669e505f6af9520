# SPDX-License-Identifier: Apache-2.0
"""What holds for every wish, tried on the intent of the fake without a network between."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.drivers.nsx import difference, ports
from anyvisor.drivers.nsx.hierarchy import trees
from anyvisor.drivers.nsx.names import DOMAIN, Names, tagged
from anyvisor.drivers.nsx.stored import POLICY_API, read_all, read_ports
from anyvisor.model.entity import EntityWish
from anyvisor.model.kinds import Direction, NetworkKind, Protocol
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Site
from anyvisor.planner.reach import allowed
from anyvisor.testing.nsx.intent import ZONES, Intent
from anyvisor.testing.nsx.packets import Firewall, Packet
from anyvisor.testing.nsx.samples import group, mac, network, port, wish

OWNER = "0123abcd-4567-89ab-cdef-0123456789ab"
ZONE = f"{ZONES}/vlans"
GROUPS = ("web", "Web", "a.b", "a_b", "a-b", "x" * 63)
NETWORKS = ("red", "Red", "red.1", "n" * 63)


class Direct:
    """The deciding code on the intent of the fake, without a network between."""

    def __init__(self, owner=OWNER):
        self.names = Names(owner)
        self.intent = Intent()
        self.macs = {}

    def pages(self, place, doing):
        if place.startswith(POLICY_API):
            return self.intent.listed(place.removeprefix(POLICY_API).replace("%3A", ":"))
        return [{"mac_address": mac, "lport_attachment_id": key} for key, mac in self.macs.items()]

    def plan(self, wanted):
        return difference.plan(wanted, read_all(self, self.names, vifs=True), self.names, ZONE)

    def apply(self, plan):
        for tree in trees([write for write in difference.writes_of(plan) if not write.waits]):
            self.intent.patch(tree, revisions=True)

    def ports(self):
        return read_ports(self, self.names)

    def plug(self, segment, mac):
        key = f"vif-{len(self.macs)}-{mac}"
        path = f"{segment}/ports/default:{key}"
        body = {
            "resource_type": "SegmentPort",
            "attachment": {"id": key, "traffic_tag": 0, "hyperbus_mode": "DISABLE"},
            "admin_state": "UP",
        }
        self.intent.put(path, body)
        self.macs[key] = mac
        return path

    def unplug_all(self):
        for path in [path for path in self.intent.objects if "/ports/" in path]:
            del self.intent.objects[path]
        self.macs.clear()


prefixes = st.sampled_from(["10.0.0.0/24", "10.0.0.1/32", "0.0.0.0/0", "::/0", "fd00::/64", "192.0.2.0/25"])
ranges = st.builds(
    lambda first, length: PortRange(first=first, last=min(first + length, 65535)),
    st.integers(1, 65535),
    st.integers(0, 3),
)


@st.composite
def rules(draw):
    protocol = draw(st.sampled_from(Protocol))
    far = draw(st.sampled_from(["any", "cidr", "group"]))
    with_ports = protocol in {Protocol.TCP, Protocol.UDP}
    return Rule(
        direction=draw(st.sampled_from(Direction)),
        protocol=protocol,
        ports=tuple(draw(st.lists(ranges, max_size=20))) if with_ports else (),
        cidr=draw(prefixes) if far == "cidr" else None,
        group=draw(st.sampled_from(GROUPS)) if far == "group" else None,
    )


@st.composite
def wishes(draw):
    nets = draw(st.lists(st.sampled_from(NETWORKS), unique=True, min_size=1))
    names = draw(st.lists(st.sampled_from(GROUPS), unique=True))
    groups = {name: group(name, *draw(st.lists(rules(), max_size=4))) for name in names}
    members = {
        name: draw(st.sampled_from([(), ("10.0.0.1",), ("fd00::0:1", "10.0.0.2"), ("10.0.0.9", "10.0.0.9")]))
        for name in GROUPS
    }
    some = []
    for number in draw(st.lists(st.integers(1, 5), unique=True)):
        into = tuple(draw(st.lists(st.sampled_from(names), unique=True))) if names else ()
        out = any(rule.direction is Direction.EGRESS for name in into for rule in groups[name].rules)
        some.append(
            port(
                f"p{number}",
                draw(st.sampled_from(nets)),
                number=number,
                groups=into,
                egress=out,
                addresses=draw(
                    st.sampled_from([(), (f"10.0.0.{number}",), (f"fd00::{number}", f"10.0.0.{number}")])
                ),
            )
        )
    return wish([network(name, draw(st.integers(1, 9))) for name in nets], some, groups.values(), **members)


def plug_all(there, wanted):
    for each in wanted.ports.values():
        segment = there.names.segment(each.network)
        if segment in there.intent.objects and each.mac not in there.macs.values():
            there.plug(segment, each.mac)


def strangers(intent):
    """Something of others in every collection, among ours."""
    segment = {
        "resource_type": "Segment",
        "vlan_ids": ["9"],
        "transport_zone_path": ZONE,
        "display_name": "theirs",
    }
    intent.put("/infra/segments/theirs", segment)
    expression = [{"resource_type": "IPAddressExpression", "ip_addresses": ["192.0.2.1"]}]
    intent.put(f"{DOMAIN}/groups/theirs", {"resource_type": "Group", "expression": expression})
    policy = {"resource_type": "SecurityPolicy", "category": "Application", "sequence_number": 5}
    intent.put(f"{DOMAIN}/security-policies/theirs", policy)


@settings(deadline=None, max_examples=40)
@given(first=wishes(), second=wishes(), partial=st.booleans())
def test_any_wish_leads_to_any_other_and_then_nothing_is_left_to_do(first, second, partial):
    there = Direct()
    there.intent.partial = partial
    strangers(there.intent)
    before = copy.deepcopy(dict(there.intent.objects))

    for wanted in (first, second, EntityWish()):
        there.apply(there.plan(wanted))
        plug_all(there, wanted)
        plan = there.plan(wanted)
        there.apply(plan)

        assert plan.refusals == ()
        assert [each for each in there.plan(wanted).changes if not each.payload.waits] == []
        found = ports.wired(there.ports(), there.names)
        assert found <= wanted.ports.keys()
    there.unplug_all()
    there.apply(there.plan(EntityWish()))

    assert there.intent.objects == before


@settings(deadline=None, max_examples=40)
@given(wanted=wishes(), order=st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_plays_no_part(wanted, order):
    def shuffled(table):
        keys = list(table)
        order.shuffle(keys)
        return {key: table[key] for key in keys}

    there = Direct()
    there.apply(there.plan(EntityWish(networks=wanted.networks)))
    plug_all(there, wanted)
    groups = {
        name: replace(each, rules=tuple(order.sample(each.rules, len(each.rules))))
        for name, each in shuffled(wanted.groups).items()
    }
    members = {name: tuple(reversed(each)) for name, each in shuffled(wanted.members).items()}
    other = EntityWish(
        networks=shuffled(wanted.networks), ports=shuffled(wanted.ports), groups=groups, members=members
    )
    one, two = there.plan(wanted), there.plan(other)

    assert one == two
    assert [each.payload for each in one.changes] == [each.payload for each in two.changes]


@settings(deadline=None, max_examples=40)
@given(wanted=wishes())
def test_two_installations_share_an_nsx_without_noticing_each_other(wanted):
    one, two = Direct(), Direct("ffff0000-4567-89ab-cdef-0123456789ab")
    two.intent = one.intent
    numbers = {
        name: replace(each, segment=replace(each.segment, vlan=99)) for name, each in wanted.networks.items()
    }
    theirs = EntityWish(networks=numbers, groups=wanted.groups, members=wanted.members)
    one.apply(one.plan(wanted))
    two.apply(two.plan(theirs))

    assert one.plan(wanted).changes == ()
    assert two.plan(theirs).changes == ()
    two.apply(two.plan(EntityWish()))
    assert one.plan(wanted).changes == ()


@given(st.lists(st.text(st.sampled_from("abAB._-1"), min_size=1, max_size=63), unique=True))
def test_no_two_names_have_one_id_even_without_regard_to_case(some):
    names = Names(OWNER)
    found = [names.identity(each, part) for each in some for part in ("", "far", "guard")]

    assert len({each.lower() for each in found}) == len(found)
    assert all(len(names.identity(each)) <= 80 for each in some)


PROTOCOLS = {
    (Protocol.TCP, 4): "TCP", (Protocol.TCP, 6): "TCP", (Protocol.UDP, 4): "UDP", (Protocol.UDP, 6): "UDP",
    (Protocol.ICMP, 4): "ICMPv4", (Protocol.ICMP, 6): "ICMPv6",
}  # fmt: skip


@st.composite
def sites(draw):
    names = ("web", "db", "Web")
    some = st.lists(
        st.sampled_from([80, 443, 53]).map(lambda each: PortRange(first=each, last=each + 1)), max_size=2
    )
    far = st.sampled_from([{}, {"cidr": "10.0.0.0/30"}, {"cidr": "10.0.0.4/32"}, {"cidr": "fd00::/126"}])
    groups = {}
    for name in names:
        found = []
        for _ in range(draw(st.integers(0, 3))):
            protocol = draw(st.sampled_from(Protocol))
            with_ports = protocol in {Protocol.TCP, Protocol.UDP}
            side = draw(far | st.sampled_from(names).map(lambda each: {"group": each}))
            rule = Rule(
                direction=draw(st.sampled_from(Direction)),
                protocol=protocol,
                ports=tuple(draw(some)) if with_ports else (),
                **side,
            )
            found.append(rule)
        groups[name] = SecurityGroup(name=name, rules=tuple(found))
    held = {
        f"p{number}": Port(
            name=f"p{number}",
            network="red",
            mac=mac(number),
            ips=(f"10.0.0.{number}", f"fd00::{number}"),
            security_groups=tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2))),
        )
        for number in range(1, draw(st.integers(2, 5)) + 1)
    }
    subnets = (Subnet(cidr="10.0.0.0/24"), Subnet(cidr="fd00::/64"))
    red = Network(name="red", kind=NetworkKind.VLAN, physical="fabric", vlan=7, subnets=subnets)
    return Site(networks={"red": red}, security_groups=groups, ports=held)


def wish_of(site):
    outward = {
        name
        for name, each in site.security_groups.items()
        if any(rule.direction is Direction.EGRESS for rule in each.rules)
    }
    some = [
        port(
            each.name,
            number=int(each.name[1:]),
            groups=each.security_groups,
            egress=not outward.isdisjoint(each.security_groups),
            addresses=each.ips,
        )
        for each in site.ports.values()
    ]
    members = {
        name: tuple(ip for each in site.ports.values() if name in each.security_groups for ip in each.ips)
        for name in site.security_groups
    }
    groups = [group(name, *each.rules) for name, each in site.security_groups.items()]
    return wish([network("red")], some, groups, **members)


@settings(deadline=None, max_examples=40)
@given(site=sites(), partial=st.booleans())
def test_the_rules_in_nsx_let_pass_exactly_what_the_site_allows(site, partial):
    there, wanted = Direct(), wish_of(site)
    there.intent.partial = partial
    there.apply(there.plan(wanted))
    plug_all(there, wanted)
    there.apply(there.plan(wanted))
    at = {tagged(held, "anyvisor:key")[0].removeprefix("port/"): path for path, held in there.ports().ports()}
    assert at.keys() == site.ports.keys()

    wall = Firewall(there.intent)
    for source, target in ((a, b) for a in site.ports for b in site.ports if a != b):
        for (protocol, version), word in PROTOCOLS.items():
            for number in (80, 81, 82, 9999) if protocol is not Protocol.ICMP else (None,):
                packet = Packet(
                    protocol=word,
                    source=site.ports[source].ips[version == 6],
                    target=site.ports[target].ips[version == 6],
                    target_port=number or 0,
                    kind=8 if version == 4 else 128,
                )
                real = wall.passes(at[source], packet, "OUT") and wall.passes(at[target], packet, "IN")
                should = allowed(site, source, target, protocol=protocol, port=number, version=version)
                assert real == should.allow, (packet, should.why)


@pytest.mark.parametrize("direction", ["IN", "OUT"])
@pytest.mark.parametrize("groups", [(), ("web",)])
def test_who_carries_no_tags_on_a_segment_of_ours_is_cut_off_not_unfiltered(groups, direction):
    there = Direct()
    rule = Rule(direction=Direction.INGRESS, protocol=Protocol.ANY)
    wanted = wish([network("red")], [port("p1", groups=groups)], [group("web", rule)])
    packet = Packet(protocol="TCP", source="10.0.0.9", target="10.0.0.1", target_port=80)

    def passes():
        path = next(path for path, _ in there.ports().ports())
        return Firewall(there.intent).passes(path, packet, direction)

    there.apply(there.plan(wanted))
    plug_all(there, wanted)
    before = passes()
    there.apply(there.plan(wanted))
    during = passes()
    there.apply(there.plan(EntityWish()))  # vCenter has not taken it out yet
    after = passes()

    assert (before, during, after) == (False, True, False)


@pytest.mark.parametrize(
    ("direction", "packet"),
    [
        (
            "OUT",
            Packet(
                protocol="UDP", source="0.0.0.0", target="255.255.255.255", source_port=68, target_port=67
            ),
        ),
        (
            "IN",
            Packet(protocol="UDP", source="10.0.0.254", target="10.0.0.1", source_port=67, target_port=68),
        ),
        (
            "OUT",
            Packet(protocol="UDP", source="fe80::1", target="ff02::1:2", source_port=546, target_port=547),
        ),
        ("IN", Packet(protocol="UDP", source="fe80::2", target="fe80::1", source_port=547, target_port=546)),
        ("OUT", Packet(protocol="ICMPv6", source="fe80::1", target="ff02::1:ff00:2", kind=135)),
        ("IN", Packet(protocol="ICMPv6", source="fe80::2", target="ff02::1:ff00:1", kind=135)),
        ("IN", Packet(protocol="ICMPv6", source="fe80::2", target="fe80::1", kind=136)),
        ("IN", Packet(protocol="ICMPv6", source="fe80::2", target="ff02::1", kind=134)),
        ("OUT", Packet(protocol="ICMPv6", source="fe80::1", target="ff02::2", kind=133)),
    ],
)
def test_a_filtered_port_still_gets_its_addresses_and_finds_its_neighbours(direction, packet):
    there = Direct()
    rule = Rule(direction=Direction.EGRESS, protocol=Protocol.TCP, cidr="192.0.2.0/24")
    wanted = wish([network("red")], [port("p1", groups=("web",), egress=True)], [group("web", rule)])
    there.apply(there.plan(wanted))
    plug_all(there, wanted)
    there.apply(there.plan(wanted))
    path = next(path for path, _ in there.ports().ports())

    assert Firewall(there.intent).passes(path, packet, direction)
    assert not Firewall(there.intent).passes(path, replace(packet, protocol="TCP", target_port=22), direction)
