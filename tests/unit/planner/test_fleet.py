# SPDX-License-Identifier: Apache-2.0
"""Taking changes in one by one leads to the same objects as compiling the whole site at once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Direction, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import ExternalGateway, Network, Router, Subnet
from anyvisor.model.policy import Policy
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State
from anyvisor.planner.decide import Decider
from anyvisor.planner.fleet import Fleet
from anyvisor.reconcile.engine import Engine, every_key
from anyvisor.testing.controller import FakeController
from anyvisor.testing.store import FakeStore

HOSTS = ("h1", "h2", "h3")
NETWORKS = ("n1", "n2")
GROUPS = ("g1", "g2")
PORTS = tuple(f"p{number}" for number in range(6))


def host(name: str, *, native: bool) -> Host:
    kind = SwitchKind.LINUX_BRIDGE if native else SwitchKind.OPENVSWITCH
    return Host(
        name=name,
        hypervisor=Hypervisor.KVM,
        scheme=Scheme.SEPARATION if native else None,
        switches=(NativeSwitch(name="br0", kind=kind, uplinks=("eth0",)),),
        nics=(Nic(name="eth0", physical="fabric"),),
    )


def network(name: str, *, dhcp: bool) -> Network:
    number = int(name[1:])
    return Network(
        name=name,
        kind=NetworkKind.OVERLAY,
        subnets=(
            Subnet(cidr=f"10.{number}.0.0/24", gateway=f"10.{number}.0.1", dhcp=dhcp),
            Subnet(cidr=f"fd00:{number}::/64"),
        ),
    )


OUTSIDE = Network(
    name="ext", kind=NetworkKind.VLAN, physical="fabric", vlan=7, subnets=(Subnet(cidr="203.0.113.0/24"),)
)

ports = st.builds(
    Port,
    name=st.just(""),
    network=st.sampled_from(NETWORKS),
    host=st.none() | st.sampled_from(HOSTS),
    security_groups=st.sets(st.sampled_from(GROUPS)).map(lambda names: tuple(sorted(names))),
)
rules = st.builds(Rule, direction=st.sampled_from(Direction), group=st.none() | st.sampled_from(GROUPS))


@st.composite
def sites(draw: st.DrawFn) -> Site:
    placed = draw(st.dictionaries(st.sampled_from(PORTS), ports))
    routed = draw(st.sets(st.sampled_from(NETWORKS)))
    router = Router(
        name="r1",
        networks=tuple(sorted(routed)),
        external=draw(st.none() | st.just(ExternalGateway(network="ext"))),
    )
    floating = draw(st.sets(st.sampled_from(PORTS)))
    return Site(
        hosts={name: host(name, native=draw(st.booleans())) for name in HOSTS},
        policy=Policy(vlans={"fabric": (200, 210)}),
        networks={"ext": OUTSIDE, **{name: network(name, dhcp=draw(st.booleans())) for name in NETWORKS}},
        routers={"r1": router} if routed else {},
        security_groups={
            name: SecurityGroup(name=name, rules=tuple(draw(st.lists(rules, max_size=2)))) for name in GROUPS
        },
        ports={
            name: replace(
                port,
                name=name,
                floating_ip=f"203.0.113.{100 + PORTS.index(name)}" if name in floating else None,
            )
            for name, port in placed.items()
        },
    )


def differing(before: Site, after: Site) -> set[ObjectKey]:
    kinds = {
        "host": (before.hosts, after.hosts),
        "network": (before.networks, after.networks),
        "router": (before.routers, after.routers),
        "group": (before.security_groups, after.security_groups),
        "port": (before.ports, after.ports),
    }
    return {
        ObjectKey(kind, name)
        for kind, (old, new) in kinds.items()
        for name in {*old, *new}
        if old.get(name) != new.get(name)
    }


@settings(max_examples=150, deadline=None)
@given(history=st.lists(sites(), min_size=1, max_size=4), data=st.data())
def test_one_change_after_the_other_leads_where_all_at_once_leads(history, data):
    store, controller = FakeStore(), FakeController()
    engine = Engine(store, controller, clock=lambda: 1000.0)
    before = Site()
    for site in history:
        store.write_site(site)
        store.changed(0)
        engine.round(differing(before, site))
        before = site

    fresh_store, fresh = FakeStore(), FakeController()
    fresh_store.write_site(history[-1])
    # Addresses and tags are stable, so the same history of decisions is handed over.
    fresh_store.adopt(store.snapshot())
    Engine(fresh_store, fresh, clock=lambda: 1000.0).round((), everything=True)

    assert controller.objects == fresh.objects


@settings(max_examples=100, deadline=None)
@given(sites())
def test_a_second_round_finds_nothing_to_do(site):
    store, controller = FakeStore(), FakeController()
    store.write_site(site)
    engine = Engine(store, controller, clock=lambda: 1000.0)
    engine.round((), everything=True)

    outcome = engine.round((), everything=True)

    assert outcome.changes == ()


@settings(max_examples=100, deadline=None)
@given(sites())
def test_no_two_ports_of_a_network_share_an_address(site):
    store = FakeStore()
    store.write_site(site)
    Engine(store, FakeController(), clock=lambda: 1000.0).round((), everything=True)

    given_out = [
        (site.ports[name].network, address)
        for name, decided in store.snapshot().ports.items()
        for address in decided.addresses
    ]

    assert len(given_out) == len(set(given_out))


def test_a_port_change_touches_only_that_port():
    site = Site(
        hosts={"h1": host("h1", native=False)},
        networks={"n1": network("n1", dhcp=True)},
        ports={name: Port(name=name, network="n1", host="h1") for name in PORTS},
    )
    fleet = Fleet()
    decider = Decider(fleet)
    decider.round(State(site=site), every_key(State(site=site)), now_seconds=0)
    moved = replace(site, ports={**site.ports, "p1": replace(site.ports["p1"], vm="other")})

    decided = decider.round(State(site=moved), [ObjectKey("port", "p1")], now_seconds=0)

    assert decided.touched == {ObjectKey("port", "p1")}


def test_a_host_whose_agent_reports_substitution_turns_its_ports_from_external_to_plain():
    site = Site(
        hosts={"h1": replace(host("h1", native=True), scheme=None), "h2": host("h2", native=False)},
        networks={"n1": replace(network("n1", dhcp=True), physical="fabric", vlan=9)},
        ports={"p1": Port(name="p1", network="n1", host="h1")},
    )
    store, controller = FakeStore(), FakeController()
    store.write_site(site)
    store.set_host("h1", HostState(carried=Scheme.SEPARATION))
    engine = Engine(store, controller, clock=lambda: 0.0)
    engine.round((), everything=True)
    before = controller.objects[ObjectKey("port", "p1")]
    segment = controller.objects[ObjectKey("network", "n1")].segment

    store.set_host("h1", HostState(scheme=Scheme.SUBSTITUTION, carried=Scheme.SUBSTITUTION))
    engine.round([ObjectKey("host", "h1")])

    after = controller.objects[ObjectKey("port", "p1")]
    assert (before.kind, after.kind) == ("external", "vif")
    assert after.chassis == ("h1",)
    assert segment is not None
    assert controller.objects[ObjectKey("network", "n1")].segment is None
