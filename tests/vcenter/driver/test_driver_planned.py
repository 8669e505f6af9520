# SPDX-License-Identifier: Apache-2.0
"""What the planner wants of an estate is reached through the driver, and then there is nothing left to do."""

from anyvisor.model.attachment import Attachment
from anyvisor.model.estate import Health
from anyvisor.model.kinds import AttachmentKind, Scheme
from anyvisor.planner.appliances import ApplianceWish
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.inner import inner_place
from anyvisor.planner.wanted import Wanted

ROUNDS = 6


def wanted(estate, owner, vlans):
    """Every card of `vlans` behind the appliance of its host, on that tag."""
    attachments = {}
    for card in estate.cards.values():
        port = f"{card.vm}-{card.id.card}"
        if port in vlans:
            attachments[port] = Attachment(
                port=port,
                host=card.host,
                network="red",
                mac=card.mac,
                kind=AttachmentKind.VLAN_ACCESS,
                vlan=vlans[port],
                switch=inner_place(estate.hosts[card.host], owner).switch,
            )
    wish = ApplianceWish(
        template="golden", networks={"management": "VM Network"}, user_data="#cloud-config\n"
    )
    return Wanted(
        owner=owner,
        hosts=estate.hosts,
        schemes=dict.fromkeys(estate.hosts, Scheme.APPLIANCE),
        attachments=attachments,
        vms=dict.fromkeys(attachments),
        ready=frozenset(attachments),
        appliances={f"{host}/1": wish for host in estate.hosts},
    )


def settle(driver, wish):
    for _ in range(ROUNDS):
        plan = estate_plan(wish, driver.estate())
        if not plan.steps:
            return plan
        driver.apply(plan.steps)
    raise AssertionError(plan.steps)


def tags(estate):
    groups = {(group.switch, group.name): group.vlan for group in estate.groups.values()}
    cards = ((card, groups.get((card.backing.switch, card.backing.group))) for card in estate.cards.values())
    return {f"{card.vm}-{card.id.card}": vlan for card, vlan in cards if vlan is not None}


def test_a_vnic_that_is_passed_through_is_named_and_left_where_it_is(estate, steps):
    before = estate.estate()

    plan = settle(estate, wanted(before, steps.owner, {"fast-4000": 10, "web-4000": 11}))

    assert plan.problems == {"fast-4000": "its vNIC (fast) cannot be wired: passthrough"}
    assert set(plan.plugged) == {"web-4000"}
    assert tags(estate.estate()) == {"web-4000": 11}


def test_a_fleet_with_both_kinds_of_switches_arrives_changes_and_leaves(estate, steps):
    before = estate.estate()
    first = {"web-4000": 10, "db-4000": 11, "two-4000": 12, "two-4001": 13, "aged-4000": 14}

    plan = settle(estate, wanted(before, steps.owner, first))
    assert plan.problems == {}
    assert tags(estate.estate()) == first
    appliances = estate.estate().appliances.values()
    assert {(each.host, each.health) for each in appliances} == {
        (host, Health.RUNNING) for host in before.hosts
    }

    second = {**first, "web-4000": 11, "db-4000": 10}
    settle(estate, wanted(before, steps.owner, second))
    assert tags(estate.estate()) == second

    settle(estate, wanted(before, steps.owner, {}))
    after = estate.estate()
    assert tags(after) == {}
    places = {card: (c.backing.switch, c.backing.group) for card, c in before.cards.items()}
    assert {
        card: (after.cards[card].backing.switch, after.cards[card].backing.group) for card in places
    } == places
