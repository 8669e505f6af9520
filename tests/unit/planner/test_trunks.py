# SPDX-License-Identifier: Apache-2.0
"""What the plan says of a trunk is what is made: one version for the inner switch, from every host that takes part."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyvisor.model.estate import InnerSwitch, MakeGroup, MakeSwitch
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.site import Site
from anyvisor.model.state import State
from anyvisor.planner.estate import estate_plan
from anyvisor.planner.facts import vds
from anyvisor.planner.inner import inner_place
from anyvisor.planner.paper import plan
from anyvisor.planner.trunks import inner_version
from anyvisor.planner.wanted import Wanted
from anyvisor.testing.estate import FakeEstate

OWNER = "0f0f0f0f-1111"
OLD, NEW = "6.5.0", "8.0.3"


def esx(name, version, *, operators="8.0.0", **facts):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version=version,
        cluster="c1",
        scheme=Scheme.APPLIANCE,
        switches=(NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version=operators, uplinks=("vmnic0",)),),
        facts={"spare_vcpus": 4, "spare_memory_gib": 8, **facts},
    )


def site(*hosts):
    return Site(hosts={host.name: host for host in hosts})


def because(hosts, inner=None):
    planned = plan(site(*hosts), State(owner=OWNER), inner=inner)
    return {host.host: " ".join(host.because) for host in planned.hosts}


def made(hosts):
    """The inner switch and the trunk that the first look makes, and how many looks there were."""
    estate = FakeEstate()
    for host in hosts:
        estate.add_host(host)
    listed = {host.name: host for host in hosts}
    schemes = {host.name: Scheme.APPLIANCE for host in hosts}
    want = Wanted(owner=OWNER, hosts=listed, schemes=schemes, attachments={}, vms={}, ready=frozenset())
    looks = 0
    while steps := estate_plan(want, estate.estate()).steps:
        looks += 1
        estate.apply(steps)
    (trunk,) = (group for group in estate.estate().groups.values() if group.trunk)
    (switch,) = estate.estate().switches.values()
    return switch, trunk, looks


def test_one_old_host_makes_the_trunk_of_its_whole_cluster_promiscuous_and_is_named():
    said = because([esx("esx1", NEW), esx("esx2", OLD)])

    for words in said.values():
        assert "its trunk is promiscuous" in words
        assert "learns" not in words.replace("one that is there", "")
        assert "esx2, the oldest of its hosts, runs ESXi 6.5.0" in words
        assert "6.6.0" in words


def test_the_operators_own_switch_has_no_say():
    (words,) = because([esx("esx1", NEW, operators=OLD)]).values()

    assert "Its trunk learns MAC addresses" in words
    assert "8.0.3" in words


def test_a_switch_that_is_there_keeps_its_version_and_the_plan_says_what_would_help():
    name = inner_place(esx("esx1", NEW), OWNER).switch

    (words,) = because([esx("esx1", NEW)], inner={name: OLD}).values()

    assert "Its trunk is promiscuous: its inner switch is there, of version 6.5.0" in words
    assert "upgraded to 6.6.0" in words


def test_a_host_under_another_scheme_has_no_say():
    aside = replace(esx("esx2", OLD), scheme=Scheme.SEPARATION)

    assert "learns MAC addresses" in because([esx("esx1", NEW), aside])["esx1"]


def test_a_host_that_nothing_is_built_on_has_no_say():
    found = replace(esx("esx2", OLD), manager="vc1")

    said = because([esx("esx1", NEW), found])

    assert "learns MAC addresses" in said["esx1"]
    assert "promiscuous" in said["esx2"]


def test_what_is_not_known_is_said():
    assert "the ESXi version of esx1 is not known" in because([esx("esx1", "")])["esx1"]


def test_a_standard_switch_says_why_it_is_promiscuous():
    lone = replace(esx("esx1", NEW), cluster=None, switches=(), facts={})

    assert "a standard switch cannot learn" in because([lone])["esx1"]


versions = st.sampled_from(["6.0.0", "6.5.0", "6.7.0", "7.0.1", "7.0.3", "8.0.2", "8.0.3", "9.0.0"])


@settings(deadline=None, max_examples=50)
@given(st.lists(versions, min_size=1, max_size=4), st.none() | versions, versions)
def test_the_plan_says_what_is_made_and_it_is_made_at_once(listed, vcenter, operators):
    facts = {} if vcenter is None else {"vcenter_version": vcenter}
    hosts = [
        esx(f"esx{n}", version, operators=operators, **facts) for n, version in enumerate(listed, start=1)
    ]

    switch, trunk, looks = made(hosts)
    said = because(hosts)

    assert looks == 1
    assert switch.version == inner_version(hosts)
    assert trunk.mac_learning is vds.learns(switch.version)
    assert trunk.promiscuous is not trunk.mac_learning
    for words in said.values():
        assert ("learns MAC addresses" in words) is trunk.mac_learning
        assert f"version {switch.version}" in words


def test_where_no_version_is_stated_what_the_manager_says_of_the_host_counts():
    host = esx("esx1", "")
    estate = FakeEstate()
    estate.add_host(replace(host, version=NEW))
    want = Wanted(
        owner=OWNER,
        hosts={"esx1": host},
        schemes={"esx1": Scheme.APPLIANCE},
        attachments={},
        vms={},
        ready=frozenset(),
    )

    steps = estate_plan(want, estate.estate()).steps

    assert [s.switch.version for s in steps if isinstance(s, MakeSwitch)] == [NEW]
    assert [s.group.mac_learning for s in steps if isinstance(s, MakeGroup)] == [True]


@pytest.mark.parametrize("there", ["6.5.0", "7.0.0"])
def test_a_host_that_joins_does_not_change_the_version_of_what_is_there(there):
    hosts = {name: esx(name, NEW) for name in ("esx1", "esx2")}
    estate = FakeEstate()
    for host in hosts.values():
        estate.add_host(host)
    name = inner_place(hosts["esx1"], OWNER).switch
    inner = InnerSwitch(name=name, kind=SwitchKind.VDS, hosts=("esx1",), version=there)
    estate.apply([MakeSwitch(switch=inner)])
    want = Wanted(
        owner=OWNER,
        hosts=hosts,
        schemes=dict.fromkeys(hosts, Scheme.APPLIANCE),
        attachments={},
        vms={},
        ready=frozenset(),
    )

    steps = estate_plan(want, estate.estate()).steps
    estate.apply(steps)

    (joined,) = (step.switch for step in steps if isinstance(step, MakeSwitch))
    assert (joined.version, joined.hosts) == (there, ("esx1", "esx2"))
    (trunk,) = (group for group in estate.estate().groups.values() if group.trunk)
    assert trunk.mac_learning is vds.learns(there)
