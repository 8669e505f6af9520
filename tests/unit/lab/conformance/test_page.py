# SPDX-License-Identifier: Apache-2.0
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.lab.conformance.case import CASES
from anyvisor.lab.conformance.cell import Cell
from anyvisor.lab.conformance.elsewhere import Elsewhere
from anyvisor.lab.conformance.outcome import Outcome
from anyvisor.lab.conformance.page import page, page_of_xen
from anyvisor.lab.conformance.report import to_json, to_text
from anyvisor.lab.conformance.verdict import Finding, Kind, Verdict
from anyvisor.lab.conformance.version import number
from anyvisor.model.kinds import AttachmentKind, Hypervisor, Scheme


def cell(host, scheme):
    return Cell(
        host=host,
        hypervisor=Hypervisor.KVM,
        scheme=scheme,
        kinds=(AttachmentKind.VIF,),
        client="a",
        server="b",
    )


CELLS = (cell("kvm1", Scheme.BASELINE), cell("kvm2", Scheme.SEPARATION))
FINDINGS = st.builds(
    Finding,
    kind=st.sampled_from(Kind),
    why=st.sampled_from(["nobody filters", "around", "the vendor's"]),
    passed=st.integers(min_value=1, max_value=9),
    tried=st.integers(min_value=9, max_value=12),
)
NOT_RUN = Elsewhere(
    host="xen-xl",
    hypervisor=Hypervisor.XEN,
    scheme=Scheme.NIC,
    possible=False,
    reason="No | card.",
    code="NO_CARD",
)


def outcome(findings, mistakes=()):
    """Findings in the first cells and cases, in the order of the table's columns."""
    given_to = iter(findings)
    places = [(cell, case.name) for cell in CELLS for case in CASES]
    return Outcome(
        verdicts=tuple(
            Verdict(
                cell=cell,
                case=case,
                tried=4,
                findings=tuple(filter(None, [next(given_to, None)])),
                mistakes=mistakes if (cell, case) == places[0] else (),
            )
            for cell, case in places
        ),
        elsewhere=(NOT_RUN,),
        versions={"Open vSwitch": "3.1.0", "OVN": "23.03.1"},
    )


@given(findings=st.lists(FINDINGS, max_size=2 * len(CASES)))
def test_every_number_in_the_table_is_explained_once_and_every_reason_is_used(findings):
    text = page(outcome(findings))

    table = text.split("## Table")[1].split("## Reasons")[0]
    reasons = re.findall(r"^(\d+)\. (no|escape): (.+)$", text, re.MULTILINE)
    assert set(re.findall(r"(no|escape) \((\d+)\)", table)) == {(kind, n) for n, kind, _ in reasons}
    assert {(kind, why) for _, kind, why in reasons} == {(f.kind, f.why) for f in findings}
    assert [int(n) for n, _, _ in reasons] == list(range(1, len(reasons) + 1))


@given(findings=st.lists(FINDINGS, max_size=2 * len(CASES)))
def test_every_row_of_a_table_has_its_columns(findings):
    blocks = [block.splitlines() for block in page(outcome(findings)).split("\n\n") if block.startswith("|")]

    assert len(blocks) == 4
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
    assert len(blocks[1]) == 2 + len(CASES)
    assert "| xen/nic | xen-xl | `NO_CARD` | No \\| card. |" in blocks[2]


def test_the_page_names_versions_and_cases_and_no_time():
    text = page(outcome([]))

    assert "Open vSwitch 3.1.0, OVN 23.03.1" in text
    assert all(case.title in text and case.holds in text for case in CASES)
    assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d|seconds", text)
    assert "failed" not in text


def test_a_run_with_mistakes_says_so_everywhere():
    found = outcome([], ("a → b tcp 80: awaited deny, got allow",))

    text = page(found)
    assert "This run failed" in text
    assert "kvm/baseline: a → b" in text
    assert "| Stateful TCP | **not as predicted** | yes |" in text
    assert to_json(found)["mistakes"] == list(found.mistakes)
    assert any("wrong" in line for line in to_text(found))


def test_the_document_is_json(capsys):
    finding = Finding(kind=Kind.ESCAPE, why="around", passed=3, tried=4)

    document = json.loads(json.dumps(to_json(outcome([finding]))))

    assert document["verdicts"][0]["findings"] == [{"kind": "escape", "why": "around", "passed": 3, "of": 4}]
    assert document["probes"] == 4 * 2 * len(CASES)
    assert document["not_run"][0]["code"] == "NO_CARD"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("ovs-vswitchd (Open vSwitch) 3.1.0", "3.1.0"),
        ("ovn-controller 23.03.1\nOpen vSwitch Library 3.1.0\nOpenFlow versions 0x6:0x6", "23.03.1"),
        ("", "unknown"),
    ],
)
def test_the_first_version_is_the_programs_own(said, found):
    assert number(said) == found


def test_the_page_of_xen_names_its_own_run_and_where_the_cases_are_in_words():
    text = page_of_xen(outcome([None], mistakes=("x",)))

    assert "make conformance-xen" in text
    assert "conformance.md#cases-in-words" in text
    assert "This run failed" in text
    assert "## Not run here" not in text
