# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import click
import pytest

from anyvisor.lab import checks, report
from anyvisor.lab.crash import Crash
from anyvisor.lab.verify import Report, Result
from anyvisor.model.kinds import Scheme


@pytest.fixture
def reported(topology, picture_with):
    """A report in which everything is as predicted but for the named checks."""

    def make(kvm3=Scheme.SUBSTITUTION, *, wrong=()):
        results = tuple(
            Result(
                check=check,
                allowed=check.expected.allow != ((check.source, check.target, check.proto) in wrong),
            )
            for check in checks.plan(topology, picture_with(kvm3)).checks
        )
        return Report(results=results, duplicates={}, seconds=1.0)

    return make


def text_of(found, place):
    return [click.unstyle(line) for line in report.to_text(found, place)]


def test_the_document_has_what_scripts_rely_on(reported):
    document = json.loads(json.dumps(report.to_json(reported())))

    assert document["failed"] == 0
    assert document["passed"] == len(document["checks"])
    for check in document["checks"]:
        assert {"from", "to", "proto", "port", "expect", "got", "path"} <= set(check)
        assert check["expect"] in {"allow", "deny"}


def test_escapes_are_marked_in_the_document(reported):
    escapes = {
        (check["from"], check["to"])
        for check in report.to_json(reported(Scheme.SEPARATION))["checks"]
        if check["escape"]
    }

    assert escapes == {("web4", "web5"), ("web5", "web4")}


def test_failures_are_counted_and_listed(reported, place):
    found = reported(wrong={("web1", "db3", "icmp")})

    lines = text_of(found, place)

    assert report.to_json(found)["failed"] == 2
    assert any(line.startswith("wrong") and "web1 → db3 icmp IPv6" in line for line in lines)
    assert "Where to look:" in lines


def test_only_what_a_switch_that_is_away_explains_may_be_checked_again(reported):
    for result in reported().results:
        allowed = result.check.expected.allow
        assert not result.may_repeat
        assert replace(result, allowed=not allowed).may_repeat == allowed, (
            "what arrived and should not have, stands"
        )
        assert replace(result, allowed=True, unproven=True).may_repeat, (
            "nothing was learned, whatever was expected"
        )


def test_a_crash_is_told_in_both_forms(reported, place):
    crash = Crash("kvm2", "ovs-vswitchd", "killed (Aborted)")
    found = replace(reported(), crashes=(crash,))

    assert report.to_json(found)["crashes"] == [
        {"part": "kvm2", "daemon": "ovs-vswitchd", "how": "killed (Aborted)"}
    ]
    assert any("ovs-vswitchd of kvm2 died (killed (Aborted))" in line for line in text_of(found, place))


def test_a_matrix_is_aligned(reported, place):
    lines = text_of(reported(), place)
    begin = next(i for i, line in enumerate(lines) if line.startswith("TCP"))
    head = lines[begin + 1]
    rows = lines[begin + 2 : lines.index("", begin)]

    for name in ("web1", "db3", "lan2"):
        column = head.index(name)
        own = next(row for row in rows if row.split()[0] == name)
        assert own[column : column + 4].strip() == ""
        others = [row[column : column + 4] for row in rows if row.split()[0] not in {name, "outside"}]
        assert all(set(cell) <= set("+·eX ") for cell in others)
    assert max(len(row) for row in rows) <= 120


def test_escapes_have_a_sign_of_their_own(reported, place):
    assert "e" not in "".join(line[10:] for line in text_of(reported(), place) if line.startswith("  web4 "))
    assert "e" in "".join(
        line[10:] for line in text_of(reported(Scheme.SEPARATION), place) if line.startswith("  web4 ")
    )
