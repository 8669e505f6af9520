# SPDX-License-Identifier: Apache-2.0
"""An inner switch goes when nothing is left on it and nobody needs it; never sooner."""

from dataclasses import replace

import pytest

from anyvisor.model.estate import (
    Appliance,
    Backing,
    Card,
    CardId,
    DropSwitch,
    Estate,
    Group,
    Health,
    InnerSwitch,
)
from anyvisor.model.kinds import SwitchKind
from anyvisor.planner.unused import unused_switches

INNER = InnerSwitch(name="inner", kind=SwitchKind.VDS, hosts=("esx1", "esx2"))
EMPTY = Estate(switches={"inner": INNER})
KNOWN = {"esx1", "esx2"}
CARD = Card(
    id=CardId("vm", "1"),
    mac="00:50:56:00:00:01",
    vm="vm",
    host="esx1",
    backing=Backing(switch="inner", kind=SwitchKind.VDS, group="somebody's"),
)


def test_one_that_nobody_needs_goes():
    assert list(unused_switches((), KNOWN, (), EMPTY)) == [DropSwitch(name="inner")]


def test_one_that_hosts_under_appliance_need_stays():
    assert list(unused_switches({"inner"}, KNOWN, (), EMPTY)) == []


def test_while_a_host_is_not_shown_none_goes():
    assert list(unused_switches((), KNOWN, ("esx3",), EMPTY)) == []


def test_one_of_a_host_that_nobody_knows_is_nobodys_to_remove():
    assert list(unused_switches((), {"esx1"}, (), EMPTY)) == []


@pytest.mark.parametrize(
    "held",
    [
        {"groups": {("inner", "g"): Group(switch="inner", name="g", key="port/g", vlan=5)}},
        {"cards": {CARD.id: CARD}},
        {"appliances": {"esx2/1": Appliance(key="esx2/1", vm="a", host="esx2", health=Health.OFF)}},
    ],
    ids=["a group", "a card", "an appliance"],
)
def test_one_with_something_left_on_it_stays(held):
    assert list(unused_switches((), KNOWN, (), replace(EMPTY, **held))) == []
