# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest

from anyvisor.lab.conformance.asker import Asker
from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.foretold import foretold
from anyvisor.model.state import State
from anyvisor.planner import paper
from anyvisor.planner.escape import NATIVE

FORBIDDING = {"tcp", "udp", "icmp", "groups", "same-host", "across-hosts", "spoofing", "router", "floating"}
"""Cases that ask for something that the policy forbids."""


@pytest.fixture(scope="module")
def asker(topology, state_with):
    return Asker(topology, state_with())


@pytest.fixture(scope="module")
def told(site):
    """What `plan` says of it before anything is there."""
    return foretold(paper.to_json(paper.plan(site, State())))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_asks_every_cell_something_by_which_it_can_fail(asker, case):
    for cell in asker.cells:
        asked = list(case.ask(asker, cell))
        policies = Counter(check.expected.policy for check in asked)

        assert policies[True] or case.name == "spoofing"
        assert bool(policies[False]) == (case.name in FORBIDDING)
        assert len(asked) == len(set(asked)), "nothing is asked twice"
        assert all(set(cell.ports) & {check.source, check.target} for check in asked)


def test_where_a_scheme_carries_overlays_packets_take_tunnels_alone(asker, site):
    """A network with a VM behind a native switch goes by VLAN, also between hosts that are programmed."""
    native = {cell.host for cell in asker.cells if cell.scheme in NATIVE}
    joined = {port.network for port in site.ports.values() if port.host in native}
    for cell in asker.cells:
        networks = {site.ports[port].network for port in cell.tunnelled}
        assert not networks & joined
        assert bool(networks) == (cell.host not in native)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_versions_of_ip_are_asked_but_where_there_is_one_alone(asker, case):
    only = {"dhcp": {4}, "slaac": {6}, "floating": {4}}
    for cell in asker.cells:
        assert {check.version for check in case.ask(asker, cell)} == only.get(case.name, {4, 6})


def test_the_plan_on_paper_names_whatever_is_predicted_against_the_policy(asker, told):
    asked = [check for cell in asker.cells for case in CASES for check in case.ask(asker, cell)]
    breaches = [check for check in asked if check.expected.allow != check.expected.policy]

    assert [check for check in breaches if told.why(check) is None] == []
    assert {check.expected.escape for check in breaches} == {True, False}
    assert all(check.expected.certain or check.posing_mac for check in asked)


def test_a_plan_that_says_nothing_foretells_nothing(asker):
    silent = foretold({"escapes": [], "unenforced": []})

    assert {
        silent.why(check) for cell in asker.cells for case in CASES for check in case.ask(asker, cell)
    } == {None}


def test_the_largest_packet_is_what_the_tunnels_leave_over(asker):
    case = next(case for case in CASES if case.name == "mtu")

    assert {(check.proto, check.size) for check in case.ask(asker, asker.cells[0])} == {
        ("sized", 1442),
        ("oversized", 1443),
    }
