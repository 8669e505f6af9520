# SPDX-License-Identifier: Apache-2.0
"""Inner switches, port groups and who is plugged where: the steps lead to what is wanted, and a tag joins nobody."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import (
    CardProblem,
    Deploy,
    Fence,
    Giveback,
    MakeGroup,
    MakeSwitch,
    Pin,
    Plugin,
    Start,
)
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme, SwitchKind
from anyvisor.model.state import Tag
from anyvisor.planner.admission import Held
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.estate import estate_plan, released
from anyvisor.planner.inner import group_name, inner_place, port_key, shared_group_name
from anyvisor.planner.wanted import Wanted
from anyvisor.planner.whereabouts import cards_by_port
from anyvisor.testing.estate import FakeEstate

OWNER = "0f0f0f0f-1111"
VDS = NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
VMS = ("vm0", "vm1", "vm2", "vm3")


def host(name, *, switch=VDS, **facts):
    cluster = "c1" if switch.kind is SwitchKind.VDS else None
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster,
        switches=(switch,),
        facts=facts,
    )


HOSTS = {"esx1": host("esx1"), "esx2": host("esx2")}
WISH = ApplianceWish(
    template="appliance", networks={"management": "mgmt", "tunnel": "mgmt"}, user_data="#cloud-config"
)


def fleet(**appliances):
    estate = FakeEstate()
    for one in HOSTS.values():
        estate.add_host(one)
        estate.add_group("dvs1", "before")
    estate.add_group("dvs1", "mgmt")
    estate.add_template("appliance", "esx1")
    for number, name in enumerate(VMS):
        estate.add_vm(name, f"esx{1 + number % 2}", ("dvs1", "before"))
    return estate


def macs(estate):
    return {card.vm: card.mac for card in estate.estate().cards.values()}


def behind(estate, name, vlan, kind=AttachmentKind.VLAN_ACCESS, on=None, network="web", *, shared=False):
    place = inner_place(HOSTS["esx1"], OWNER)
    return Attachment(
        port=name,
        host=on or next(c.host for c in estate.estate().cards.values() if c.vm == name),
        kind=kind,
        network=network,
        shared=shared,
        mac=macs(estate)[name],
        vlan=vlan,
        switch=place.switch if kind is AttachmentKind.VLAN_ACCESS else None,
    )


def wanted(*attachments, schemes=None, ready=None, hosts=None, appliances=None):
    listed = {attachment.port: attachment for attachment in attachments}
    return Wanted(
        owner=OWNER,
        hosts=hosts or HOSTS,
        schemes=schemes or dict.fromkeys(hosts or HOSTS, Scheme.APPLIANCE),
        attachments=listed,
        vms={port: port for port in listed},
        ready=frozenset(listed if ready is None else ready),
        appliances=appliances or {},
    )


def settle(want, estate, looks=6):
    """Look and act until there is nothing left to do."""
    for _ in range(looks):
        plan = estate_plan(want, estate.estate())
        if not plan.steps:
            return plan
        estate.apply(plan.steps)
    raise AssertionError(f"still to do: {plan.steps}")


def groups_of(estate):
    return {
        card.vm: card.backing.group for card in estate.estate().cards.values() if card.backing is not None
    }


def test_a_vnic_is_alone_in_a_group_with_its_tag_on_a_switch_without_uplinks():
    estate = fleet()

    plan = settle(wanted(behind(estate, "vm0", 101), behind(estate, "vm1", 102)), estate)

    seen = estate.estate()
    assert groups_of(estate)["vm0"] == group_name(OWNER, "vm0")
    assert {g.key: g.vlan for g in seen.groups.values() if not g.trunk} == {"port/vm0": 101, "port/vm1": 102}
    assert set(plan.plugged) == {"vm0", "vm1"}
    (inner,) = seen.switches.values()
    assert inner.hosts == ("esx1", "esx2")
    assert groups_of(estate)["vm2"] == "before"


def test_a_card_stays_where_it_is_until_the_way_behind_its_group_is_laid():
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101), ready=())

    settle(want, estate)

    assert groups_of(estate)["vm0"] == "before"
    assert port_key("vm0") in {group.key for group in estate.estate().groups.values()}


def test_a_card_that_nobody_wants_any_more_goes_back_and_its_group_after_it():
    estate = fleet()
    settle(wanted(behind(estate, "vm0", 101)), estate)

    settle(wanted(), estate)

    assert groups_of(estate)["vm0"] == "before"
    assert {group.key for group in estate.estate().groups.values()} == {"trunk"}


def test_the_trunk_learns_where_the_switch_can_and_is_promiscuous_elsewhere():
    estate = fleet()
    settle(wanted(), estate)

    (trunk,) = (group for group in estate.estate().groups.values() if group.trunk)

    assert trunk.forged_transmits
    assert trunk.mac_learning != trunk.promiscuous


def test_under_separation_a_card_goes_into_the_networks_vlan_on_the_operators_switch():
    estate = fleet()
    schemes = {"esx1": Scheme.SEPARATION, "esx2": Scheme.SEPARATION}

    settle(wanted(behind(estate, "vm0", 200, AttachmentKind.EXTERNAL), schemes=schemes), estate)

    (group,) = estate.estate().groups.values()
    assert (group.switch, group.vlan, group.key) == ("dvs1", 200, "network/web")
    assert groups_of(estate)["vm0"] == group.name
    assert estate.estate().switches == {}


def test_a_card_that_bypasses_the_switch_is_named_and_left_alone():
    estate = fleet()
    card = next(c for c in estate.estate().cards.values() if c.vm == "vm0")
    estate.change_card(replace(card, problem=CardProblem.PASSTHROUGH))

    plan = estate_plan(wanted(behind(estate, "vm0", 101)), estate.estate())

    assert "passthrough" in plan.problems["vm0"]
    assert not any(isinstance(step, Plugin) for step in plan.steps)


def test_a_card_under_fault_tolerance_is_named_and_wired_all_the_same():
    estate = fleet()
    card = next(c for c in estate.estate().cards.values() if c.vm == "vm0")
    estate.change_card(replace(card, problem=CardProblem.FAULT_TOLERANCE))

    plan = settle(wanted(behind(estate, "vm0", 101), behind(estate, "vm1", 102)), estate)

    assert set(plan.plugged) == {"vm0", "vm1"}
    assert plan.problems == {}
    assert set(plan.cautions) == {"vm0"}
    assert "Fault Tolerance" in plan.cautions["vm0"]


def test_behind_a_native_switch_fault_tolerance_is_no_matter():
    estate = fleet()
    card = next(c for c in estate.estate().cards.values() if c.vm == "vm0")
    estate.change_card(replace(card, problem=CardProblem.FAULT_TOLERANCE))
    schemes = {"esx1": Scheme.SEPARATION, "esx2": Scheme.SEPARATION}

    plan = settle(wanted(behind(estate, "vm0", 200, AttachmentKind.EXTERNAL), schemes=schemes), estate)

    assert (set(plan.plugged), plan.cautions) == ({"vm0"}, {})


def test_of_two_cards_with_one_mac_the_one_of_the_named_vm_is_taken_or_none():
    estate = fleet()
    first, second = (next(c for c in estate.estate().cards.values() if c.vm == vm) for vm in ("vm0", "vm1"))
    estate.change_card(replace(second, mac=first.mac))
    attachment = behind(estate, "vm0", 101)

    assert cards_by_port([attachment], {"vm0": "vm0"}, estate.estate())["vm0"].id == first.id
    assert cards_by_port([attachment], {"vm0": None}, estate.estate()) == {}


def test_an_appliance_is_made_once_and_started_again_when_it_is_off():
    estate = fleet()
    want = wanted(appliances={"esx1/1": WISH})

    settle(want, estate)
    (made,) = estate.estate().appliances.values()
    estate.power(made.vm, on=False)
    steps = estate_plan(want, estate.estate()).steps

    assert made.host == "esx1"
    assert [type(step) for step in steps] == [Start]
    assert not any(isinstance(step, Deploy) for step in steps)


def test_an_appliance_that_is_no_longer_pinned_is_pinned_before_it_is_started():
    estate = fleet()
    want = wanted(appliances={"esx1/1": WISH})
    settle(want, estate)
    (made,) = estate.estate().appliances.values()
    estate.unpin(made.vm)
    estate.power(made.vm, on=False)

    assert estate_plan(want, estate.estate()).steps == (Pin(key="esx1/1"), Start(key="esx1/1"))

    settle(want, estate)
    assert estate.estate().appliances["esx1/1"].pinned


def test_an_appliance_that_somebody_took_to_another_host_is_not_pinned_there():
    estate = fleet()
    want = wanted(appliances={"esx1/1": WISH})
    settle(want, estate)
    (made,) = estate.estate().appliances.values()
    estate.unpin(made.vm)
    estate.begin_move(made.vm, "esx2")
    estate.finish_move(made.vm)

    assert estate_plan(want, estate.estate()).steps == ()


def test_an_appliance_that_the_operator_made_is_pinned_started_and_connected_like_any_other():
    estate = fleet()
    settle(wanted(appliances={"esx1/1": WISH}), estate)
    (made,) = estate.estate().appliances.values()
    estate.unpin(made.vm)
    estate.power(made.vm, on=False)
    estate.apply([Fence(key="esx1/1")])

    settle(wanted(), estate)

    (after,) = estate.estate().appliances.values()
    assert after == made


def test_an_appliance_without_a_card_in_the_trunk_is_named_and_nothing_is_tried():
    estate = fleet()
    want = wanted(appliances={"esx1/1": WISH})
    settle(want, estate)
    estate.replug(estate.estate().appliances["esx1/1"].trunk, ("dvs1", "mgmt"))

    plan = estate_plan(want, estate.estate())

    assert plan.steps == ()
    assert "has no card in the trunk group" in plan.problems["esx1/1"]


def test_a_trunk_that_somebody_disconnected_is_connected_again():
    estate = fleet()
    want = wanted(appliances={"esx1/1": WISH})
    settle(want, estate)
    estate.apply([Fence(key="esx1/1")])

    settle(want, estate)

    assert estate.estate().appliances["esx1/1"].trunk_connected


def test_standard_switches_have_groups_of_their_own_on_each_host():
    vss = NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",))
    lone = {"esx1": host("esx1", switch=vss, vcenter=False)}
    estate = FakeEstate()
    estate.add_host(lone["esx1"])
    estate.add_group("vSwitch0", "before", host="esx1")
    estate.add_vm("vm0", "esx1", ("vSwitch0", "before"))
    attachment = replace(behind(estate, "vm0", 101), switch=inner_place(lone["esx1"], OWNER).switch)

    settle(wanted(attachment, hosts=lone), estate)

    assert {group.host for group in estate.estate().groups.values()} == {"esx1"}
    assert groups_of(estate)["vm0"] == group_name(OWNER, "vm0")


def test_a_tag_is_free_only_once_the_group_is_gone():
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101))
    settle(want, estate)
    scope = inner_place(HOSTS["esx1"], OWNER).scope
    held = (Tag(scope=scope, vlan=101, holder="vm0"),)

    assert released(held, {(scope, "vm0")}, want, estate.estate()) == ()
    assert released(held, (), wanted(), estate.estate()) == ()
    settle(wanted(), estate)

    assert released(held, (), wanted(), estate.estate()) == held
    assert (
        released((replace(held[0], scope="switch/another/av-0f0f0f0f"),), (), wanted(), estate.estate()) == ()
    )


def test_a_stranger_in_the_group_of_one_vnic_is_named():
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101))
    settle(want, estate)
    card = next(c for c in estate.estate().cards.values() if c.vm == "vm2")
    estate.replug(card.id, (want.attachments["vm0"].switch, group_name(OWNER, "vm0")))

    plan = estate_plan(want, estate.estate())

    assert "does not belong" in plan.problems["vm2"]


def test_a_host_that_the_manager_does_not_show_keeps_what_is_plugged_there():
    estate = fleet()
    settle(wanted(behind(estate, "vm0", 101)), estate)
    blind = replace(wanted(), elsewhere=frozenset({port_key("vm0")}), missing=("esx1",))

    plan = estate_plan(blind, estate.estate())

    assert plan.steps == ()
    assert "does not show" in plan.problems["esx1"]


states = st.dictionaries(st.sampled_from(VMS), st.integers(2, 6), max_size=4).filter(
    lambda tags: len(set(tags.values())) == len(tags)
)


@settings(deadline=None, max_examples=60)
@given(before=states, after=states, late=st.sets(st.sampled_from(VMS)))
def test_whatever_was_there_the_steps_lead_to_what_is_wanted_and_no_tag_ever_joins_two_vnics(
    before, after, late
):
    estate = fleet()
    settle(wanted(*(behind(estate, vm, vlan) for vm, vlan in before.items())), estate)
    want = wanted(*(behind(estate, vm, vlan) for vm, vlan in after.items()), ready=set(after) - late)

    for _ in range(8):
        for step in estate_plan(want, estate.estate()).steps:
            estate.apply([step])
            alone(estate)

    assert estate_plan(want, estate.estate()).steps == ()
    there = groups_of(estate)
    for vm in VMS:
        if vm in after and vm not in late:
            assert there[vm] == group_name(OWNER, vm)
        elif vm not in after:
            assert there[vm] == "before"


def alone(estate):
    """On every inner switch each VLAN has cards of at most one VM."""
    seen = estate.estate()
    tags = {(group.switch, group.name): group.vlan for group in seen.groups.values() if not group.trunk}
    inner = set(seen.switches)
    held = {}
    for card in seen.cards.values():
        place = (card.backing.switch, card.backing.group) if card.backing is not None else None
        if place in tags and place[0] in inner:
            other = held.setdefault((place[0], tags[place]), card.vm)
            assert other == card.vm, f"{other} and {card.vm} share VLAN {tags[place]}"


def together(estate, *names):
    return [behind(estate, name, 50, shared=True) for name in names]


def test_the_vnics_of_a_network_share_a_group_if_their_tag_is_its():
    estate = fleet()

    settle(
        wanted(*together(estate, "vm0", "vm1"), behind(estate, "vm2", 51, network="db", shared=True)), estate
    )

    place = inner_place(HOSTS["esx1"], OWNER)
    groups = groups_of(estate)
    assert groups["vm0"] == groups["vm1"] == shared_group_name(place, "web")
    assert groups["vm2"] == shared_group_name(place, "db")
    assert {g.key: g.vlan for g in estate.estate().groups.values() if not g.trunk} == {
        "inner/web": 50, "inner/db": 51,
    }  # fmt: skip


def test_one_that_leaves_a_shared_group_is_given_back_while_the_others_stay():
    estate = fleet()
    settle(wanted(*together(estate, "vm0", "vm1")), estate)

    settle(wanted(*together(estate, "vm1")), estate)

    assert groups_of(estate)["vm0"] == "before"
    assert groups_of(estate)["vm1"] == shared_group_name(inner_place(HOSTS["esx1"], OWNER), "web")


def test_one_that_leaves_the_networks_vlan_on_the_operators_switch_is_given_back_too():
    estate = fleet()
    schemes = {"esx1": Scheme.SEPARATION, "esx2": Scheme.SEPARATION}
    both = [behind(estate, vm, 200, AttachmentKind.EXTERNAL) for vm in ("vm0", "vm1")]
    settle(wanted(*both, schemes=schemes), estate)

    settle(wanted(both[1], schemes=schemes), estate)

    assert groups_of(estate)["vm0"] == "before"
    assert groups_of(estate)["vm1"] != "before"


def test_a_stranger_in_a_shared_group_is_named_and_left_alone():
    estate = fleet()
    want = wanted(*together(estate, "vm0", "vm1"))
    settle(want, estate)
    card = next(c for c in estate.estate().cards.values() if c.vm == "vm2")
    estate.replug(card.id, (want.attachments["vm0"].switch, groups_of(estate)["vm0"]))

    plan = estate_plan(want, estate.estate())

    assert set(plan.problems) == {"vm2"}
    assert plan.steps == ()


def test_a_networks_tag_is_free_only_once_its_group_is_gone():
    estate = fleet()
    want = wanted(*together(estate, "vm0", "vm1"))
    settle(want, estate)
    scope = inner_place(HOSTS["esx1"], OWNER).scope
    held = (Tag(scope=scope, vlan=50, holder="network/web"),)

    assert released(held, {(scope, "network/web")}, want, estate.estate()) == ()
    assert released(held, {(scope, "web")}, wanted(), estate.estate()) == ()
    settle(wanted(), estate)

    assert released(held, {(scope, "web")}, wanted(), estate.estate()) == held


mixed = st.dictionaries(st.sampled_from(VMS), st.sampled_from(["alone", "web", "db"]), max_size=4)
TAGS = {"web": 50, "db": 51}


def by_policy(estate, plan):
    return [
        behind(estate, vm, 2 + VMS.index(vm))
        if how == "alone"
        else behind(estate, vm, TAGS[how], network=how, shared=True)
        for vm, how in plan.items()
    ]


@settings(deadline=None, max_examples=60)
@given(before=mixed, after=mixed, late=st.sets(st.sampled_from(VMS)))
def test_from_one_policy_to_the_other_nobody_ever_shares_a_tag_but_with_its_own_network(before, after, late):
    estate = fleet()
    settle(wanted(*by_policy(estate, before)), estate)
    want = wanted(*by_policy(estate, after), ready=set(after) - late)

    for _ in range(8):
        for step in estate_plan(want, estate.estate()).steps:
            estate.apply([step])
            for tag, vms in on_tags(estate).items():
                may = {vm for plan in (before, after) for vm, how in plan.items() if tag == TAGS.get(how)}
                assert vms <= may if tag in TAGS.values() else len(vms) == 1

    assert estate_plan(want, estate.estate()).steps == ()
    there = groups_of(estate)
    for vm in set(VMS) - set(after):
        assert there[vm] == "before"
    for vm in set(after) - late:
        how, place = after[vm], inner_place(HOSTS["esx1"], OWNER)
        assert there[vm] == (group_name(OWNER, vm) if how == "alone" else shared_group_name(place, how))


def on_tags(estate):
    """The VMs on each tag of the inner switch."""
    seen = estate.estate()
    tags = {
        (g.switch, g.name): g.vlan for g in seen.groups.values() if not g.trunk and g.switch in seen.switches
    }
    held = {}
    for card in seen.cards.values():
        place = (card.backing.switch, card.backing.group) if card.backing is not None else None
        if place in tags:
            held.setdefault(tags[place], set()).add(card.vm)
    return held


@pytest.mark.parametrize("kind", [MakeGroup, Giveback])
def test_a_plan_is_empty_once_carried_out(kind):
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101))

    plan = settle(want, estate)

    assert not any(isinstance(step, kind) for step in plan.steps)


HELD = Held("MtuTooSmall", "its tunnels do not get through")


def test_a_vnic_that_is_held_back_stays_where_it_is_and_is_named():
    estate = fleet()
    want = replace(wanted(behind(estate, "vm0", 101), behind(estate, "vm1", 102)), held={"vm0": HELD})

    plan = settle(want, estate)

    assert groups_of(estate)["vm0"] == "before"
    assert groups_of(estate)["vm1"] == group_name(OWNER, "vm1")
    assert plan.held == {"vm0": HELD}
    assert plan.problems["vm0"] == HELD.message


def test_what_is_plugged_stays_plugged_whatever_is_found_later():
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101))
    settle(want, estate)

    plan = settle(replace(want, held={"vm0": HELD}), estate)

    assert groups_of(estate)["vm0"] == group_name(OWNER, "vm0")
    assert (plan.held, plan.problems) == ({}, {})


def test_a_vnic_that_fell_open_comes_back_whatever_is_found():
    estate = fleet()
    behind(estate, "vm0", 101)
    fallen = wanted(behind(estate, "vm0", 200, AttachmentKind.EXTERNAL), schemes={"esx1": Scheme.SEPARATION})
    settle(fallen, estate)

    settle(replace(wanted(behind(estate, "vm0", 101)), held={"vm0": HELD}), estate)

    assert groups_of(estate)["vm0"] == group_name(OWNER, "vm0")


def test_an_inner_switch_whose_mtu_somebody_changed_gets_it_back():
    estate = fleet()
    want = wanted(behind(estate, "vm0", 101))
    settle(want, estate)
    (inner,) = estate.estate().switches.values()
    estate.apply([MakeSwitch(switch=replace(inner, mtu=1500))])

    settle(want, estate)

    assert [switch.mtu for switch in estate.estate().switches.values()] == [9000]


def test_one_network_on_two_distributed_switches_of_a_datacenter_has_a_group_on_each():
    other = NativeSwitch(name="dvs2", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))
    hosts = {"esx1": host("esx1"), "esx2": host("esx2", switch=other)}
    estate = FakeEstate()
    for number, one in enumerate(hosts.values()):
        estate.add_host(one)
        estate.add_group(one.switches[0].name, f"before{number}")
        estate.add_vm(f"vm{number}", one.name, (one.switches[0].name, f"before{number}"))
    cards = {f"vm{n}": behind(estate, f"vm{n}", 200, AttachmentKind.EXTERNAL) for n in range(2)}
    schemes = dict.fromkeys(hosts, Scheme.SEPARATION)

    plan = settle(wanted(*cards.values(), schemes=schemes, hosts=hosts), estate)

    assert set(plan.plugged) == {"vm0", "vm1"}
    assert {group.switch for group in estate.estate().groups.values()} == {"dvs1", "dvs2"}
