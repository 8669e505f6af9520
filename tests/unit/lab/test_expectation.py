# SPDX-License-Identifier: Apache-2.0
import pytest

from anyvisor.lab.expectation import Expectation
from anyvisor.model.kinds import Protocol, Scheme


@pytest.fixture
def converted(picture_with):
    return Expectation(picture_with(Scheme.SUBSTITUTION))


@pytest.fixture
def separated(picture_with):
    return Expectation(picture_with(Scheme.SEPARATION))


def tcp(expectation, source, target, port, version=4):
    return expectation.between(source, target, protocol=Protocol.TCP, port=port, version=version)


@pytest.mark.parametrize("version", [4, 6])
def test_with_every_switch_programmed_the_policy_is_what_happens(converted, version):
    allowed = tcp(converted, "web1", "db3", 5432, version)
    forbidden = tcp(converted, "db1", "db3", 5432, version)

    assert allowed.allow
    assert not forbidden.allow
    assert not any(expected.escape or expected.unenforced for expected in (allowed, forbidden))


def test_two_ports_behind_one_native_switch_escape(separated):
    expected = tcp(separated, "web4", "web5", 5432)

    assert expected.allow
    assert expected.escape
    assert expected.unenforced


def test_what_the_policy_allows_anyway_is_an_escape_but_no_breach(separated):
    expected = tcp(separated, "web4", "web5", 80)

    assert expected.allow
    assert expected.escape
    assert not expected.unenforced


def test_rules_of_a_port_behind_a_native_switch_do_not_hold(separated):
    expected = tcp(separated, "db1", "web4", 5432)

    assert expected.allow
    assert expected.unenforced
    assert not expected.escape


def test_rules_of_programmed_ports_hold_against_native_ones(separated):
    assert not tcp(separated, "db3", "web1", 5432).allow
    assert tcp(separated, "web4", "db1", 5432).allow


def test_a_group_keeps_its_members_behind_a_native_switch(separated):
    assert separated.between("web4", "web1", protocol=Protocol.ICMP, port=None, version=4).allow
    assert not separated.between("db3", "web1", protocol=Protocol.ICMP, port=None, version=4).allow


def test_egress_rules_of_programmed_ports_hold_towards_native_ones(separated):
    def udp(target):
        return separated.between("ops1", target, protocol=Protocol.UDP, port=53, version=4)

    assert not udp("web4").allow
    assert not udp("web1").allow


def test_no_scheme_makes_a_way_where_there_is_none(separated):
    assert not tcp(separated, "lan1", "web4", 80).allow


def test_the_outside_reaches_floating_addresses_by_their_rules_where_somebody_enforces_them(
    converted, separated
):
    def outside(expectation, target, port):
        return expectation.from_outside(
            target, address="203.0.113.254", protocol=Protocol.TCP, port=port
        ).allow

    assert outside(converted, "web1", 80)
    assert not outside(converted, "web1", 5432)
    assert not outside(converted, "web4", 5432)
    assert outside(separated, "web4", 5432)


def test_a_forged_sender_is_stopped_where_the_controller_programs_the_senders_switch(converted, separated):
    for expectation, liar in ((converted, "web4"), (separated, "web1")):
        for by_mac in (False, True):
            expected = expectation.forged(liar, "web2", claim="another", by_mac=by_mac)
            assert (expected.allow, expected.policy, expected.certain) == (False, False, True)


def test_behind_a_native_switch_others_ip_addresses_pass_and_mac_addresses_may(separated):
    far = separated.forged("web4", "web1", claim="10.1.0.12", by_mac=False)
    near = separated.forged("web4", "web5", claim="10.1.0.12", by_mac=False)
    mac = separated.forged("web4", "web1", claim="52:54:00:99:99:99", by_mac=True)

    assert [one.allow for one in (far, near, mac)] == [True] * 3
    assert [one.policy for one in (far, near, mac)] == [False] * 3
    assert [one.escape for one in (far, near, mac)] == [False, True, False]
    assert [one.certain for one in (far, near, mac)] == [True, True, False]
