# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest

from anyvisor.lab import checks
from anyvisor.model.kinds import Scheme


@pytest.fixture
def planned(topology, picture_with):
    return checks.plan(topology, picture_with(Scheme.SUBSTITUTION)).checks


def test_every_ordered_pair_is_asked_by_every_protocol(topology, planned):
    vms = [vm.name for vm in topology.vms]
    pairs = {(one, other) for one in vms for other in vms if one != other}

    for proto in ("tcp", "udp", "icmp"):
        asked = {
            (check.source, check.target) for check in planned if check.proto == proto and check.version == 4
        }
        assert pairs <= asked


def test_there_are_allowed_and_forbidden_ones_of_each_protocol_and_version(planned):
    kinds = Counter((check.proto, check.version, check.expected.allow) for check in planned)

    for proto in ("tcp", "udp", "icmp"):
        for version in (4, 6):
            assert kinds[proto, version, True] > 0
            assert kinds[proto, version, False] > 0


def test_there_are_at_least_two_hundred(planned):
    assert len(planned) >= 200


def test_every_machine_is_checked_for_its_lease(topology, planned):
    leases = {check.source: check.address for check in planned if check.proto == "dhcp"}

    assert leases == {vm.name: vm.ips[0] for vm in topology.vms}


def test_ipv6_addresses_are_awaited_where_a_router_announces_them(planned):
    slaac = {check.source for check in planned if check.proto == "slaac"}

    assert {"web1", "db3"} <= slaac
    assert "lan1" not in slaac


def test_a_forged_sender_is_stopped_by_nothing_but_port_security(picture_with, planned):
    picture = picture_with(Scheme.SUBSTITUTION)
    forged = [check for check in planned if check.proto == "spoof"]

    assert len(forged) >= 5
    for check in forged:
        assert not check.expected.allow
        owner = next(name for name, addresses in picture.addresses.items() if check.posing in addresses)
        assert owner not in {check.source, check.target}


def test_nobody_is_asked_to_forge_behind_a_native_switch(topology, picture_with):
    planned = checks.plan(topology, picture_with(Scheme.SEPARATION)).checks

    assert not {check.source for check in planned if check.proto == "spoof"} & {"web4", "web5", "db3"}


def test_floating_addresses_are_asked_from_outside(planned):
    asked = {(check.target, check.address) for check in planned if check.source == "outside"}

    assert asked == {("web1", "203.0.113.11"), ("web3", "203.0.113.13"), ("web4", "203.0.113.14")}


def test_the_path_names_the_hosts_on_the_way(planned):
    paths = {(check.source, check.target): check.path for check in planned}

    assert paths["web1", "db2"] == ("kvm1", "kvm2")
    assert paths["web1", "web2"] == ("kvm1",)
    assert paths["outside", "web4"] == ("outside", "kvm3")
