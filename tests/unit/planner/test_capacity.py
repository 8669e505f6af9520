# SPDX-License-Identifier: Apache-2.0
"""An inner switch says that its tags come to an end before they do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.cli.plan_text import plan_lines
from anyvisor.errors import AnyvisorError
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.network import Network
from anyvisor.model.port import Port
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import HostState, Placement, State, Tag, Telemetry
from anyvisor.planner.allocate import REST_SECONDS, TagPool
from anyvisor.planner.capacity import TAGS, alarms, capacities, capacity_of
from anyvisor.planner.decide import Decider
from anyvisor.planner.explain import explain_host
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.inner import FIRST_TAG, LAST_TAG, inner_place
from anyvisor.planner.paper import plan, to_json
from anyvisor.reconcile.engine import every_key
from anyvisor.view.coverage import overall_view
from anyvisor.view.coverage import to_json as view_to_json

OWNER = "0f0f0f0f"
NOW = 10_000
VDS = (NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",)),)


def esx(name, cluster="c1"):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster,
        manager="vc1",
        switches=VDS,
        scheme=Scheme.APPLIANCE,
    )


HOSTS = {name: esx(name) for name in ("esx1", "esx2")} | {"esx3": esx("esx3", "c2")}
SCHEMES = dict.fromkeys(HOSTS, Scheme.APPLIANCE)
SCOPE = inner_place(HOSTS["esx1"], OWNER).scope


def site(ports):
    return Site(
        managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
        hosts=HOSTS,
        networks={"web": Network(name="web", kind=NetworkKind.OVERLAY)},
        ports={name: Port(name=name, network="web", host=host) for name, host in ports.items()},
    )


def state(tags, **more):
    return State(owner=OWNER, tags={(tag.scope, tag.vlan): tag for tag in tags}, **more)


def tags(count, first=FIRST_TAG, released=0):
    return [
        Tag(scope=SCOPE, vlan=first + n, holder=f"vm{first + n}", released=released) for n in range(count)
    ]


def of_c1(wanted, known, now=NOW):
    return next(c for c in capacities(wanted, known, SCHEMES, now_seconds=now) if c.scope == SCOPE)


def test_hosts_of_a_cluster_share_one_inner_switch_and_others_have_their_own():
    found = capacities(site({}), state([]), SCHEMES, now_seconds=NOW)

    assert [each.hosts for each in found] == [("esx1", "esx2"), ("esx3",)]
    assert [(each.taken, each.resting, each.free) for each in found] == [(0, 0, TAGS)] * 2
    assert alarms(found) == ()


def test_a_host_under_another_scheme_has_none():
    assert capacities(site({}), state([]), {"esx1": Scheme.SEPARATION}, now_seconds=NOW) == ()


def test_tags_are_taken_rest_and_come_free():
    held = [
        *tags(10),
        *tags(5, first=100, released=NOW - 10),
        *tags(3, first=200, released=NOW - REST_SECONDS),
    ]

    found = of_c1(site({}), state(held))

    assert (found.taken, found.resting, found.free) == (10, 5, TAGS - 15)


def test_a_vnic_is_counted_where_its_vm_runs():
    wanted = site({"vm2": "esx3", "new": "esx1"})
    known = state(tags(1), site=wanted, placements={"new": Placement(host="esx3")})
    at_paper = of_c1(wanted, known)
    planned = plan(wanted, known, now_seconds=NOW).capacities

    assert (at_paper.taken, at_paper.coming) == (1, 1)
    assert [(each.hosts[0], each.coming) for each in planned] == [("esx1", 0), ("esx3", 2)]


@pytest.mark.parametrize(
    ("held", "coming", "reason"),
    [
        (3273, 1, "Enough"),
        (3274, 1, "NearlyFull"),
        (TAGS - 1, 1, "NearlyFull"),
        (TAGS - 1, 2, "Full"),
        (TAGS, 0, "Full"),
    ],
)
def test_the_alarm_comes_at_eighty_percent_and_before_the_last_tag_is_asked_for(held, coming, reason):
    wanted = site({f"new{n}": "esx1" for n in range(coming)})

    condition = of_c1(wanted, state(tags(held))).condition()

    assert condition.reason == reason
    assert condition.true == (reason == "Enough")
    assert ("another `cluster`" in condition.message) == (reason != "Enough")
    assert f"{held} are taken" in condition.message


@given(
    held=st.sets(st.integers(FIRST_TAG, LAST_TAG), max_size=12),
    room=st.integers(0, 6),
    resting=st.lists(st.tuples(st.integers(0, 7), st.integers(NOW - 2 * REST_SECONDS, NOW)), max_size=4),
    coming=st.sets(st.integers(0, 7), max_size=8),
)
def test_it_is_called_full_exactly_when_a_coming_vnic_would_get_no_tag(held, room, resting, coming):
    """All tags but a few are held; `resting` and `coming` name the same eight vNICs."""
    open_vlans = list(range(FIRST_TAG, FIRST_TAG + room + len(resting)))
    all_tags = [
        Tag(scope=SCOPE, vlan=vlan, holder=f"old{vlan}")
        for vlan in range(FIRST_TAG, LAST_TAG + 1)
        if vlan not in open_vlans and vlan not in held
    ]
    all_tags += [
        Tag(scope=SCOPE, vlan=vlan, holder=f"new{who}", released=when)
        for vlan, (who, when) in zip(open_vlans, resting, strict=False)
    ]
    known = state(all_tags)

    found = of_c1(site({f"new{n}": "esx1" for n in coming}), known)

    pool = TagPool(
        SCOPE, known.tags, first=FIRST_TAG, last=LAST_TAG, now_seconds=NOW, rest_seconds=REST_SECONDS
    )
    assert found.taken + found.resting + found.free == TAGS
    assert (found.needed > found.free) == (not all(given_out(pool, f"new{n}") for n in sorted(coming)))


def given_out(pool, holder):
    try:
        pool.take(holder)
    except AnyvisorError:
        return False
    return True


def test_plan_view_and_explain_all_say_it():
    wanted = site({"new": "esx1"})
    hosts = {name: HostState(scheme=Scheme.APPLIANCE, carried=Scheme.APPLIANCE) for name in HOSTS}
    known = state(tags(3500), site=wanted, hosts=hosts)

    planned = plan(wanted, known, now_seconds=NOW)
    text = "\n".join(plan_lines(planned, wanted, source="", why=False))
    told = json.loads(json.dumps(to_json(planned)))["inner_switches"][0]
    shown = overall_view(known, Telemetry(), (), planned.capacities)
    host = next(each for each in planned.hosts if each.host == "esx1")
    explained = explain_host(host, known, capacity_of(HOSTS["esx1"], OWNER, planned.capacities))

    assert "nearly full" in text
    assert "of 4093 tags 3500 are taken, 0 rest and 593 are free, and 1 vNICs are to come" in text
    assert (told["hosts"], told["tags"], told["taken"], told["free"], told["state"]) == (
        ["esx1", "esx2"], TAGS, 3500, 593, "NearlyFull",
    )  # fmt: skip
    assert view_to_json(shown)["inner_switches"][0] == told
    alarmed = {each.host for each in shown.hosts if any(c.kind == "Capacity" for c in each.conditions)}
    assert alarmed == {"esx1", "esx2"}
    assert explained.to_json()["inner_switch"] == told
    assert any("NearlyFull" in line for line in explained.lines())


def test_a_vnic_without_a_tag_says_that_its_switch_is_full_and_what_to_do():
    wanted = site({"new": "esx1"})
    hosts = {name: HostState(scheme=Scheme.APPLIANCE, carried=Scheme.APPLIANCE) for name in HOSTS}
    known = state(tags(TAGS), site=wanted, hosts=hosts)
    decider = Decider(Fleet())
    decider.load(known)

    failures = decider.round(known, every_key(known), now_seconds=NOW).failures

    (condition,) = failures.values()
    assert condition.reason == "NoVlan"
    assert "4093 are held, 0 rest and 0 are free" in condition.message
    assert "another `cluster`" in condition.message
