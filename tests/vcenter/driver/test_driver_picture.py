# SPDX-License-Identifier: Apache-2.0
"""What the driver reports of hosts and cards, and that a change costs what it concerns, not the fleet."""

import time

import pytest

from anyvisor.model.estate import CardProblem
from anyvisor.model.host import NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.model.names import HostName

ESX1, ESX2, OLD = HostName("esx1"), HostName("esx2"), HostName("old1")


def test_a_host_is_reported_with_the_facts_that_a_plan_rests_on(estate):
    esx1 = estate.estate().hosts[ESX1]

    assert (esx1.hypervisor, esx1.version, esx1.cluster, esx1.manager) == (
        Hypervisor.ESXI,
        "8.0.3",
        "C1",
        "vc1",
    )
    assert esx1.switches == (
        NativeSwitch(name="dvs", kind=SwitchKind.VDS, version="7.0.0", uplinks=("vmnic0",)),
        NativeSwitch(name="vSwitch0", kind=SwitchKind.VSS, uplinks=("vmnic1",)),
    )
    assert esx1.nics == (
        Nic(name="vmnic0", speed_gbps=25.0, sriov_vfs=8),
        Nic(name="vmnic1", speed_gbps=10.0),
    )
    facts = dict(esx1.facts)
    assert facts.pop("spare_vcpus") == 8
    assert facts.pop("spare_memory_gib") == 32.0
    assert facts == {
        "edition": "enterprise-plus",
        "vds_license": True,
        "vcenter": True,
        "vcenter_version": "8.0.3",
        "nsx": False,
        "fault_tolerance": False,
        "passthrough_vnics": 1,
        "connection": "connected",
        "maintenance": False,
    }


def test_a_host_without_the_licence_and_cluster_says_so(estate):
    old = estate.estate().hosts[OLD]

    assert (old.cluster, old.version) == (None, "6.5.0")
    assert (old.facts["edition"], old.facts["vds_license"]) == ("standard", False)


def test_what_vms_reserve_is_not_spare(estate, vc):
    from pyVmomi import vim  # the client's own words

    web = vc.vm("web")
    cpu, memory = vim.ResourceAllocationInfo(reservation=4000), vim.ResourceAllocationInfo(reservation=2048)
    vc.reconfigure(web, cpuAllocation=cpu, memoryAllocation=memory)
    facts = estate.estate().hosts[ESX1].facts
    assert facts["spare_vcpus"] < 8
    assert facts["spare_memory_gib"] == 30.0

    vc.done(web.PowerOffVM_Task())

    facts = estate.estate().hosts[ESX1].facts
    assert (facts["spare_vcpus"], facts["spare_memory_gib"]) == (8, 32.0)


def test_nsx_offload_and_fault_tolerance_are_seen(elsewhere, world):
    estate = elsewhere(world.inventory())
    hosts, cards = estate.estate().hosts, estate.estate().cards.values()

    assert (hosts[ESX1].facts["nsx"], hosts[ESX1].facts["vds_offload"]) == (True, True)
    assert "vds_offload" not in hosts[ESX2].facts
    assert hosts[OLD].facts["fault_tolerance"] is True
    problems = {card.vm: card.problem for card in cards if card.problem is not None}
    assert problems == {"fast": CardProblem.PASSTHROUGH, "twin": CardProblem.NSX}
    assert {card.vm for card in cards if card.vm == "golden"} == set(), "a template is no VM"
    (unplugged,) = [card for card in cards if card.vm == "bare" and card.backing is None]
    assert not unplugged.running


def test_a_migration_is_announced_and_then_done(estate, running, machines):
    running.control.migrations("hang")
    running.control.vm("web", move_to="esx2")
    on_the_way = machines.shown("web")
    assert (on_the_way.host, on_the_way.moving_to) == (ESX1, ESX2)

    running.control.migrations("proceed")

    machines.settled("web", host=ESX2)
    assert machines.shown("web").backing.group == "office"


def test_a_migration_that_fails_is_no_migration(estate, running, machines):
    running.control.migrations("hang", vm="web")
    running.control.vm("web", move_to="esx2")
    assert machines.shown("web").moving_to == ESX2
    running.control.host("esx2", connection="lost")

    running.control.migrations("proceed")

    machines.settled("web", host=ESX1)
    assert estate.estate().hosts[ESX2].facts["connection"] == "notResponding"


def test_the_second_migration_leads_where_the_second_leads(estate, running, machines):
    running.control.vm("web", move_to="esx2")
    machines.settled("web", host=ESX2)
    running.control.migrations("hang")

    running.control.vm("web", move_to="esx1")

    assert machines.shown("web").moving_to == ESX1


def test_hosts_come_back_and_go_into_maintenance(estate, running):
    running.control.host("esx1", connection="lost")
    assert estate.estate().hosts[ESX1].facts["connection"] == "notResponding"
    running.control.host("esx1", connection="back")
    running.control.host("esx2", maintenance=True)

    hosts = estate.estate().hosts

    assert hosts[ESX1].facts["connection"] == "connected"
    assert hosts[ESX2].facts["maintenance"] is True


def test_what_did_not_change_is_the_same_object(estate, running, machines):
    before = estate.estate()
    assert estate.estate() is before

    running.control.vm("web", power="dies")

    after = estate.estate()
    web = machines.card("web")
    assert not after.cards[web].running
    assert all(after.cards[card] is before.cards[card] for card in before.cards if card != web)
    assert after.hosts[ESX2] is before.hosts[ESX2]
    assert before.cards[web].running, "a picture that was given does not change"


def test_a_vm_that_goes_takes_its_cards_along(estate, vc, machines):
    (card,) = machines.cards("db")
    db = vc.vm("db")
    vc.done(db.PowerOffVM_Task())

    vc.done(db.Destroy_Task())

    assert card not in estate.estate().cards


def test_what_is_renamed_is_shown_by_its_new_name(estate, vc, machines):
    vc.done(vc.group("office").Rename_Task("bureau"))
    assert machines.group("web") == "bureau"

    vc.done(vc.dvs("dvs").Rename_Task("outer"))

    assert machines.shown("web").backing.switch == "outer"
    assert estate.estate().hosts[ESX1].switches[0].name == "outer"


HOSTS, VMS, CARDS = 64, 1250, 4


def large():
    hosts = [
        {"name": f"h{n}", "cluster": "C", "pnics": [{"name": "vmnic0"}], "switches": []} for n in range(HOSTS)
    ]
    nics = [{"network": "office"}] * CARDS
    fleet = {
        "name": "DC",
        "clusters": [{"name": "C"}],
        "hosts": hosts,
        "distributed_switches": [
            {
                "name": "dvs",
                "members": [{"host": host["name"]} for host in hosts],
                "port_groups": [{"name": "office", "vlan": 7, "ports": VMS * CARDS}],
            }
        ],
        "vms": [{"name": f"vm{n}", "host": f"h{n % HOSTS}", "nics": nics} for n in range(VMS)],
    }
    return {"name": "large", "datacenters": [fleet]}


@pytest.mark.slow
def test_one_change_among_5000_cards_costs_little(elsewhere):
    began = time.monotonic()
    estate = elsewhere(large(), answer_seconds=60.0)
    first = time.monotonic() - began
    assert len(estate.estate().cards) == VMS * CARDS
    assert len(estate.estate().hosts) == HOSTS

    costs = []
    for n in range(5):
        estate.vcenter.control.vm(f"vm{n}", power="dies")
        heard = estate._collector.changes()
        began = time.process_time()
        estate._picture.take(heard.updates)
        shown = estate._picture.estate()
        costs.append(time.process_time() - began)
        assert sum(not card.running for card in shown.cards.values()) == CARDS * (n + 1)

    assert min(costs) < 0.02
    assert first < 60
