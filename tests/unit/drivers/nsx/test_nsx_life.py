# SPDX-License-Identifier: Apache-2.0
"""Networks, ports and rules in an NSX: made, found, changed, left alone, removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anyvisor.errors import ConflictError, RetryableError
from anyvisor.model.entity import EntityWish
from anyvisor.model.kinds import Protocol
from anyvisor.testing.nsx.intent import DOMAIN, ZONES
from anyvisor.testing.nsx.samples import egress, group, ingress, mac, network, port, web, wish

RED = "/infra/segments/anyvisor-0123abcd-red"
WEB = f"{DOMAIN}/groups/anyvisor-0123abcd-web"
POLICY = f"{DOMAIN}/security-policies/anyvisor-0123abcd-web"
ADMISSION = f"{DOMAIN}/security-policies/anyvisor-0123abcd-admission_guard"
NOTHING = EntityWish()


@pytest.fixture
def converge(driver):
    def converged(wanted):
        plan = driver.plan(wanted)
        driver.apply(plan)
        assert driver.plan(wanted).changes == ()
        return plan

    return converged


def tags(nsx, path):
    return {(each["scope"], each["tag"]) for each in nsx.intent.objects[path].get("tags", ())}


def refusals(plan):
    return [(str(each.key), each.reason) for each in plan.refusals]


def test_a_network_becomes_a_segment_that_vcenter_can_find(nsx, driver, converge):
    converge(wish([network("red", 7), network("blue", None)]))

    assert nsx.intent.objects[RED]["vlan_ids"] == ["7"]
    assert nsx.intent.objects[RED]["transport_zone_path"] == f"{ZONES}/vlans"
    assert nsx.intent.objects["/infra/segments/anyvisor-0123abcd-blue"]["vlan_ids"] == ["0"]
    assert driver.places() == {"red": RED, "blue": "/infra/segments/anyvisor-0123abcd-blue"}


def test_everything_of_ours_says_so(nsx, converge, driver):
    converge(web())
    nsx.plug(RED, mac(1))
    converge(web())

    owned = [
        path
        for path, each in nsx.intent.objects.items()
        if ("anyvisor:owner", driver._names.owner) in tags(nsx, path)
    ]
    assert sorted(owned) == sorted(path for path in nsx.intent.objects if "/transport-zones/" not in path)


def test_a_port_waits_for_vcenter_and_is_marked_when_its_vnic_is_plugged(nsx, driver, converge):
    converge(web())
    assert driver.wired() == frozenset()

    path = nsx.plug(RED, mac(1).upper())
    plan = converge(web())

    assert [(str(each.key), each.do) for each in plan.changes] == [("port/p1", "update")]
    assert driver.wired() == {"p1"}
    assert ("anyvisor:group", "anyvisor-0123abcd-web") in tags(nsx, path)
    assert nsx.intent.objects[path]["address_bindings"] == [
        {"ip_address": "10.0.0.1", "mac_address": mac(1)},
        {"ip_address": "fd00::1", "mac_address": mac(1)},
    ]
    assert nsx.intent.objects[path]["attachment"]["id"]


def test_what_others_said_about_a_port_stays(nsx, driver, converge):
    converge(web())
    path = nsx.plug(RED, mac(1))
    body = {
        **nsx.intent.objects[path],
        "tags": [{"scope": "backup", "tag": "daily"}],
        "description": "do not touch",
    }
    nsx.intent.put(path, body)
    converge(web())
    assert ("backup", "daily") in tags(nsx, path)

    driver.apply(driver.plan(replace(web(), ports={})))

    assert tags(nsx, path) == {("backup", "daily")}
    assert nsx.intent.objects[path]["description"] == "do not touch"
    assert nsx.intent.objects[path].get("address_bindings", []) == []
    assert driver.wired() == frozenset()


def test_a_vnic_in_the_wrong_segment_goes_on_being_filtered_but_is_not_where_it_should_be(
    nsx, driver, converge
):
    both = replace(web(), networks={"red": network("red"), "blue": network("blue", 8)})
    converge(both)
    path = nsx.plug(RED, mac(1))
    converge(both)
    moved = replace(both, ports={"p1": replace(both.ports["p1"], network="blue")})
    converge(moved)

    assert driver.wired() == frozenset()
    assert ("anyvisor:group", "anyvisor-0123abcd-web") in tags(nsx, path)

    nsx.unplug(path)
    nsx.plug(driver.places()["blue"], mac(1))
    converge(moved)
    assert driver.wired() == {"p1"}


def test_a_port_stays_marked_while_the_inventory_of_vnics_is_empty(nsx, driver, converge):
    converge(web())
    nsx.plug(RED, mac(1))
    converge(web())
    nsx.forget_vifs()

    assert driver.plan(web()).changes == ()
    assert driver.wired() == {"p1"}


def test_a_segment_stays_until_its_last_vnic_is_out_and_nothing_waits_for_it(nsx, driver, converge):
    converge(web())
    path = nsx.plug(RED, mac(1))
    converge(web())

    with pytest.raises(RetryableError, match="still plugged into"):
        driver.apply(driver.plan(NOTHING))
    assert [each for each in nsx.intent.objects if each.startswith("/infra/segments/")] == [RED, path]
    # Who is still on it is cut off, not let loose.
    assert POLICY not in nsx.intent.objects
    assert ADMISSION in nsx.intent.objects
    assert not tags(nsx, path)

    nsx.unplug(path)
    converge(NOTHING)
    assert driver.places() == {}


def test_a_rule_that_goes_is_gone_and_the_others_are_not_touched(nsx, converge):
    converge(web())
    before = {path: each for path, each in nsx.intent.objects.items() if path.startswith(f"{POLICY}/rules/")}
    plan = converge(
        wish([network("red")], web().ports.values(), [group("web", ingress(Protocol.TCP, 80, 443))])
    )
    after = {path: each for path, each in nsx.intent.objects.items() if path.startswith(f"{POLICY}/rules/")}

    assert len(before) == 3
    assert len(after) == 1
    assert all(before[path] == each for path, each in after.items())
    assert {each.do for each in plan.changes} == {"delete"}


def test_members_come_and_go_without_a_rule_being_touched(converge):
    converge(web())
    plan = converge(replace(web(), members={"web": ("10.0.0.1", "10.0.0.2")}))

    assert [each.what for each in plan.changes] == ["group/web: group anyvisor-0123abcd-web_far"]


def test_what_somebody_changed_by_hand_is_put_right(nsx, converge):
    converge(web())
    rule = next(path for path in nsx.intent.objects if path.startswith(f"{POLICY}/rules/"))
    nsx.intent.put(rule, {**nsx.intent.objects[rule], "action": "DROP"})
    nsx.intent.put(WEB, {**nsx.intent.objects[WEB], "expression": []})

    plan = converge(web())

    assert [each.do for each in plan.changes] == ["update", "update"]
    assert nsx.intent.objects[rule]["action"] == "ALLOW"


def test_what_an_administrator_added_to_a_segment_of_ours_stays(nsx, converge):
    converge(web())
    nsx.intent.put(RED, {**nsx.intent.objects[RED], "advanced_config": {"multicast": False}})
    converge(wish([network("red", 9)]))

    assert nsx.intent.objects[RED]["advanced_config"] == {"multicast": False}
    assert nsx.intent.objects[RED]["vlan_ids"] == ["9"]


@pytest.mark.parametrize("identity", ["anyvisor-0123abcd-red", "other"])
def test_a_segment_of_somebody_else_with_our_id_or_name_is_refused(nsx, driver, identity):
    body = {"resource_type": "Segment", "vlan_ids": ["9"], "transport_zone_path": f"{ZONES}/vlans"}
    nsx.intent.put(f"/infra/segments/{identity}", {**body, "display_name": "av-0123abcd+red"})
    before = dict(nsx.intent.objects)
    plan = driver.plan(wish([network("red")]))
    driver.apply(plan)

    assert refusals(plan) == [("network/red", "ForeignObject")]
    assert {change.key.kind for change in plan.changes} == {"policy"}
    assert before.items() <= nsx.intent.objects.items()
    assert [path for path in nsx.intent.objects if path.startswith("/infra/segments/")] == [
        f"/infra/segments/{identity}"
    ]


def test_rules_are_not_tied_to_a_group_of_somebody_else(nsx, driver):
    nsx.intent.put(WEB, {"resource_type": "Group", "expression": []})
    plan = driver.plan(web())
    driver.apply(plan)

    assert refusals(plan) == [("group/web", "ForeignObject")]
    assert POLICY not in nsx.intent.objects
    assert RED in nsx.intent.objects


def test_a_segment_port_with_the_mark_of_another_installation_is_refused(nsx, driver, connect, converge):
    converge(web())
    path = nsx.plug(RED, mac(1))
    nsx.intent.put(
        path, {**nsx.intent.objects[path], "tags": [{"scope": "anyvisor:owner", "tag": "another"}]}
    )
    plan = driver.plan(web())

    assert refusals(plan) == [("port/p1", "ForeignObject")]
    assert plan.changes == ()


def test_a_rule_that_somebody_put_into_our_policy_stays_and_is_named(nsx, driver, converge):
    converge(web())
    rule = {
        "resource_type": "Rule", "action": "ALLOW", "source_groups": ["ANY"], "destination_groups": ["ANY"],
        "services": ["ANY"],
    }  # fmt: skip
    nsx.intent.put(f"{POLICY}/rules/theirs", rule)
    plan = driver.plan(NOTHING)
    driver.apply(plan)

    assert refusals(plan) == [("group/web", "ForeignRule")]
    left = [path for path in nsx.intent.objects if "/transport-zones/" not in path]
    assert left == [WEB, POLICY, f"{POLICY}/rules/theirs"]

    nsx.intent.delete(f"{POLICY}/rules/theirs")
    converge(NOTHING)
    assert POLICY not in nsx.intent.objects


def test_what_others_still_name_stays_and_does_not_keep_the_rest(nsx, driver, converge):
    converge(web())
    theirs = f"{DOMAIN}/security-policies/theirs"
    nsx.intent.put(theirs, {"resource_type": "SecurityPolicy", "category": "Application", "scope": [WEB]})

    with pytest.raises(RetryableError, match="still in use"):
        driver.apply(driver.plan(NOTHING))
    assert POLICY not in nsx.intent.objects
    assert WEB in nsx.intent.objects

    nsx.intent.delete(theirs)
    converge(NOTHING)
    assert WEB not in nsx.intent.objects


def test_more_groups_than_tags_fit_are_refused(nsx, driver, converge):
    many = [f"g{number}" for number in range(28)]
    wanted = wish([network("red")], [port("p1", groups=many)], [group(name) for name in many])
    converge(wanted)
    nsx.plug(RED, mac(1))
    plan = driver.plan(wanted)

    assert refusals(plan) == [("port/p1", "TooManyGroups")]
    assert "28 groups" in plan.refusals[0].message
    assert plan.changes == ()

    converge(wish([network("red")], [port("p1", groups=many[:27])], [group(name) for name in many[:27]]))
    assert driver.wired() == {"p1"}


def test_more_addresses_than_a_group_takes_are_refused_and_what_stands_goes_on(nsx, driver, converge):
    addresses = tuple(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(4001))
    fitting = replace(web(), members={"web": addresses[:4000]})
    converge(fitting)
    before = dict(nsx.intent.objects)
    plan = driver.plan(replace(web(), members={"web": addresses}))

    assert refusals(plan) == [("group/web", "TooManyAddresses")]
    assert "4001 addresses" in plan.refusals[0].message
    driver.apply(plan)
    assert nsx.intent.objects == before


def test_a_network_without_vlan_is_refused(driver):
    plan = driver.plan(wish([replace(network("red"), segment=None)]))

    assert refusals(plan) == [("network/red", "NoVlan")]


def test_a_segment_is_not_moved_to_another_transport_zone(nsx, driver, connect, converge):
    converge(web())
    nsx.intent.objects[f"{ZONES}/more"] = {
        **nsx.intent.objects[f"{ZONES}/vlans"], "id": "more", "path": f"{ZONES}/more", "display_name": "more",
    }  # fmt: skip
    plan = connect(transport_zone="more").plan(web())

    assert refusals(plan) == [("network/red", "OtherTransportZone")]
    assert plan.changes == ()


def test_two_vnics_with_one_mac_are_not_guessed_about(nsx, driver, converge):
    converge(web())
    nsx.plug(RED, mac(1))
    nsx.plug(RED, mac(1))
    plan = driver.plan(web())

    assert refusals(plan) == [("port/p1", "AmbiguousMac")]
    assert plan.changes == ()


def test_a_plan_carried_out_twice_is_no_error(nsx, driver):
    plan = driver.plan(web())
    driver.apply(plan)
    nsx.plug(RED, mac(1))
    marking = driver.plan(web())
    for _ in range(2):
        driver.apply(plan)
        driver.apply(marking)

    assert driver.plan(web()).changes == ()


def test_a_plan_is_not_carried_out_on_what_somebody_changed_meanwhile(nsx, driver, converge):
    converge(web())
    path = nsx.plug(RED, mac(1))
    plan = driver.plan(web())
    nsx.intent.put(path, {**nsx.intent.objects[path], "tags": [{"scope": "backup", "tag": "daily"}]})

    with pytest.raises(ConflictError, match="somebody else changed it"):
        driver.apply(plan)
    assert tags(nsx, path) == {("backup", "daily")}


def test_a_port_that_was_unplugged_meanwhile_is_not_made_anew(nsx, driver, converge):
    converge(web())
    path = nsx.plug(RED, mac(1))
    plan = driver.plan(web())
    nsx.unplug(path)

    with pytest.raises(ConflictError):
        driver.apply(plan)
    assert path not in nsx.intent.objects


def test_the_number_of_requests_does_not_grow_with_the_ports(nsx, driver, converge):
    nsx.page = 1000
    counts = []
    for many in (1, 40):
        some = [port(f"p{number}", number=number, groups=("web",)) for number in range(1, many + 1)]
        wanted = replace(web(), ports={each.name: each for each in some})
        converge(wanted)
        for number in range(1, many + 1):
            nsx.plug(RED, mac(number)) if number > len(driver.wired()) else None
        nsx.requests.clear()
        driver.apply(driver.plan(wanted))
        counts.append(len(nsx.requests))

    # Three lists and the vNICs, the ports of one segment, the rules of three policies, one PATCH.
    assert counts == [9, 9]


def test_one_patch_brings_all_or_nothing(nsx, driver, converge):
    nsx.requests.clear()
    converge(web())

    assert [method for method, _ in nsx.requests].count("PATCH") == 1


def test_a_rule_with_more_ports_than_a_service_takes_becomes_several(nsx, converge):
    many = range(1000, 1040)
    converge(wish([network("red")], (), [group("web", ingress(Protocol.TCP, *many))]))
    rules = [each for path, each in nsx.intent.objects.items() if path.startswith(f"{POLICY}/rules/")]
    sets = [entry["destination_ports"] for rule in rules for entry in rule["service_entries"]]

    assert sorted(int(each) for some in sets for each in some) == list(many)
    assert max(map(len, sets)) == 15


def test_a_far_side_without_addresses_lets_nothing_pass(nsx, converge):
    converge(wish([network("red")], (), [group("web", ingress(group="db"), egress(group="db"))], db=()))

    assert not [path for path in nsx.intent.objects if path.startswith(f"{POLICY}/rules/")]
