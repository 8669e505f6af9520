# SPDX-License-Identifier: Apache-2.0
"""What the operator of an emulated Xen host writes into the site, and what of it the demo tries."""

import pytest

from anyvisor.codec.site import parse_site
from anyvisor.lab import checks, sitefile, topology_file
from anyvisor.lab.demo import xen as demo
from anyvisor.lab.expectation import Picture
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.lab.verify import HEARD
from anyvisor.lab.xen import domains
from anyvisor.lab.xen.operator import XenOperator
from anyvisor.lab.xen.stage import STAGES, is_last_of_its_guests
from anyvisor.model.state import State
from anyvisor.planner import paper


@pytest.fixture
def place(tmp_path):
    made = Place(name="paper", root=tmp_path)
    made.folder.mkdir()
    return made


@pytest.fixture
def fleet():
    return topology_file.load("mixed-xen")


@pytest.fixture
def operator(place, fleet, tmp_path):
    return XenOperator(place, fleet, demo.HOST, tmp_path, silent, appliance_ip=demo.APPLIANCE_IP)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.title)
def test_each_stage_has_a_site_that_gets_its_scheme(operator, stage):
    site = parse_site(operator.site(stage).read_text())
    planned = {host.host: host.scheme for host in paper.plan(site, State()).hosts}

    assert planned[demo.HOST] is stage.scheme
    assert site.hosts[demo.HOST].tunnel_ip == (demo.APPLIANCE_IP if stage.serves else "192.168.77.41")
    assert len(site.hosts) == 11


def test_a_stage_that_goes_on_has_the_guests_that_run(operator, fleet):
    names = {vm.name for vm in fleet.vms_of(demo.HOST)}
    first, *_, last = (set(parse_site(operator.site(stage).read_text()).ports) for stage in STAGES)

    assert first & names == names
    assert last & names == set(), "none was started"


def test_a_network_without_a_vlan_is_not_behind_a_native_switch(place, tmp_path):
    topology = topology_file.load("conformance-xen")
    operator = XenOperator(place, topology, "xen1", tmp_path, silent, appliance_ip="192.168.77.42")
    by_title = {stage.title: parse_site(operator.site(stage).read_text()).ports for stage in STAGES}

    assert "xen1-c" in by_title["appliance"]
    assert "xen1-c" not in by_title["separation"]
    assert "xen1-a" in by_title["separation"]


def test_a_stage_before_one_that_goes_on_leaves_its_guests_running():
    assert [is_last_of_its_guests(stage) for stage in STAGES] == [True, True, False, True]
    assert [stage.serves for stage in STAGES] == [domains.APPLIANCE, domains.DRIVER_DOMAIN, "", ""]


def test_every_stage_has_its_words():
    assert demo.WORDS.keys() == {stage.title for stage in STAGES}


def test_the_demo_tries_the_hosts_own_vms_with_one_of_each_kind(operator, fleet):
    site = parse_site(operator.site(STAGES[0]).read_text())
    schemes = {host.host: host.scheme for host in paper.plan(site, State()).hosts}
    addresses = {port.name: port.ips for port in site.ports.values()}
    planned = checks.plan(fleet, Picture(site=site, schemes=schemes, addresses=addresses))

    tried = [check for check in planned.checks if demo.is_tried(check)]

    sending = {(check.source, check.target) for check in tried if check.proto not in HEARD | {"spoof"}}
    assert {target for source, target in sending if source == demo.FIRST} == demo.PEERS | {
        demo.SECOND,
        "outside",
    }
    assert {source for source, target in sending if target == demo.FIRST} == demo.PEERS | {
        demo.SECOND,
        "outside",
    }
    assert {check.source for check in tried if check.proto in HEARD} == {demo.FIRST, demo.SECOND}


def test_an_emulated_host_is_not_in_the_labs_own_site(place, fleet):
    sitefile.write(place, fleet)

    site = parse_site(place.site().read_text())

    assert demo.HOST not in site.hosts
    assert demo.FIRST not in site.ports
    assert parse_site(place.site("separation").read_text()).hosts.keys() == site.hosts.keys()
