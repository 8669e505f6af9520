# SPDX-License-Identifier: Apache-2.0
"""Nothing is tried on a host that its manager does not reach; the others lose nothing by it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from anyvisor.model.estate import (
    Appliance,
    Card,
    CardId,
    Deploy,
    DropGroup,
    DropSwitch,
    Estate,
    Group,
    Health,
    InnerSwitch,
    MakeGroup,
    MakeSwitch,
    Pin,
    Plugin,
    Remove,
)
from anyvisor.model.host import Host
from anyvisor.model.kinds import Hypervisor, SwitchKind
from anyvisor.planner.silence import within_reach

NAMES = ("esx1", "esx2", "esx3")
INNER = InnerSwitch(name="inner", kind=SwitchKind.VDS, hosts=("esx1",))


def fleet(silent):
    state = {name: "notResponding" if name in silent else "connected" for name in NAMES}
    return Estate(
        hosts={n: Host(name=n, hypervisor=Hypervisor.ESXI, facts={"connection": state[n]}) for n in NAMES},
        cards={CardId(n, "1"): Card(id=CardId(n, "1"), mac="00:50:56:00:00:01", vm=n, host=n) for n in NAMES},
        switches={"inner": INNER},
        appliances={f"{n}/1": Appliance(key=f"{n}/1", vm=n, host=n, health=Health.RUNNING) for n in NAMES},
    )


def own(name):
    """Steps that need this host alone."""
    group = Group(switch="av", name="g", key="port/g", vlan=5, host=name)
    return (
        Plugin(card=CardId(name, "1"), switch="inner", group="g"),
        MakeGroup(group=group),
        DropGroup(switch="av", name="g", host=name),
        Deploy(
            key=f"{name}/1", vm=name, host=name, template="t", user_data="", switch="inner", trunk_group="t"
        ),
        Pin(key=f"{name}/1"),
        Remove(key=f"{name}/1"),
    )


DISTRIBUTED = (
    MakeGroup(group=Group(switch="inner", name="g", key="port/g", vlan=5)),
    DropGroup(switch="inner", name="g"),
)


@given(silent=st.sets(st.sampled_from(NAMES)))
def test_what_is_left_out_is_what_needs_a_silent_host_and_each_such_host_is_named(silent):
    steps = (*DISTRIBUTED, *(step for name in NAMES for step in own(name)))

    kept, said = within_reach(steps, fleet(silent))

    assert kept == (*DISTRIBUTED, *(step for name in NAMES if name not in silent for step in own(name)))
    assert set(said) == silent
    assert all("does not reach it (notResponding); 6 steps wait" in text for text in said.values())


def test_an_inner_switch_is_made_for_those_who_answer():
    wide = MakeSwitch(switch=replace(INNER, hosts=NAMES))

    kept, said = within_reach([wide], fleet({"esx2"}))

    assert kept == (MakeSwitch(switch=replace(INNER, hosts=("esx1", "esx3"))),)
    assert "one step waits" in said["esx2"]


def test_a_silent_member_of_a_switch_does_not_keep_others_from_joining():
    wide = MakeSwitch(switch=replace(INNER, hosts=("esx1", "esx3")))

    assert within_reach([wide], fleet({"esx1"})) == ((wide,), {})


def test_a_switch_that_only_silent_hosts_lack_is_left_as_it_is():
    assert within_reach([MakeSwitch(switch=replace(INNER, hosts=("esx1", "esx2")))], fleet({"esx2"}))[0] == ()


def test_a_switch_is_not_removed_from_under_a_silent_member():
    assert within_reach([DropSwitch(name="inner")], fleet({"esx1"}))[0] == ()
    assert within_reach([DropSwitch(name="inner")], fleet({"esx2"}))[0] == (DropSwitch(name="inner"),)
