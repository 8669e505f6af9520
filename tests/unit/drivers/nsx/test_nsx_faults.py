# SPDX-License-Identifier: Apache-2.0
"""Every fault at every request of a life: afterwards it converges, and nothing is left over."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from anyvisor.errors import RetryableError
from anyvisor.model.entity import EntityWish
from anyvisor.testing.nsx import Trouble
from anyvisor.testing.nsx.samples import group, ingress, mac, network, web, wish

RED = "/infra/segments/anyvisor-0123abcd-red"
CHANGED = wish([network("red", 8)], web().ports.values(), [group("web", ingress())])
ROUNDS = 6


STAGES = ("make", "mark", "change", "release", "remove")
WANTED = {
    "make": web(),
    "mark": web(),
    "change": CHANGED,
    "release": replace(CHANGED, ports={}),
    "remove": EntityWish(),
}


def begin(nsx, stage, plugged):
    """What vCenter does before a stage."""
    if stage == "mark":
        plugged.append(nsx.plug(RED, mac(1), "vif-1"))
    if stage == "remove":
        nsx.unplug(plugged.pop())


def reach(driver, wanted):
    """Plan and apply until nothing is left to do. The errors on the way."""
    errors = []
    for _ in range(ROUNDS):
        try:
            plan = driver.plan(wanted)
            driver.apply(plan)
            if not plan.changes:
                return errors
        except RetryableError as error:
            errors.append(error)
    raise AssertionError(f"no end of it: {errors}")


def said(nsx):
    """What is stored, but for what the server counts."""
    counted = ("_revision", "_create_time", "_last_modified_time", "unique_id", "rule_id")
    return {
        path: {name: value for name, value in each.items() if name not in counted}
        for path, each in nsx.intent.objects.items()
    }


KINDS = ("busy", "unavailable", "broken", "stale", "cut-before", "cut-after", "ended")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_request_of_a_life_is_survived(nsx, connect, kind, stage):
    nsx.page = 100
    driver = connect()
    before, plugged = said(nsx), []
    for earlier in STAGES[: STAGES.index(stage)]:
        begin(nsx, earlier, plugged)
        reach(driver, WANTED[earlier])
    begin(nsx, stage, plugged)
    start = copy.deepcopy(nsx.intent.objects)
    nsx.requests.clear()
    assert reach(driver, WANTED[stage]) == []
    requests, should = len(nsx.requests), said(nsx)
    assert requests >= 8
    assert (should == before) == (stage == "remove")

    for at in range(1, requests + 1):
        nsx.intent.objects = copy.deepcopy(start)
        nsx.troubles.clear()
        nsx.troubles.add(Trouble(kind=kind, at=at))
        errors = reach(driver, WANTED[stage])

        assert said(nsx) == should, at
        assert len(errors) == (0 if kind == "ended" else 1), (at, errors)


def test_a_manager_that_is_away_for_a_while_is_waited_for(nsx, connect):
    driver = connect()
    nsx.troubles.add(Trouble(kind="unavailable", at=3, times=4))
    errors = reach(driver, web())

    assert RED in nsx.intent.objects
    assert len(errors) == 4
