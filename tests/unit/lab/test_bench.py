# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from anyvisor.lab import bench, bench_load, checks
from anyvisor.model.kinds import Scheme


@pytest.fixture
def chosen(topology, picture_with):
    return bench.pairs(checks.plan(topology, picture_with(Scheme.SEPARATION)))


def result(pair, ratios):
    return bench.Result(pair=pair, figures={"icmp_us": 200.0}, ratios=ratios)


def test_each_kind_and_combination_of_schemes_is_measured_once(chosen):
    kinds = [(pair.kind, pair.schemes) for pair in chosen]

    assert len(kinds) == len(set(kinds))
    assert ("same host", ("separation", "separation")) in kinds
    assert ("other host", ("baseline", "separation")) in kinds
    assert ("routed, other host", ("baseline", "baseline")) in kinds


def test_the_yardstick_comes_first_in_its_kind(chosen):
    for kind in bench.KINDS:
        assert next(pair for pair in chosen if pair.kind == kind).schemes == ("baseline", "baseline")


def test_only_what_should_pass_is_measured(topology, picture_with, chosen):
    planned = checks.plan(topology, picture_with(Scheme.SEPARATION)).checks
    passing = {(c.source, c.target, c.proto, c.port) for c in planned if c.expected.allow and c.version == 4}

    for pair in chosen:
        if pair.tcp is not None:
            assert (pair.source, pair.target, "tcp", pair.tcp) in passing
        if pair.udp is not None:
            assert (pair.source, pair.target, "udp", pair.udp) in passing


def test_the_pair_on_which_most_passes_is_taken(chosen):
    assert next(pair for pair in chosen if pair.kind == "same host").ways == 3


def test_of_two_that_pass_alike_the_filtered_one_is_taken(chosen):
    assert next(pair for pair in chosen if pair.kind == "same host").target == "web2"


def test_a_figure_that_could_not_be_taken_leaves_its_cell_empty(chosen):
    lines = list(bench.to_text([result(chosen[0], {}), result(chosen[1], {"icmp_us": 1.5})]))

    assert lines[1].split().count("-") == 3
    assert "1.50" in lines[2]


def test_the_json_document_can_be_written(chosen):
    document = json.loads(json.dumps(bench.to_json([result(chosen[0], {"icmp_us": 1.0})])))

    assert document["pairs"][0]["pair"]["kind"] == "same host"
    assert document["pairs"][0]["ratios"] == {"icmp_us": 1.0}


def test_a_line_is_short_enough_for_the_prober():
    assert len(bench_load.LINE) < 1 << 16
