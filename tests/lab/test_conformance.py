# SPDX-License-Identifier: Apache-2.0
"""The suite of policy cases, run as `make conformance` runs it: what a scheme does not give, the plan had named."""

import os
from pathlib import Path

import pytest

from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.page import page
from anyvisor.lab.conformance.run import run
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.model.kinds import Scheme
from anyvisor.planner.escape import NATIVE

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.fixture(scope="module")
def place():
    return Place(name=f"c{os.getpid()}")


@pytest.fixture(scope="module")
def outcome(place, options):
    return run(place, options(), silent)


def test_every_packet_did_what_was_predicted_and_what_the_policy_forbids_was_named_by_the_plan(outcome):
    assert outcome.mistakes == ()
    assert len(outcome.verdicts) == len(outcome.cells) * len(CASES)


def test_every_case_holds_where_the_controller_programs_all_that_a_frame_crosses(outcome):
    missed = {(one.cell.title, one.case) for one in outcome.verdicts if not one.holds}

    programmed = [cell for cell in outcome.cells if cell.scheme not in NATIVE and not cell.shared]
    assert {cell.scheme for cell in programmed} == set(Scheme) - NATIVE
    assert [case for cell in programmed for case in CASES if (cell.title, case.name) in missed] == []


def test_where_a_native_switch_is_in_between_the_packets_show_it(outcome):
    missed = {(one.cell.title, one.case) for one in outcome.verdicts if not one.holds}

    native = [cell for cell in outcome.cells if cell.scheme in NATIVE]
    assert native
    assert all((cell.title, "groups") in missed and (cell.title, "same-host") in missed for cell in native)


def test_the_page_is_what_a_run_makes(outcome):
    named = ", ".join(f"{name} {number}" for name, number in outcome.versions.items())
    written = PAGE.read_text(encoding="utf-8")
    if named not in written:
        pytest.skip(f"the page was made with other versions than {named}")

    assert page(outcome) == written, "run `make conformance`"


def test_nothing_is_left_of_the_lab(outcome, place):
    assert not place.folder.exists()
