# SPDX-License-Identifier: Apache-2.0
"""What packets did, held against what was wanted, predicted and said beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.lab.checks import Check
from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.foretold import Foretold
from anyvisor.lab.conformance.verdict import Finding, Kind, judge
from anyvisor.lab.expectation import Expected
from anyvisor.lab.verify import Result
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.planner.escape import NO_INGRESS

CELL = Cell(host="h", hypervisor=Hypervisor.KVM, scheme=Scheme.SEPARATION, kinds=(), client="a", server="b")
SAID = Foretold(escapes={frozenset(("a", "b")): "around"}, rules={("b", NO_INGRESS): "nobody filters"})
NOTHING = Foretold(escapes={}, rules={})
PASSES, STOPPED = Expected(allow=True, why=""), Expected(allow=False, why="")
LAX = Expected(allow=True, why="", unenforced=True)
AROUND = Expected(allow=True, why="", unenforced=True, escape=True)
UNSURE = Expected(allow=True, why="", unenforced=True, escape=True, certain=False)


def result(expected, *, allowed, unproven=False):
    check = Check(
        source="a", target="b", proto="tcp", port=80, version=4, address="10.1.0.1", expected=expected
    )
    return Result(check=check, allowed=allowed, unproven=unproven)


RESULTS = st.builds(
    result,
    st.sampled_from([PASSES, STOPPED, LAX, AROUND, UNSURE]),
    allowed=st.booleans(),
    unproven=st.booleans(),
)


@given(results=st.lists(RESULTS, min_size=1), told=st.sampled_from([SAID, NOTHING]))
def test_a_mistake_is_whatever_was_not_predicted_or_not_said(results, told):
    verdict = judge(CELL, "tcp", results, told)

    def foreseen(one):
        expected = one.check.expected
        as_predicted = one.allowed == expected.allow or not expected.certain
        return not one.unproven and as_predicted and (told is SAID or not expected.unenforced)

    assert len(verdict.mistakes) == sum(not foreseen(one) for one in results)
    leaks = [one for one in results if foreseen(one) and one.check.expected.unenforced and one.allowed]
    assert sum(found.passed for found in verdict.findings) == len(leaks)
    assert verdict.holds == (not verdict.mistakes and not leaks)
    assert verdict.tried == len(results)


@pytest.mark.parametrize(
    ("expected", "kind", "why"), [(LAX, Kind.NO, "nobody filters"), (AROUND, Kind.ESCAPE, "around")]
)
def test_what_passes_against_the_policy_is_counted_under_the_reason_of_the_plan(expected, kind, why):
    results = [result(expected, allowed=True), result(PASSES, allowed=True), result(expected, allowed=True)]

    verdict = judge(CELL, "tcp", results, SAID)

    assert verdict.findings == (Finding(kind=kind, why=why, passed=2, tried=2),)
    assert not verdict.holds
    assert verdict.mistakes == ()


def test_what_may_be_stopped_by_somebody_else_is_no_mistake_either_way():
    one, two = result(UNSURE, allowed=True), result(UNSURE, allowed=False)

    assert judge(CELL, "spoofing", [one, two], SAID).findings[0].passed == 1
    assert judge(CELL, "spoofing", [two], SAID).holds


@pytest.mark.parametrize("expected", [LAX, AROUND])
def test_what_was_sure_to_pass_and_is_stopped_is_a_mistake_though_the_policy_is_kept(expected):
    assert len(judge(CELL, "tcp", [result(expected, allowed=False)], SAID).mistakes) == 1


def test_a_case_that_asks_nothing_proves_nothing():
    assert judge(CELL, "tcp", [], SAID).mistakes == ("nothing could be asked",)
