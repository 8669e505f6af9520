# SPDX-License-Identifier: Apache-2.0
"""Logical objects against a real OVN: rows in, rows out, and what northd makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product

import pytest

from anyvisor.drivers.openvswitch.switch import OpenvSwitch
from anyvisor.drivers.ovn.controller import OvnController
from anyvisor.errors import ConflictError
from anyvisor.model.kinds import AttachmentKind, Direction, NetworkKind, Protocol
from anyvisor.model.logical import (
    LogicalGroup,
    LogicalNetwork,
    LogicalPort,
    LogicalRouter,
    RouterLeg,
    Segment,
    Translation,
)
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.security import PortRange, Rule, SecurityGroup
from anyvisor.model.site import Site
from anyvisor.planner.moves import Binding
from anyvisor.planner.reach import allowed
from anyvisor.testing.daemons import wait_until
from anyvisor.testing.sandbox import OvnSandbox

pytestmark = pytest.mark.ovn

SUBNETS = (
    Subnet(cidr="10.1.0.0/24", gateway="10.1.0.1", dhcp=True, dns=("192.0.2.53",)),
    Subnet(cidr="fd00:1::/64", gateway="fd00:1::1", dhcp=True),
)
WEB = LogicalNetwork(name="web", subnets=SUBNETS, mtu=1442, router_mac="02:00:00:00:00:01")
EXT = LogicalNetwork(
    name="ext",
    subnets=(Subnet(cidr="203.0.113.0/24", gateway="203.0.113.254"),),
    mtu=1500,
    segment=Segment(physical="fabric", vlan=100),
)
R1 = LogicalRouter(
    name="r1",
    legs=(
        RouterLeg(
            network="web",
            mac="02:00:00:00:00:01",
            addresses=("10.1.0.1/24", "fd00:1::1/64"),
            mtu=1442,
            advertise=True,
            dhcpv6=True,
        ),
    ),
    gateway=RouterLeg(
        network="ext",
        mac="02:00:00:00:00:02",
        addresses=("203.0.113.7/24",),
        mtu=1500,
        chassis=("gw1", "gw2"),
    ),
    next_hops=("203.0.113.254",),
    translations=(Translation(kind="snat", external="203.0.113.7", logical="10.1.0.0/24"),),
)
OPEN = LogicalGroup(name="open", rules=(Rule(direction=Direction.INGRESS),))


def port(number: int, **changes: object) -> LogicalPort:
    base = LogicalPort(
        name=f"vm{number}",
        network="web",
        kind=AttachmentKind.VIF,
        mac=f"52:54:00:00:00:{number:02x}",
        addresses=(f"10.1.0.{number + 10}", f"fd00:1::{number + 10:x}"),
        groups=("open",),
        chassis=("kvm1",),
        dhcp=(4, 6),
        subnets=("10.1.0.0/24", "fd00:1::/64"),
    )
    return replace(base, **changes)


@pytest.fixture
def sandbox() -> Iterator[OvnSandbox]:
    with OvnSandbox() as running:
        yield running


@pytest.fixture
def controller(sandbox: OvnSandbox) -> Iterator[OvnController]:
    driver = OvnController(sandbox.northbound, sandbox.southbound, "owner-1", timeout_seconds=10)
    driver.start()
    yield driver
    driver.close()


def put(controller: OvnController, *wanted: object) -> int:
    planned = controller.plan(wanted, ())
    assert planned.refusals == ()
    controller.apply(planned)
    return len(planned.changes)


def names(sandbox: OvnSandbox, table: str) -> set[str]:
    return {row["name"] for row in sandbox.rows(table, "name")}


def test_what_was_written_is_found_again_and_needs_no_second_write(sandbox, controller):
    written = put(controller, WEB, EXT, R1, OPEN, port(1), port(2))

    again = controller.plan((WEB, EXT, R1, OPEN, port(1), port(2)), ())

    assert written > 0
    assert again.changes == ()
    assert {key.name for key in controller.owned()} == {"web", "ext", "r1", "open", "vm1", "vm2"}


def test_all_objects_go_in_one_transaction_whatever_their_order(sandbox, controller):
    before = sandbox.rows("NB_Global", "nb_cfg")
    planned = controller.plan((port(1), R1, OPEN, EXT, WEB), ())

    controller.apply(planned)

    assert planned.refusals == ()
    assert names(sandbox, "Logical_Switch") == {"web", "ext"}
    assert names(sandbox, "Logical_Switch_Port") >= {"vm1", "web:r1", "ext:localnet"}
    assert sandbox.rows("NB_Global", "nb_cfg") == before


def test_removing_everything_leaves_an_empty_database(sandbox, controller):
    floating = port(1, floating_ip="203.0.113.11", router="r1", gateway_network="ext")
    external = replace(
        WEB, segment=Segment(physical="fabric", vlan=200), external_chassis=("kvm1", "kvm2", "kvm3")
    )
    put(controller, external, EXT, R1, OPEN, floating, port(2, kind=AttachmentKind.EXTERNAL))

    controller.apply(controller.plan((), controller.owned()))

    for table in (
        "Logical_Switch",
        "Logical_Switch_Port",
        "Logical_Router",
        "Logical_Router_Port",
        "NAT",
        "DHCP_Options",
        "HA_Chassis_Group",
        "HA_Chassis",
        "Gateway_Chassis",
        "Address_Set",
    ):
        assert sandbox.rows(table) == [], table
    assert controller.owned() == frozenset()


def test_a_foreign_row_of_the_same_name_is_reported_and_left_alone(sandbox, controller):
    sandbox.nbctl("ls-add", "web", "--", "lsp-add", "web", "vm9")
    foreign = sandbox.rows("Logical_Switch")

    planned = controller.plan((WEB, OPEN, port(1)), ())
    controller.apply(planned)

    assert {(refusal.key.name, refusal.reason) for refusal in planned.refusals} == {
        ("web", "ForeignRow"),
        ("vm1", "WaitsFor"),
    }
    assert sandbox.rows("Logical_Switch") == foreign
    assert names(sandbox, "Logical_Switch_Port") == {"vm9"}


def test_rows_of_another_installation_are_neither_seen_nor_pruned(sandbox, controller):
    put(controller, WEB)
    other = OvnController(sandbox.northbound, sandbox.southbound, "owner-2", timeout_seconds=10)
    other.start()

    owned = other.owned()
    other.close()

    assert owned == frozenset()
    assert names(sandbox, "Logical_Switch") == {"web"}


def test_drift_is_put_right(sandbox, controller):
    put(controller, WEB, OPEN, port(1))
    sandbox.nbctl("lsp-set-port-security", "vm1")
    sandbox.nbctl("lsp-set-type", "vm1", "virtual")

    assert put(controller, WEB, OPEN, port(1)) == 1

    row = next(row for row in sandbox.rows("Logical_Switch_Port") if row["name"] == "vm1")
    assert row["port_security"] == "52:54:00:00:00:01 10.1.0.11 fd00:1::b"
    assert row["type"] == ""


def test_a_port_that_changes_networks_moves_whole(sandbox, controller):
    other = replace(WEB, name="db", subnets=(Subnet(cidr="10.2.0.0/24"),), router_mac=None)
    put(controller, WEB, other, OPEN, port(1))

    put(controller, port(1, network="db", addresses=("10.2.0.5",), subnets=("10.2.0.0/24",), dhcp=()))

    switches = {row["name"]: row["ports"] for row in sandbox.rows("Logical_Switch")}
    assert switches["web"] == ["set", []]
    assert switches["db"][0] == "uuid"
    group = next(row for row in sandbox.rows("Port_Group") if row["name"] == "av.open")
    assert group["ports"] == switches["db"]


def test_a_plan_made_before_somebody_deleted_the_row_is_a_conflict(sandbox, controller):
    put(controller, WEB, OPEN, port(1))
    planned = controller.plan((port(1, chassis=("kvm2",)),), ())
    sandbox.nbctl("lsp-del", "vm1")

    with pytest.raises(ConflictError):
        _until_conflict(controller, planned)


def _until_conflict(controller: OvnController, planned: object) -> None:
    # The replica learns of the deletion a moment after ovn-nbctl returns; the server refuses in between.
    for _ in range(100):
        controller.apply(planned)


def test_a_group_that_was_lost_comes_back_with_its_members(sandbox, controller):
    put(controller, WEB, OPEN, port(1), port(2))
    sandbox.nbctl("pg-del", "av.open")
    sandbox.sync()

    put(controller, OPEN)

    group = next(row for row in sandbox.rows("Port_Group") if row["name"] == "av.open")
    assert len(group["ports"][1]) == 2


def test_northd_accepts_every_row(sandbox, controller):
    chassis = ("kvm1", "kvm2", "kvm3")
    external = replace(WEB, segment=Segment(physical="fabric", vlan=200), external_chassis=chassis)
    rules = (
        Rule(
            direction=Direction.INGRESS,
            protocol=Protocol.TCP,
            ports=(PortRange(first=1, last=9),),
            cidr="10.0.0.0/8",
        ),
        Rule(
            direction=Direction.INGRESS,
            protocol=Protocol.TCP,
            ports=(PortRange(first=1, last=9),),
            cidr="11.0.0.0/8",
        ),
        Rule(direction=Direction.EGRESS, protocol=Protocol.UDP, cidr="fd00::/8"),
        Rule(direction=Direction.INGRESS, protocol=Protocol.ICMP, group="web-tier"),
    )
    odd = LogicalGroup(name="web-tier", rules=rules)
    put(controller, external, EXT, R1, odd, port(1, groups=("web-tier",), filtered_egress=True))

    sandbox.sync()

    log = (sandbox.directory / "northd.log").read_text()
    assert "ERR" not in log
    assert not [line for line in log.splitlines() if "WARN" in line and "Unknown chassis" not in line]
    assert sandbox.rows("Logical_Flow", southbound=True) != []


def test_a_port_is_up_once_a_real_chassis_has_bound_it(sandbox, controller):
    host = sandbox.add_chassis("kvm1")
    put(controller, WEB, OPEN, port(1))
    assert controller.up(["vm1"]) == {"vm1": False}
    woken = []
    controller.watch(woken.append)

    host.plug("vm1")
    lagging = controller.barrier(["kvm1"], timeout_seconds=20)
    sandbox.nbctl("wait-until", "Logical_Switch_Port", "vm1", "up=true")

    assert lagging == frozenset()
    assert ObjectKey("port", "vm1") in woken
    assert controller.up(["vm1", "vm2"]) == {"vm1": True, "vm2": False}


def test_the_barrier_does_not_wait_for_ever_for_a_dead_chassis(sandbox, controller):
    host = sandbox.add_chassis("kvm1")
    host.controller.kill()
    put(controller, WEB)

    assert controller.barrier(["kvm1"], timeout_seconds=0.5) == {"kvm1"}


def test_the_chassis_of_a_removed_host_is_reaped_and_a_foreign_one_is_not(sandbox, controller):
    ours, foreign = sandbox.add_chassis("kvm1"), sandbox.add_chassis("stranger")
    controller.tidy_chassis(["kvm1"])
    ours.controller.kill()

    reaped = controller.tidy_chassis([])

    assert reaped == ("kvm1",)
    assert {row["name"] for row in sandbox.rows("Chassis", southbound=True)} == {"stranger"}
    assert foreign.name in controller.chassis()


GROUPS = {
    "web": SecurityGroup(
        name="web",
        rules=(
            Rule(direction=Direction.INGRESS, protocol=Protocol.TCP, ports=(PortRange(first=80, last=81),)),
            Rule(direction=Direction.INGRESS, protocol=Protocol.ICMP, group="db"),
        ),
    ),
    "db": SecurityGroup(
        name="db",
        rules=(
            Rule(direction=Direction.INGRESS, protocol=Protocol.UDP, cidr="10.1.0.11/32"),
            Rule(direction=Direction.EGRESS, protocol=Protocol.TCP, group="web"),
        ),
    ),
}
MEMBERS: dict[int, tuple[str, ...]] = {1: ("web",), 2: ("db",), 3: ("web", "db"), 4: ()}


def test_the_flows_that_northd_makes_agree_with_the_policy(sandbox, controller):
    """Every ordered pair, several protocols: ovn-trace against the yardstick that the lab's real packets use."""
    site = Site(
        networks={"web": Network(name="web", kind=NetworkKind.OVERLAY, subnets=SUBNETS)},
        security_groups=GROUPS,
        ports={
            f"vm{number}": Port(
                name=f"vm{number}",
                network="web",
                mac=port(number).mac,
                ips=port(number).addresses,
                security_groups=groups,
            )
            for number, groups in MEMBERS.items()
        },
    )
    groups = [LogicalGroup(name=name, rules=group.rules) for name, group in GROUPS.items()]
    members = [
        port(number, groups=own, chassis=(), filtered_egress="db" in own) for number, own in MEMBERS.items()
    ]
    put(controller, WEB, *groups, *members)
    sandbox.sync()

    wrong = []
    for (source, target), (protocol, number) in product(
        permutations(MEMBERS, 2),
        [(Protocol.TCP, 80), (Protocol.TCP, 82), (Protocol.UDP, 53), (Protocol.ICMP, None)],
    ):
        expected = allowed(
            site, f"vm{source}", f"vm{target}", protocol=protocol, port=number, version=4
        ).allow
        if _traced(sandbox, source, target, protocol, number) != expected:
            wrong.append((source, target, protocol, number, expected))

    assert wrong == []


def _traced(sandbox: OvnSandbox, source: int, target: int, protocol: Protocol, number: int | None) -> bool:
    from anyvisor.testing.daemons import run

    what = "icmp4.type==8" if protocol is Protocol.ICMP else f"{protocol}.dst=={number}"
    flow = (
        f'inport=="vm{source}" && eth.src==52:54:00:00:00:{source:02x} && eth.dst==52:54:00:00:00:{target:02x} && '
        f"ip4.src==10.1.0.{source + 10} && ip4.dst==10.1.0.{target + 10} && ip.ttl==64 && {what}"
    )
    printed = run(
        "ovn-trace",
        f"--db={sandbox.southbound}",
        "--ct=new",
        "--ct=new",
        "--ct=new",
        "--minimal",
        "web",
        flow,
    )
    return f'output("vm{target}")' in printed


def test_a_port_that_is_followed_shows_both_chassis_and_then_the_one_it_moved_to(sandbox, controller):
    hosts = [sandbox.add_chassis(name) for name in ("kvm1", "kvm2")]
    put(controller, WEB, OPEN, port(1), port(2))
    for host in hosts:
        host.plug("vm1")
    controller.follow(["vm1"])
    woken = []
    controller.watch(woken.append)

    put(controller, port(1, chassis=("kvm1", "kvm2")))
    both = Binding(chassis="kvm1", also=frozenset({"kvm2"}), up=True)
    wait_until(lambda: controller.bindings(["vm1", "vm2"]) == {"vm1": both}, "both have claimed it")
    put(controller, port(1, chassis=("kvm2",)))
    moved = Binding(chassis="kvm2", up=True)
    wait_until(lambda: controller.bindings(["vm1"]) == {"vm1": moved}, "it is up on the other")

    assert ObjectKey("port", "vm1") in woken
    controller.follow([])
    assert controller.bindings(["vm1"]) == {}


def test_the_peers_of_a_chassis_are_those_that_ovn_has_made_tunnels_to(sandbox):
    first, _ = sandbox.add_chassis("kvm1"), sandbox.add_chassis("kvm2")
    switch = OpenvSwitch.connect(first.remote, owner=lambda: "")
    try:
        wait_until(lambda: switch.tunnels() == {"kvm2": "127.0.0.2"}, "the tunnel to kvm2 is there")
    finally:
        switch.close()


def members(sandbox: OvnSandbox, group: str) -> int:
    """How many ports a port group has, in OVSDB's JSON notation one or a set."""
    ports = next(row["ports"] for row in sandbox.rows("Port_Group") if row["name"] == group)
    return 1 if ports[0] == "uuid" else len(ports[1])


def guards(sandbox: OvnSandbox) -> list[str]:
    """The port groups of no security group that have members: what no rule lets in is dropped there."""
    return [name for name in names(sandbox, "Port_Group") - {"av.open"} if members(sandbox, name)]


@pytest.mark.parametrize("group", ["av.open", "guard"])
def test_a_member_that_somebody_took_out_of_a_group_is_noticed_and_put_back(sandbox, controller, group):
    put(controller, WEB, OPEN, port(1), port(2))
    name = group if group != "guard" else guards(sandbox)[0]
    assert members(sandbox, name) == 2
    woken = []
    controller.watch(woken.append)
    uuids = {row["name"]: row["_uuid"][1] for row in sandbox.rows("Logical_Switch_Port", "name", "_uuid")}
    sandbox.nbctl("remove", "Port_Group", name, "ports", uuids["vm1"])
    wait_until(lambda: ObjectKey("port", "vm1") in woken, "it is noticed")

    assert put(controller, WEB, OPEN, port(1), port(2)) == 1

    assert members(sandbox, name) == 2
    assert ObjectKey("port", "vm2") not in woken
    assert put(controller, WEB, OPEN, port(1), port(2)) == 0


def test_a_guard_that_somebody_deleted_is_noticed_and_comes_back_with_its_members(sandbox, controller):
    put(controller, WEB, OPEN, port(1), port(2))
    (guard,) = guards(sandbox)
    woken = []
    controller.watch(woken.append)
    sandbox.nbctl("pg-del", guard)
    wait_until(lambda: ObjectKey("group", "open") in woken, "it is noticed")

    put(controller, OPEN)

    assert members(sandbox, guard) == 2


@pytest.mark.parametrize(
    ("command", "noticed"),
    [
        (("lsp-del", "vm1"), ObjectKey("port", "vm1")),
        (("lsp-set-options", "vm1", "requested-chassis=elsewhere"), ObjectKey("port", "vm1")),
        (("acl-del", "av.open"), ObjectKey("group", "open")),
        (("lr-nat-del", "r1"), ObjectKey("router", "r1")),
    ],
)
def test_what_somebody_changed_by_hand_is_noticed_and_put_right(sandbox, controller, command, noticed):
    everything = (WEB, EXT, R1, OPEN, port(1))
    put(controller, *everything)
    woken = []
    controller.watch(woken.append)
    sandbox.nbctl(*command)
    wait_until(lambda: noticed in woken, "it is noticed")

    # northd's answer to the port (`up`) wakes too, and may come before what was done by hand.
    wait_until(lambda: put(controller, *everything) > 0, "it is put right")
    assert put(controller, *everything) == 0
