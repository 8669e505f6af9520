# SPDX-License-Identifier: Apache-2.0
"""Who may talk to whom, by networks, routers and security groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.kinds import Direction, NetworkKind, Protocol
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Site
from anyvisor.planner.reach import allowed, allowed_from_outside, allowed_to_outside

NETWORKS = {
    "web": Network(
        name="web", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.1.0.0/24"), Subnet(cidr="fd00:1::/64"))
    ),
    "db": Network(name="db", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.2.0.0/24"),)),
    "lone": Network(name="lone", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.3.0.0/24"),)),
    "ext": Network(
        name="ext",
        kind=NetworkKind.VLAN,
        physical="fabric",
        vlan=100,
        subnets=(Subnet(cidr="203.0.113.0/24", gateway="203.0.113.1"),),
    ),
}
EXTERNAL = ExternalGateway(network="ext", ip="203.0.113.2")
TCP = {"protocol": Protocol.TCP, "version": 4}
HTTP = {"protocol": Protocol.TCP, "port": 80}


def ingress(**keys):
    return Rule(direction=Direction.INGRESS, **keys)


def egress(**keys):
    return Rule(direction=Direction.EGRESS, **keys)


def site(ports, *, external=EXTERNAL, **groups):
    return Site(
        networks=NETWORKS,
        routers={"r1": Router(name="r1", networks=("web", "db"), external=external)},
        security_groups={
            name: SecurityGroup(name=name, rules=tuple(rules)) for name, rules in groups.items()
        },
        ports={name: Port(name=name, **({"network": "web"} | keys)) for name, keys in ports.items()},
    )


def reach(world, source="a", target="b", *, port=80, **keys):
    return allowed(world, source, target, port=port, **(TCP | keys))


@pytest.mark.parametrize(
    ("source", "target", "version", "path"),
    [
        ("web", "web", 4, "same-network"),
        ("web", "web", 6, "same-network"),
        ("web", "db", 4, "routed"),
        ("db", "web", 4, "routed"),
        ("web", "db", 6, "none"),
        ("web", "lone", 4, "none"),
        ("lone", "web", 4, "none"),
        ("web", "ext", 4, "routed"),
        ("ext", "web", 4, "none"),
    ],
)
def test_networks_and_routers_decide_what_is_joined(source, target, version, path):
    verdict = reach(site({"a": {"network": source}, "b": {"network": target}}), version=version)

    assert verdict.path == path
    assert verdict.allow is (path != "none")


def test_what_is_not_joined_is_not_let_through_by_a_rule():
    world = site({"a": {}, "b": {"network": "lone", "security_groups": ("open",)}}, open=[ingress()])

    verdict = reach(world)

    assert (verdict.allow, verdict.path) == (False, "none")
    assert verdict.why == "no router joins web and lone for IPv4"


def test_a_group_lets_in_only_what_a_rule_of_it_names():
    world = site(
        {"a": {}, "b": {"security_groups": ("g",)}},
        g=[ingress(protocol=Protocol.TCP, ports=(PortRange(first=80, last=90),))],
    )

    assert reach(world, port=80).allow
    assert reach(world, port=90).why.endswith("; group g: ingress tcp 80-90 from any")
    assert not reach(world, port=91).allow
    assert not reach(world, port=80, protocol=Protocol.UDP).allow
    assert not reach(world, port=None, protocol=Protocol.ICMP).allow
    assert reach(world, port=22).why == "no ingress rule of g on b lets tcp 22 from a pass"


def test_rules_of_all_groups_of_a_port_add_up():
    world = site(
        {"a": {}, "b": {"security_groups": ("none", "icmp")}}, none=[], icmp=[ingress(protocol=Protocol.ICMP)]
    )

    assert reach(world, protocol=Protocol.ICMP, port=None).allow
    assert not reach(world).allow


def test_a_rule_for_a_group_goes_by_membership():
    world = site(
        {
            "a": {"security_groups": ("clients",)},
            "b": {"security_groups": ("servers",)},
            "c": {},
        },
        clients=[],
        servers=[ingress(group="clients")],
    )

    assert reach(world, "a", "b").allow
    assert not reach(world, "c", "b").allow
    assert not reach(world, "b", "a").allow


def test_a_rule_for_a_prefix_goes_by_addresses():
    world = site(
        {"a": {"ips": ("10.1.0.10",)}, "b": {"security_groups": ("g",)}, "c": {}},
        g=[ingress(cidr="10.1.0.8/29")],
    )

    assert reach(world, "a", "b").allow
    assert not reach(world, "c", "b").allow
    assert reach(world, "c", "b", addresses={"c": ("10.1.0.12",)}).allow
    assert not reach(world, "a", "b", addresses={"a": ("10.1.0.99",)}).allow


def test_a_port_without_a_known_address_fits_a_prefix_that_holds_its_whole_subnet():
    world = site({"a": {}, "b": {"security_groups": ("g",)}}, g=[ingress(cidr="10.0.0.0/8")])

    assert reach(world).allow
    assert not reach(world, version=6).allow


def test_a_prefix_of_the_other_version_never_fits():
    world = site({"a": {}, "b": {"security_groups": ("g",)}}, g=[ingress(cidr="::/0")])

    assert reach(world, version=6).allow
    assert not reach(world, version=4).allow


def test_sending_is_free_until_some_group_has_an_egress_rule():
    free = site({"a": {"security_groups": ("g",)}, "b": {}}, g=[ingress()])
    bound = site({"a": {"security_groups": ("g", "h")}, "b": {}}, g=[], h=[egress(protocol=Protocol.UDP)])

    assert reach(free).allow
    assert reach(bound, protocol=Protocol.UDP).allow
    assert reach(bound).why == "no egress rule of g, h on a lets tcp 80 to b pass"


def test_a_translated_sender_is_not_recognised_as_a_member():
    ports = {"a": {"security_groups": ("g",)}, "b": {"network": "ext", "security_groups": ("h",)}}
    by_group = site(ports, g=[], h=[ingress(group="g")])
    by_address = site(ports, g=[], h=[ingress(cidr="203.0.113.2/32")])

    assert not reach(by_group).allow
    assert reach(by_address).allow
    assert reach(by_address).path == "routed"


def test_a_sender_with_a_floating_ip_arrives_under_it():
    ports = {"a": {"floating_ip": "203.0.113.9"}, "b": {"network": "ext", "security_groups": ("h",)}}

    assert reach(site(ports, h=[ingress(cidr="203.0.113.9/32")])).allow


def test_without_translation_the_sender_arrives_as_itself():
    ports = {"a": {"security_groups": ("g",)}, "b": {"network": "ext", "security_groups": ("h",)}}

    world = site(ports, external=ExternalGateway(network="ext", snat=False), g=[], h=[ingress(group="g")])

    assert reach(world).allow


def test_a_port_without_an_address_of_that_version_is_not_reached():
    verdict = reach(site({"a": {}, "b": {}}), version=6, addresses={"b": ("10.1.0.5",)})

    assert (verdict.allow, verdict.path, verdict.why) == (False, "none", "b has no IPv6 address")


@pytest.mark.parametrize(
    ("keys", "address", "allow", "path"),
    [
        ({"floating_ip": "203.0.113.9"}, "198.51.100.7", True, "routed"),
        ({"floating_ip": "203.0.113.9"}, "203.0.113.50", True, "routed"),
        ({}, "198.51.100.7", False, "none"),
        ({"network": "lone"}, "198.51.100.7", False, "none"),
        ({"network": "ext"}, "203.0.113.50", True, "same-network"),
        ({"network": "ext"}, "198.51.100.7", True, "routed"),
        ({}, "10.1.0.77", False, "none"),
        ({"floating_ip": "203.0.113.9"}, "2001:db8::1", False, "none"),
    ],
)
def test_a_host_outside_needs_a_floating_ip_or_the_same_wire(keys, address, allow, path):
    verdict = allowed_from_outside(site({"a": keys}), "a", address=address, **HTTP)

    assert (verdict.allow, verdict.path) == (allow, path)


def test_a_host_outside_is_filtered_by_its_own_address():
    ports = {"a": {"floating_ip": "203.0.113.9", "security_groups": ("g",)}}
    world = site(ports, g=[ingress(cidr="198.51.100.0/24"), ingress(group="g")])

    assert allowed_from_outside(world, "a", address="198.51.100.7", **HTTP).allow
    assert not allowed_from_outside(world, "a", address="192.0.2.7", **HTTP).allow


@pytest.mark.parametrize(
    ("keys", "external", "allow"),
    [
        ({}, EXTERNAL, True),
        ({"network": "db"}, EXTERNAL, True),
        ({"network": "ext"}, EXTERNAL, True),
        ({"network": "lone"}, EXTERNAL, False),
        ({}, None, False),
        ({"security_groups": ("g",)}, EXTERNAL, False),
    ],
)
def test_the_way_out_needs_a_router_with_an_external_network(keys, external, allow):
    world = site({"a": keys}, external=external, g=[egress(cidr="10.0.0.0/8")])

    assert allowed_to_outside(world, "a", address="198.51.100.7", **HTTP).allow is allow


rules = st.builds(
    Rule,
    direction=st.sampled_from(Direction),
    protocol=st.sampled_from(Protocol),
    ports=st.just(()),
    cidr=st.sampled_from([None, "10.1.0.0/24", "10.1.0.10/32", "0.0.0.0/0", "fd00:1::/64"]),
    group=st.none(),
) | st.builds(Rule, direction=st.sampled_from(Direction), group=st.sampled_from(["g0", "g1"]))


@st.composite
def worlds(draw):
    groups = {name: draw(st.lists(rules, max_size=3)) for name in ("g0", "g1")}
    ports = {
        name: {
            "network": draw(st.sampled_from(sorted(NETWORKS))),
            "security_groups": tuple(draw(st.lists(st.sampled_from(["g0", "g1"]), unique=True))),
        }
        for name in ("a", "b")
    }
    return site(ports, **groups)


packets = st.fixed_dictionaries(
    {
        "protocol": st.sampled_from([Protocol.TCP, Protocol.UDP, Protocol.ICMP]),
        "port": st.sampled_from([22, 80]),
        "version": st.sampled_from([4, 6]),
    }
)


@given(worlds(), packets)
def test_what_is_joined_is_joined_both_ways_but_for_the_way_out(world, packet):
    there, back = reach(world, "a", "b", **packet), reach(world, "b", "a", **packet)
    networks = {world.ports["a"].network, world.ports["b"].network}

    assert there.path == back.path or "ext" in networks


@given(worlds(), packets)
def test_ports_in_no_group_are_filtered_by_nothing(world, packet):
    ports = {name: {"network": port.network} for name, port in world.ports.items()}

    verdict = reach(site(ports), **packet)

    assert verdict.allow is (verdict.path != "none")


@given(worlds(), packets, rules)
def test_another_ingress_rule_never_closes_what_was_open(world, packet, rule):
    if rule.direction is Direction.EGRESS:
        return
    groups = {name: [*group.rules, rule] for name, group in world.security_groups.items()}
    ports = {
        name: {"network": port.network, "security_groups": port.security_groups}
        for name, port in world.ports.items()
    }

    assert reach(site(ports, **groups), **packet).allow >= reach(world, **packet).allow


@given(worlds(), packets)
def test_every_verdict_has_a_reason_and_only_joined_ports_are_let_through(world, packet):
    verdict = reach(world, **packet)

    assert verdict.why
    assert not (verdict.allow and verdict.path == "none")
