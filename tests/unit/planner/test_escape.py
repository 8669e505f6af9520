# SPDX-License-Identifier: Apache-2.0
"""An escape is never silent, and neither is a rule that nobody enforces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Protocol, Scheme, SwitchKind
from anyvisor.model.network import Network
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Site
from anyvisor.planner.escape import (
    OWN_ADDRESSES,
    Circle,
    Station,
    escape_groups,
    escapes,
    escapes_of_port,
    stations,
    unenforced,
)

NATIVE = {Scheme.SEPARATION, Scheme.VENDOR}
BRIDGE = (NativeSwitch(name="br0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),)
GROUP = SecurityGroup(
    name="web",
    rules=(
        Rule(direction=Direction.INGRESS, protocol=Protocol.TCP, ports=(PortRange(first=443, last=443),)),
        Rule(direction=Direction.EGRESS, protocol=Protocol.ICMP),
    ),
)


def site(ports, hosts=("k1", "k2", "k3")):
    return Site(
        hosts={name: Host(name=name, hypervisor=Hypervisor.KVM, switches=BRIDGE) for name in hosts},
        networks={name: Network(name=name, kind=NetworkKind.OVERLAY) for name in ("web", "db")},
        security_groups={"web": GROUP},
        ports={
            f"p{number}": Port(name=f"p{number}", network=network, host=host, security_groups=groups)
            for number, (network, host, groups) in enumerate(ports)
        },
    )


@given(
    ports=st.lists(
        st.tuples(st.sampled_from(["web", "db"]), st.sampled_from(["k1", "k2", "k3", None]), st.just(())),
        max_size=9,
    ),
    schemes=st.fixed_dictionaries({name: st.none() | st.sampled_from(Scheme) for name in ("k1", "k2", "k3")}),
)
def test_exactly_the_pairs_behind_native_switches_on_one_network_escape(ports, schemes):
    world = site(ports)
    expected = {
        frozenset((a.name, b.name))
        for a in world.ports.values()
        for b in world.ports.values()
        if a.name < b.name
        and a.network == b.network
        and a.host
        and b.host
        and {schemes[a.host], schemes[b.host]} <= NATIVE
    }

    found = escapes(world, schemes)

    assert {frozenset((pair.source, pair.target)) for pair in found} == expected
    assert len(found) == len(expected) == sum(group.pair_count for group in escape_groups(world, schemes))
    assert all(pair.why and world.ports[pair.source].host == pair.host for pair in found)


def test_the_reason_tells_one_host_from_two():
    world = site([("web", "k1", ()), ("web", "k1", ()), ("web", "k2", ())])

    same, across, _ = escapes(world, dict.fromkeys(world.hosts, Scheme.SEPARATION))

    assert same.why == "both sit behind the native switch of k1, which the SDN controller does not program"
    assert "k1, k2" in across.why
    assert "VLAN of web" in across.why


def test_every_rule_of_a_port_behind_a_native_switch_is_named_also_those_that_go_without_saying():
    world = site([("web", "k1", ("web",)), ("web", "k2", ("web",)), ("web", "k1", ())])

    found = unenforced(world, {"k1": Scheme.SEPARATION, "k2": Scheme.BASELINE})

    assert [(rule.port, rule.rule) for rule in found] == [
        ("p0", "web: ingress tcp 443 from any"),
        ("p0", "web: egress icmp to any"),
        ("p0", "ingress any from any: denied by default"),
        ("p0", "egress any to any: denied by default"),
        ("p0", OWN_ADDRESSES),
        ("p2", OWN_ADDRESSES),
    ]
    assert all("br0 of k1" in rule.why for rule in found)


def test_one_ports_pairs_are_found_without_looking_at_the_others():
    members = [Station("p1", "k1"), Station("p2", "k2"), Station("p3", "k1")]

    pairs = list(escapes_of_port(members[1], Circle("web", tuple(members))))

    assert [(pair.host, pair.source, pair.target) for pair in pairs] == [
        ("k2", "p2", "p1"),
        ("k2", "p2", "p3"),
    ]


@pytest.mark.parametrize("count", [2_000])
def test_a_large_fleet_is_named_in_groups(count):
    hosts = [f"h{number}" for number in range(count)]
    world = site([("web", host, ()) for host in hosts for _ in range(5)], hosts)
    schemes = dict.fromkeys(hosts, Scheme.SEPARATION)

    (group,) = escape_groups(world, schemes)

    assert len(group.ports) == 5 * count
    assert len(escapes(world, schemes, at_most=100)) == 100
    assert len(stations(world, schemes)["web"]) == 5 * count
