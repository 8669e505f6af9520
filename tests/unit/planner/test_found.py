# SPDX-License-Identifier: Apache-2.0
"""Hosts that managers report: beside those of the file, beneath what it says of them, and never at its cost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host, NativeSwitch
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme, SwitchKind
from anyvisor.model.site import Manager, Site
from anyvisor.model.state import State
from anyvisor.planner.found import completed, in_use, news, overridden, reported_by

VDS = NativeSwitch(name="dvs1", kind=SwitchKind.VDS, version="8.0.0", uplinks=("vmnic0",))


def esx(name, cluster="c1", **facts):
    return Host(
        name=name,
        hypervisor=Hypervisor.ESXI,
        version="8.0.3",
        cluster=cluster,
        switches=(VDS,),
        facts={"vcenter": True, **facts},
    )


def site(*hosts):
    return Site(
        managers={"vc1": Manager(name="vc1", driver="vsphere", url="https://vc1/sdk")},
        hosts={host.name: host for host in hosts},
    )


def stored(whole, attachments=()):
    return State(site=whole, attachments={a.port: a for a in attachments})


def seen(*hosts):
    return {host.name: host for host in hosts}


def at(host):
    return Attachment(port="p1", host=host, kind=AttachmentKind.VIF, network="web", mac="52:54:00:00:00:01")


def test_a_host_that_the_file_does_not_name_is_there_with_its_managers_name():
    whole = completed(site(), State(), reported_by("vc1", seen(esx("esx1"))))

    assert whole.hosts["esx1"] == replace(esx("esx1"), manager="vc1")


def test_what_the_file_says_of_a_host_weighs_more_and_the_rest_is_taken_from_the_report():
    stated = Host(
        name="esx1",
        hypervisor=Hypervisor.ESXI,
        scheme=Scheme.SEPARATION,
        facts={"underlay_mtu": 9000, "vcenter": False},
    )

    found = completed(site(stated), State(), reported_by("vc1", seen(esx("esx1", edition="vcf")))).hosts[
        "esx1"
    ]

    assert (found.scheme, found.version, found.cluster, found.manager) == (
        Scheme.SEPARATION,
        "8.0.3",
        "c1",
        None,
    )
    assert found.switches == (VDS,)
    assert found.facts == {"underlay_mtu": 9000, "vcenter": False, "edition": "vcf"}


def test_a_host_of_another_kind_is_no_report_of_it():
    kvm = Host(name="esx1", hypervisor=Hypervisor.KVM)

    assert overridden(kvm, esx("esx1")) == kvm


def test_of_a_manager_that_is_silent_its_last_word_counts():
    before = completed(site(), State(), reported_by("vc1", seen(esx("esx1"))))

    assert completed(site(), stored(before), {}, {"vc1"}) == before
    assert completed(site(), stored(before), {}).hosts == {}


def test_a_file_that_names_a_host_briefly_says_the_same_while_its_manager_is_silent():
    brief = Host(name="esx1", hypervisor=Hypervisor.ESXI, scheme=Scheme.APPLIANCE)
    before = completed(site(brief), State(), reported_by("vc1", seen(esx("esx1", edition="vcf"))))

    assert completed(site(brief), stored(before), {}, {"vc1"}) == before


@given(st.integers(0, 64), st.integers(0, 64))
def test_what_is_spare_is_no_news_and_changes_no_plan(first, later):
    before = completed(site(), State(), reported_by("vc1", seen(esx("esx1", spare_vcpus=first))))
    now = seen(esx("esx1", spare_vcpus=later))

    assert completed(site(), stored(before), reported_by("vc1", now)) == before
    assert news("vc1", stored(before), now) == {}


def test_news_are_hosts_that_came_changed_or_went():
    before = completed(site(), State(), reported_by("vc1", seen(esx("esx1"), esx("esx2"), esx("esx3"))))
    newer = replace(esx("esx1"), version="9.0.0")

    changed = news("vc1", stored(before), seen(newer, esx("esx2"), esx("esx4")))

    assert changed == {
        "esx1": replace(newer, manager="vc1"),
        "esx3": None,
        "esx4": replace(esx("esx4"), manager="vc1"),
    }


def test_a_host_that_its_manager_lost_sight_of_stays_while_ports_are_on_it():
    before = completed(site(), State(), reported_by("vc1", seen(esx("esx1"))))

    assert news("vc1", stored(before, [at("esx1")]), {}) == {}
    assert news("vc1", stored(before), {}) == {"esx1": None}


def test_the_files_hosts_and_other_managers_hosts_are_nobodys_news():
    other = replace(esx("esx2"), manager="vc2")
    state = stored(site(esx("esx1"), other))

    assert news("vc1", state, seen(replace(esx("esx1"), version="9.0.0"))) == {}


def test_nothing_is_built_on_a_found_host_before_a_port_is_in_its_cluster():
    whole = completed(
        site(esx("named", cluster="c9")),
        State(),
        reported_by(
            "vc1",
            seen(
                esx("a1", cluster="a"),
                esx("a2", cluster="a"),
                esx("b1", cluster="b"),
                esx("lone", cluster=None),
            ),
        ),
    )

    assert in_use(whole, whole.hosts, ()) == {"named"}
    assert in_use(whole, whole.hosts, {"a1"}) == {"named", "a1", "a2"}
    assert in_use(whole, whole.hosts, {"lone"}) == {"named", "lone"}
