# SPDX-License-Identifier: Apache-2.0
"""The whole plan on paper, and what is left of it once it is carried out."""

import json
from dataclasses import replace

import pytest

from anyvisor.cli.plan_text import plan_lines
from anyvisor.model.attachment import Attachment
from anyvisor.model.condition import Condition
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Direction, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network
from anyvisor.model.policy import AppliancePolicy, Floor, Policy, Preference
from anyvisor.model.port import Port
from anyvisor.model.security import Rule, SecurityGroup
from anyvisor.model.site import Controller, Site
from anyvisor.model.state import HostState, Placement, PortState, State
from anyvisor.planner.escape import NO_INGRESS, OWN_ADDRESSES
from anyvisor.planner.explain import explain_host, explain_port
from anyvisor.planner.paper import choices, plan, to_json

OVS = (NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),)
BRIDGE = (NativeSwitch(name="br0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),)
VDS = (NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",)),)
SITE = Site(
    hosts={
        "kvm1": Host(name="kvm1", hypervisor=Hypervisor.KVM, switches=OVS),
        "kvm3": Host(name="kvm3", hypervisor=Hypervisor.KVM, switches=BRIDGE, scheme=Scheme.SEPARATION),
        "esx9": Host(name="esx9", hypervisor=Hypervisor.ESXI, version="8.0.3", switches=VDS, cluster="c1"),
    },
    networks={"web": Network(name="web", kind=NetworkKind.OVERLAY)},
    security_groups={"web": SecurityGroup(name="web", rules=(Rule(direction=Direction.INGRESS),))},
    ports={
        "vm1": Port(name="vm1", network="web", host="kvm1", security_groups=("web",)),
        "vm2": Port(name="vm2", network="web", host="kvm3", security_groups=("web",)),
        "vm3": Port(name="vm3", network="web", host="kvm3"),
        "vm4": Port(name="vm4", network="web"),
    },
)
KINDS = {"vm1": AttachmentKind.VIF, "vm2": AttachmentKind.EXTERNAL, "vm3": AttachmentKind.EXTERNAL}


def carried_out(site):
    chosen = {name: choice.scheme for name, choice in choices(site, State()).items()}
    return State(
        site=site,
        hosts={name: HostState(scheme=scheme, carried=scheme) for name, scheme in chosen.items()},
        attachments={
            name: Attachment(
                port=name,
                host=site.ports[name].host,
                kind=kind,
                network="web",
                mac="52:54:00:00:00:01",
                vlan=200 if kind is AttachmentKind.EXTERNAL else None,
            )
            for name, kind in KINDS.items()
        },
    )


def test_a_plan_on_paper_names_scheme_steps_escapes_and_rules_without_force():
    made = plan(SITE, State())

    assert [(host.host, host.scheme) for host in made.hosts] == [
        ("esx9", Scheme.APPLIANCE),
        ("kvm1", Scheme.BASELINE),
        ("kvm3", Scheme.SEPARATION),
    ]
    assert all(host.steps for host in made.hosts)
    assert [(pair.source, pair.target) for pair in made.escapes] == [("vm2", "vm3")]
    assert {rule.port for rule in made.unenforced} == {"vm2", "vm3"}
    assert {rule.rule for rule in made.unenforced if rule.port == "vm3"} == {OWN_ADDRESSES}, (
        "it is in no group"
    )
    assert made.hosts[2].predicts.controlled == 0.0
    assert {step.do for step in made.changes} == {"add"}


def test_a_plan_that_was_carried_out_is_empty():
    made = plan(SITE, carried_out(SITE))

    assert made.change_count == 0
    assert made.escapes, "what escapes is named as long as it does"


def test_a_vm_that_has_moved_is_planned_where_it_runs():
    state = carried_out(SITE)
    moved = replace(state.attachments["vm2"], host="kvm1", kind=AttachmentKind.VIF, vlan=None)
    state = replace(
        state,
        attachments={**state.attachments, "vm2": moved},
        placements={"vm2": Placement(host="kvm1")},
    )

    made = plan(SITE, state)

    assert made.change_count == 0, "the intent's host is where the VM was once, not where it is to go"
    assert made.escapes == (), "vm3 is alone behind kvm3's bridge now"
    assert {rule.port for rule in made.unenforced} == {"vm3"}


def test_a_new_port_on_a_host_in_force_is_one_step_and_one_change_of_intent():
    state = carried_out(SITE)
    more = replace(SITE, ports={**SITE.ports, "vm5": Port(name="vm5", network="web", host="kvm1")})

    made = plan(more, state)

    assert [(step.do, step.what) for host in made.hosts for step in host.steps] == [
        ("attach", "vNIC of port vm5 as vif")
    ]
    assert [(step.do, step.what) for step in made.changes] == [("add", "port vm5")]


def test_a_port_that_left_is_detached_and_a_changed_one_says_what_changed():
    state = carried_out(SITE)
    ports = {name: port for name, port in SITE.ports.items() if name != "vm3"}
    ports["vm1"] = replace(ports["vm1"], ips=("10.1.0.9",))

    made = plan(replace(SITE, ports=ports), state)

    assert [(step.do, step.what) for host in made.hosts for step in host.steps] == [
        ("detach", "vNIC of port vm3")
    ]
    assert [(step.do, step.what) for step in made.changes] == [
        ("change", "port vm1: ips"),
        ("remove", "port vm3"),
    ]


def test_the_floor_is_held_against_what_is_sure_whatever_other_hosts_get():
    unpinned = {name: replace(host, scheme=None) for name, host in SITE.hosts.items()}
    policy = Policy(default=Preference(prefer=(Scheme.SEPARATION,), floor=Floor(controlled=1.0)))
    one_each = {
        "a": Port(name="a", network="web", host="kvm3"),
        "b": Port(name="b", network="web", host="esx9"),
    }

    chosen = choices(replace(SITE, hosts=unpinned, policy=policy, ports=one_each), State())

    assert Scheme.SEPARATION not in {choice.scheme for choice in chosen.values()}


def test_the_document_has_the_promised_keys():
    document = json.loads(json.dumps(to_json(plan(SITE, State()))))

    assert {"hosts", "unenforced", "changes"} <= set(document)
    host = document["hosts"][2]
    assert set(host) == {
        "host",
        "hypervisor",
        "version",
        "scheme",
        "because",
        "rejected",
        "predicts",
        "steps",
    }
    assert set(host["rejected"][0]) == {"scheme", "code", "reason", "source"}
    assert set(host["predicts"]) == {"controlled", "observed", "local_hops", "bottleneck"}
    assert set(host["steps"][0]) == {"do", "on", "what"}
    assert set(document["unenforced"][0]) == {"rule", "port", "why"}
    assert document["escapes"][0]["from"] == "vm2"
    assert isinstance(document["changes"], int)


def test_a_host_is_explained_with_what_is_in_force():
    state = carried_out(SITE)
    made = plan(SITE, state)

    told = explain_host(made.hosts[2], state)

    assert told.to_json()["carried"] == "separation"
    assert "kvm3 (kvm): separation" in told.lines()
    assert any("substitution" in line and "LESS_PREFERRED" in line for line in told.lines())


def test_a_port_is_explained_with_what_is_enforced_seen_and_escaped():
    state = replace(
        carried_out(SITE),
        ports={"vm2": PortState(mac="52:54:00:00:00:02", addresses=("10.1.0.2",))},
        conditions={ObjectKey("port", "vm2"): (Condition(kind="Ready", true=True, reason="Up"),)},
    )
    schemes = {name: choice.scheme for name, choice in choices(SITE, state).items()}

    native = explain_port(SITE, state, "vm2", schemes)
    managed = explain_port(SITE, state, "vm1", schemes)
    unplaced = explain_port(SITE, state, "vm4", schemes)

    assert native.enforced == ()
    assert native.escape_count == 1
    assert json.dumps(native.to_json())
    assert any("escapes (1)" in line for line in native.lines())
    assert managed.enforced == ("web: ingress any from any", NO_INGRESS, OWN_ADDRESSES)
    assert managed.unenforced == ()
    assert managed.seen.startswith("The SDN controller")
    assert unplaced.seen.startswith("Nobody")


@pytest.mark.parametrize(
    ("database", "southbound", "named"),
    [
        ("tcp:192.0.2.1:6640", "ssl:192.0.2.1:6642", ["policy.appliance.database"]),
        ("ssl:192.0.2.1:6640", "tcp:192.0.2.1:6642", ["the southbound database"]),
        ("ssl:192.0.2.1:6640", "ssl:192.0.2.1:6642", []),
    ],
)
def test_the_plan_says_where_appliances_have_to_trust_the_network(database, southbound, named):
    host = Host(name="esx1", hypervisor=Hypervisor.ESXI, version="8.0.3", scheme=Scheme.APPLIANCE)
    made = AppliancePolicy(template="t", management="m", tunnel="u", database=database)
    site = Site(
        controller=Controller(driver="ovn", northbound="unix:/x", southbound=southbound),
        hosts={"esx1": host},
        policy=Policy(appliance=made),
    )
    planned = plan(site, State())
    assert [each.scheme for each in planned.hosts] == [Scheme.APPLIANCE]

    said = [line for line in plan_lines(planned, site, source="", why=False) if "by tcp:" in line]

    assert len(said) == bool(named)
    assert all(name in said[0] for name in named)
