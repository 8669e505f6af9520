# SPDX-License-Identifier: Apache-2.0
"""A host in company is not put behind a switch that ends vMotion, unless somebody says so."""

from dataclasses import replace

import pytest

from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.policy import Floor, Policy, Preference
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, State
from anyvisor.planner.choose import verdicts
from anyvisor.planner.clusters import Clusters
from anyvisor.planner.decide import Decider
from anyvisor.planner.fleet import Fleet
from anyvisor.planner.paper import plan

SETTING = "config.migrate.test.CompatibleNetworks.VMOnVirtualIntranet"


def esx(name, *, cluster="c1", **changes):
    facts = {"edition": "standard", "spare_vcpus": 4, "spare_memory_gib": 8, **changes.pop("facts", {})}
    host = Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster,
        switches=(NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic0",)),),
        nics=(Nic(name="vmnic0", physical="fabric"),),
        facts=facts,
    )
    return replace(host, **changes)


def site(*hosts, floor=None):
    policy = Policy() if floor is None else Policy(default=Preference(floor=floor))
    return Site(hosts={host.name: host for host in hosts}, policy=policy)


def planned(*hosts, state=None):
    return {host.host: host for host in plan(site(*hosts), state or State()).hosts}


def codes(host):
    return {verdict.scheme: verdict.code for verdict in host.rejected}


def test_in_a_cluster_of_several_appliance_is_possible_only_when_pinned():
    found = planned(esx("esx1"), esx("esx2"))

    for host in found.values():
        assert host.verdicts[Scheme.APPLIANCE].code == "ESXI_VSS_NO_VMOTION"
        assert "VMOnVirtualIntranet" in host.verdicts[Scheme.APPLIANCE].source
        assert host.scheme is Scheme.SEPARATION
        assert codes(host)[Scheme.APPLIANCE] == "NOT_ADVISED"


def test_who_pins_it_is_told_what_vcenter_refuses_and_how_to_allow_it():
    pinned = planned(esx("esx1", scheme=Scheme.APPLIANCE), esx("esx2"))["esx1"]

    assert pinned.scheme is Scheme.APPLIANCE
    words = " ".join(pinned.because)
    assert "ESXI_VSS_NO_VMOTION" in words
    assert SETTING in words


@pytest.mark.parametrize(
    "host",
    [
        esx("esx1"),
        esx("esx1", cluster=None, facts={"vcenter": True}),
        esx("esx1", facts={"cluster_hosts": 1}),
    ],
)
def test_a_host_that_is_alone_gets_its_appliance(host):
    (found,) = planned(host).values()

    assert found.scheme is Scheme.APPLIANCE
    assert found.verdicts[Scheme.APPLIANCE].code == "ESXI_APPLIANCE_VSS"


@pytest.mark.parametrize("facts", [{"cluster_hosts": 3}, {"drs": True}])
def test_what_the_file_says_of_the_cluster_counts(facts):
    (found,) = planned(esx("esx1", facts=facts)).values()

    assert found.verdicts[Scheme.APPLIANCE].code == "ESXI_VSS_NO_VMOTION"
    assert not found.verdicts[Scheme.APPLIANCE].advised


@pytest.mark.parametrize(
    "second", [esx("esx2", cluster="c2"), Host(name="kvm1", hypervisor=Hypervisor.KVM, cluster="c1")]
)
def test_hosts_elsewhere_are_no_company(second):
    assert planned(esx("esx1"), second)["esx1"].scheme is Scheme.APPLIANCE


def test_with_a_distributed_switch_nothing_stands_against_it():
    licensed = {"edition": "enterprise-plus"}

    found = planned(esx("esx1", facts=licensed), esx("esx2", facts=licensed))

    assert {host.scheme for host in found.values()} == {Scheme.APPLIANCE}


def test_an_appliance_in_force_stays_when_a_second_host_comes_and_the_plan_says_what_that_costs():
    state = State(hosts={"esx1": HostState(scheme=Scheme.APPLIANCE, carried=Scheme.APPLIANCE)})

    found = planned(esx("esx1"), esx("esx2"), state=state)

    assert found["esx1"].scheme is Scheme.APPLIANCE
    assert SETTING in " ".join(found["esx1"].because)
    assert found["esx2"].scheme is Scheme.SEPARATION
    assert not verdicts(Clusters(site(esx("esx1"), esx("esx2")).hosts).placed(esx("esx1")))[
        Scheme.APPLIANCE
    ].advised


@pytest.mark.parametrize("floor", [Floor(), Floor(observed=0.5)])
def test_what_is_decided_is_what_was_planned_and_is_looked_at_again_when_the_company_goes(floor):
    fleet = Fleet()
    decider = Decider(fleet)
    both = State(site=site(esx("esx1"), esx("esx2"), floor=floor))
    keys = [ObjectKey("host", "esx1"), ObjectKey("host", "esx2")]

    decider.round(both, keys, now_seconds=1)
    together = dict(fleet.schemes)
    alone = State(site=site(esx("esx1"), floor=floor))
    decider.round(alone, [ObjectKey("host", "esx2")], now_seconds=2)

    assert together == {"esx1": Scheme.SEPARATION, "esx2": Scheme.SEPARATION}
    assert fleet.schemes == {"esx1": Scheme.APPLIANCE}
