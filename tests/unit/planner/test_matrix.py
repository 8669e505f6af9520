# SPDX-License-Identifier: Apache-2.0
"""The table of hosts and schemes is the planner's own."""

import pytest

from anyvisor.cli.schemes import lines, markdown_lines, to_json
from anyvisor.model.kinds import Hypervisor, Scheme
from anyvisor.model.policy import Preference
from anyvisor.planner.availability import missing
from anyvisor.planner.choose import choose, verdicts
from anyvisor.planner.matrix import KINDS, Answer, matrix

ROWS = {row.kind: row for row in matrix()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_cell_is_what_the_planner_says_of_such_a_host(kind):
    host, cells = KINDS[kind], ROWS[kind].cells
    found, chosen = verdicts(host), choose(host, Preference()).scheme

    assert cells.keys() == set(Scheme)
    for scheme, cell in cells.items():
        assert cell.verdict == found[scheme]
        assert (cell.answer is Answer.NO) == (not found[scheme].possible)
        assert bool(cell.lacking) == (found[scheme].possible and bool(missing(host, scheme)))
        assert (cell.answer is Answer.CHOSEN) == (scheme is chosen and not cell.lacking)


def test_every_hypervisor_is_there_and_every_scheme_is_carried_out_somewhere():
    assert {host.hypervisor for host in KINDS.values()} == set(Hypervisor)
    driven = {
        scheme
        for row in ROWS.values()
        for scheme, cell in row.cells.items()
        if cell.answer in {Answer.CHOSEN, Answer.YES}
    }
    assert driven == set(Scheme)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_has_its_code_reason_and_source(kind):
    told = next(host for host in to_json(matrix())["hosts"] if host["host"] == kind)

    for said in told["schemes"].values():
        assert all(said[key] for key in ("code", "reason", "source"))


def test_every_reason_of_a_refusal_is_told_once():
    text = "\n".join(lines(matrix()))

    for row in ROWS.values():
        for cell in row.cells.values():
            if cell.answer is Answer.NO:
                assert text.count(f"{cell.verdict.scheme}: {cell.verdict.reason} [{cell.verdict.code};") == 1


def test_the_page_has_a_row_for_each_kind_of_host():
    page = list(markdown_lines(matrix()))

    assert len(page) == len(KINDS) + 2
    assert all(line.count("|") == len(Scheme) + 2 for line in page)


def test_a_xen_host_with_nothing_but_a_card_has_no_switch_to_replace():
    cells = ROWS["Xen under xl with a DPU"].cells

    assert cells[Scheme.NIC].answer is Answer.CHOSEN
    assert cells[Scheme.SUBSTITUTION].verdict.code == "SWITCH_NOT_REPLACEABLE"
