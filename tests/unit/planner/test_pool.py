# SPDX-License-Identifier: Apache-2.0
"""Where the vNICs of an XAPI pool's hosts belong, on what terms, and what its hosts are judged by."""

from dataclasses import replace

import pytest

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import (
    Backing,
    Card,
    CardId,
    Estate,
    Giveback,
    Group,
    MakeGroup,
    Plugin,
    Terms,
)
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.network import Network
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import HostState, PortState, State
from anyvisor.planner import facts
from anyvisor.planner.chassis import Chassis, ObservedBridge, ObservedChassis, chassis_plan, provider_bridges
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.facts import traits
from anyvisor.planner.schemes.load import Load
from anyvisor.planner.schemes.registry import SCHEMES
from anyvisor.planner.terms import agreed
from anyvisor.planner.wanted import wanted_of

MAC = "52:54:00:00:00:01"
SWITCHES = tuple(
    NativeSwitch(name=f"xenbr{n}", kind=SwitchKind.OPENVSWITCH, uplinks=(f"eth{n}",)) for n in range(3)
)
XEN1 = Host(
    name="xen1",
    hypervisor=Hypervisor.XEN,
    version="8.3.0",
    cluster="pool1",
    switches=SWITCHES,
    nics=(Nic(name="eth0"), Nic(name="eth1", physical="fabric"), Nic(name="eth2", physical="other")),
    facts={"toolstack": "xapi", "network_backend": "openvswitch", "vif_locking": True},
)
CARD = Card(
    id=CardId("u1", "0"),
    mac=MAC,
    vm="vm1",
    host="xen1",
    backing=Backing(switch="xenbr1", kind=SwitchKind.OPENVSWITCH, group="guests"),
    terms=Terms(),
)
INTEGRATION = Group(switch="br-int", name="av-0f0f0f0f++br-int", key="integration")


def world(kind, *, carried=Scheme.BASELINE, host=XEN1, shown=None, card=CARD, groups=(), physical="fabric"):
    """The plan for one port of one host."""
    scheme = Scheme.SEPARATION if kind is AttachmentKind.EXTERNAL else Scheme.BASELINE
    vlan = 200 if kind is AttachmentKind.EXTERNAL else None
    attachment = Attachment(port="p1", host="xen1", kind=kind, network="web", mac=MAC, vlan=vlan)
    site = Site(
        managers={"pool1": Manager(name="pool1", driver="xapi", url="https://pool1")},
        hosts={"xen1": host},
        networks={"web": Network(name="web", kind=NetworkKind.OVERLAY, physical=physical)},
        ports={"p1": Port(name="p1", network="web", vm="vm1", host="xen1", mac=MAC)},
    )
    state = State(
        owner="0f0f0f0f-1",
        site=site,
        hosts={"xen1": HostState(scheme=scheme, carried=carried)},
        ports={"p1": PortState(mac=MAC, addresses=("10.1.0.11", "fd00::11"))},
        attachments={"p1": attachment},
    )
    estate = Estate(
        hosts={"xen1": shown or host},
        cards={card.id: card},
        groups={group.identity: group for group in groups},
    )
    return estate_plan(wanted_of(state, estate, lambda _, __: {}), estate)


def test_under_baseline_a_vnic_goes_into_the_integration_bridge_by_its_ports_name():
    plan = world(AttachmentKind.VIF)

    assert plan.steps == (
        MakeGroup(group=INTEGRATION),
        Plugin(card=CARD.id, switch="br-int", group=INTEGRATION.name, terms=Terms(iface="p1")),
    )


@pytest.mark.parametrize("carried", [None, Scheme.SEPARATION])
def test_it_waits_for_the_agent_in_dom0(carried):
    plan = world(AttachmentKind.VIF, carried=carried)

    assert plan.steps == (MakeGroup(group=INTEGRATION),)
    assert "agent in dom0 of xen1" in plan.problems["p1"]


def test_it_waits_for_the_backend_to_be_switched():
    backend = {**XEN1.facts, "network_backend": "bridge"}
    bridged = replace(XEN1, facts=backend, switches=(replace(SWITCHES[1], kind=SwitchKind.LINUX_BRIDGE),))

    plan = world(AttachmentKind.VIF, host=bridged)

    assert plan.steps == ()
    assert "xe-switch-network-backend" in plan.problems["p1"]
    assert world(AttachmentKind.VIF, host=bridged, shown=XEN1).steps != ()


def test_under_separation_it_goes_into_its_networks_vlan_on_the_card_that_leads_there():
    make, plug = world(AttachmentKind.EXTERNAL).steps

    assert (make.group.switch, make.group.vlan, make.group.key) == ("xenbr1", 200, "network/web")
    assert plug.terms == Terms(addresses=("10.1.0.11", "fd00::11", "fe80::5054:ff:fe00:1"))
    other, _ = world(AttachmentKind.EXTERNAL, physical="other").steps
    assert other.group.switch == "xenbr2"
    anywhere, _ = world(AttachmentKind.EXTERNAL, physical=None).steps
    assert anywhere.group.switch == "xenbr1"  # not the management's


def test_where_nothing_can_be_locked_nothing_is():
    unlocked = replace(XEN1, facts={**XEN1.facts, "vif_locking": False})

    _, plug = world(AttachmentKind.EXTERNAL, shown=unlocked).steps

    assert plug.terms == Terms()


def test_a_vnic_that_is_where_it_belongs_on_other_terms_is_plugged_anew():
    backing = Backing(switch="br-int", kind=SwitchKind.OPENVSWITCH, group=INTEGRATION.name)
    there = replace(CARD, backing=backing, taken=True)

    for terms in (None, Terms(), Terms(iface="p2"), Terms(iface="p1", addresses=("10.1.0.11",))):
        (step,) = world(AttachmentKind.VIF, card=replace(there, terms=terms), groups=[INTEGRATION]).steps
        assert step.terms == Terms(iface="p1")
    done = world(AttachmentKind.VIF, card=replace(there, terms=Terms(iface="p1")), groups=[INTEGRATION])
    assert (done.steps, done.plugged) == ((), {"p1": CARD.id})


def test_what_its_operator_cut_off_needs_no_lock_and_what_is_homeless_is_plugged_anew():
    cut = replace(CARD, connected=False)

    assert agreed(cut, Terms(addresses=("10.1.0.11",)))
    assert not agreed(cut, Terms(iface="p1"))
    assert not agreed(replace(cut, homeless=True), Terms())
    assert agreed(replace(cut, terms=None), None)


def test_a_clone_does_not_stay_in_the_integration_bridge():
    backing = Backing(switch="br-int", kind=SwitchKind.OPENVSWITCH, group=INTEGRATION.name)
    clone = replace(CARD, id=CardId("u2", "0"), mac="52:54:00:00:00:09", backing=backing, taken=True)

    plan = world(AttachmentKind.VIF, card=clone, groups=[INTEGRATION])

    assert plan.steps == (Giveback(card=clone.id),)


def test_a_group_that_is_not_on_all_hosts_is_made_again():
    wanted = world(AttachmentKind.EXTERNAL).steps[0].group

    plan = world(AttachmentKind.EXTERNAL, groups=[replace(wanted, partial=True)])

    assert plan.steps[0] == MakeGroup(group=wanted)
    assert isinstance(plan.steps[1], Plugin)


def test_a_host_that_the_only_pool_does_not_show_is_missed():
    state = State(
        site=Site(
            managers={"pool1": Manager(name="pool1", driver="xapi")},
            hosts={
                "xen1": XEN1,
                "xen2": replace(XEN1, name="xen2"),
                "xl1": Host(name="xl1", hypervisor=Hypervisor.XEN, version="4.17"),
                "esx1": Host(name="esx1", hypervisor=Hypervisor.ESXI),
            },
        )
    )
    estate = Estate(hosts={"xen1": XEN1})

    assert wanted_of(state, estate, lambda _, __: {}).missing == ("xen2",)
    managers = {name: Manager(name=name, driver="xapi") for name in ("pool1", "pool2")}
    two = replace(state, site=replace(state.site, managers=managers))
    assert wanted_of(two, estate, lambda _, __: {}).missing == ()


@pytest.mark.parametrize(
    ("scheme", "changed", "possible", "advised", "code"),
    [
        (Scheme.BASELINE, {}, True, True, "OPEN_VSWITCH_PRESENT"),
        (Scheme.BASELINE, {"sdn_controller": "pssl"}, False, False, "FOREIGN_SDN_CONTROLLER"),
        (Scheme.SUBSTITUTION, {"sdn_controller": "pssl"}, False, False, "FOREIGN_SDN_CONTROLLER"),
        (Scheme.SUBSTITUTION, {}, True, False, "XAPI_BACKEND_SWITCHED"),
        (Scheme.SEPARATION, {}, True, True, "XAPI_SWITCH_STAYS"),
        (Scheme.APPLIANCE, {}, True, False, "XAPI_KNOWS_NO_TRUNK"),
        (Scheme.APPLIANCE, {"dom0_locked": True}, True, False, "XAPI_KNOWS_NO_TRUNK"),
        (Scheme.VENDOR, {}, False, False, "XEN_NO_VENDOR_CONTROLLER"),
    ],
)
def test_each_scheme_is_judged_with_its_reason(scheme, changed, possible, advised, code):
    verdict = facts.verdict(replace(XEN1, facts={**XEN1.facts, **changed}), scheme)

    assert (verdict.possible, verdict.advised, verdict.code) == (possible, advised, code)


def test_under_separation_nothing_is_promised_to_be_seen():
    load = Load(local={"web": 1})

    assert SCHEMES[Scheme.SEPARATION].predict(XEN1, load).observed == 0.0
    assert SCHEMES[Scheme.BASELINE].predict(XEN1, load).observed == 1.0


def test_xapis_bridges_are_mapped_and_never_made():
    desired = Chassis(
        host="xen1", owner="0f", remote="tcp:192.0.2.1:6642", tunnel_ip="192.0.2.11",
        bridges=provider_bridges(XEN1),
    )  # fmt: skip
    empty = chassis_plan(desired, ObservedChassis())
    assert [type(step).__name__ for step in empty.steps] == ["MakeBridge", "SetKeys"]
    assert empty.steps[0].name == "br-int"
    assert empty.steps[-1].values.get("ovn-bridge-mappings") is None
    assert any("xenbr1; XAPI makes it" in problem for problem in empty.problems)

    bridges = {name: ObservedBridge(name=name, ports=frozenset({"bond0"})) for name in ("xenbr1", "xenbr2")}
    made = chassis_plan(desired, ObservedChassis(bridges=bridges))

    assert made.steps[-1].values["ovn-bridge-mappings"] == "fabric:xenbr1,other:xenbr2"
    assert made.problems == ()


def test_the_switch_that_stays_is_the_one_that_is_cabled():
    assert traits.native_switch(XEN1).name == "xenbr1"


def test_no_inner_switch_is_asked_of_a_pool_that_was_told_to_have_appliances():
    """That scheme is not driven there: a pool that refused a step would be driven no further at all."""
    attachment = Attachment(
        port="p1", host="xen1", kind=AttachmentKind.VLAN_ACCESS, network="web", mac=MAC, vlan=2
    )
    state = State(
        owner="0f0f0f0f-1",
        site=Site(
            managers={"pool1": Manager(name="pool1", driver="xapi", url="https://pool1")},
            hosts={"xen1": replace(XEN1, scheme=Scheme.APPLIANCE)},
            networks={"web": Network(name="web", kind=NetworkKind.OVERLAY, physical="fabric")},
            ports={"p1": Port(name="p1", network="web", vm="vm1", host="xen1", mac=MAC)},
        ),
        hosts={"xen1": HostState(scheme=Scheme.APPLIANCE)},
        attachments={"p1": attachment},
    )
    estate = Estate(hosts={"xen1": XEN1}, cards={CARD.id: CARD})

    assert (
        estate_plan(wanted_of(state, estate, lambda _, hosts: dict.fromkeys(hosts, None)), estate).steps == ()
    )
