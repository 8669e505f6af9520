# SPDX-License-Identifier: Apache-2.0
"""Plugging cards in and giving them back, as vCenter has it afterwards."""

import pytest

from anyvisor.errors import ForeignObjectError, RetryableError, TerminalError
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.estate import CardProblem, DropGroup, Giveback, Plugin
from anyvisor.model.names import HostName, SwitchName

ESX1, ESX2 = HostName("esx1"), HostName("esx2")


@pytest.fixture
def groups(estate, steps):
    """Four groups of ours."""
    estate.apply([steps.switch(), *(steps.group(name, 100 + n) for n, name in enumerate("abcd"))])


def options(vc, name):
    return {option.key: option.value for option in vc.vm(name).config.extraConfig if "anyvisor" in option.key}


def test_all_cards_of_a_vm_move_in_one_change_of_it(estate, running, machines, steps, groups):
    one, two = machines.cards("two")
    changes = running.control.inject(Fault(method="ReconfigVM_Task", delay_seconds=0.001, count=-1))

    estate.apply([steps.plug(one, "a"), steps.plug(two, "b"), steps.plug(machines.card("web"), "c")])

    assert running.control.struck(changes) == 2
    backings = [estate.estate().cards[card].backing.group for card in (one, two, machines.card("web"))]
    assert backings == ["av-8f3a01c2-a", "av-8f3a01c2-b", "av-8f3a01c2-c"]
    estate.apply([steps.plug(one, "a"), steps.plug(two, "b")])
    assert running.control.struck(changes) == 2, "what holds is not written"


def test_every_card_goes_back_to_its_own_place_and_the_vm_forgets(estate, vc, machines, steps, groups):
    one, two = machines.cards("two")
    before = estate.estate()
    estate.apply([steps.plug(one, "a"), steps.plug(two, "b")])
    estate.apply([steps.plug(one, "c")])
    assert set(options(vc, "two")) == {"anyvisor.before.4000", "anyvisor.before.4001"}

    estate.apply([Giveback(card=one), Giveback(card=two)])

    after = estate.estate()
    places = [(after.cards[c].backing.switch, after.cards[c].backing.group) for c in (one, two)]
    assert places == [("dvs", "office"), ("vSwitch0", "VM Network")]
    assert (after.cards[one].connected, after.cards[one].mac) == (True, before.cards[one].mac)
    assert options(vc, "two") == {}


def test_a_card_goes_back_also_after_its_vm_moved(estate, running, machines, steps, groups):
    estate.apply([steps.plug(machines.card("web"), "a")])
    running.control.vm("web", move_to="esx2")
    machines.settled("web", host=ESX2)
    assert machines.group("web") == "av-8f3a01c2-a"

    estate.apply([Giveback(card=machines.card("web"))])

    assert machines.group("web") == "office"


def test_a_card_whose_place_is_gone_is_disconnected_and_says_so(estate, vc, machines, steps, groups):
    estate.apply([steps.plug(machines.card("web"), "a")])
    for name in ("db", "two", "golden"):
        vm = vc.vm(name)
        if name == "golden":
            vm.MarkAsVirtualMachine(vc.host("esx1").parent.resourcePool, vc.host("esx1"))
        for card in vc.nics(vm):
            card.backing = vc.to(vc.group("lab"))
            vc.reconfigure(vm, ("edit", card))
    vc.done(vc.group("office").Destroy_Task())

    estate.apply([Giveback(card=machines.card("web"))])
    homeless = machines.shown("web")
    assert (homeless.connected, homeless.homeless, homeless.backing.group) == (False, True, "av-8f3a01c2-a")
    version = vc.vm("web").config.changeVersion
    estate.apply([Giveback(card=machines.card("web"))])
    assert vc.vm("web").config.changeVersion == version, "once is enough"

    estate.apply([steps.plug(machines.card("web"), "b")])

    back = machines.shown("web")
    assert (back.connected, back.homeless, back.backing.group) == (True, False, "av-8f3a01c2-b")


def test_a_card_that_people_disconnected_stays_so(estate, vc, machines, steps, groups):
    web = vc.vm("web")
    (card,) = vc.nics(web)
    card.connectable.connected = False
    vc.reconfigure(web, ("edit", card))

    estate.apply([steps.plug(machines.card("web"), "a")])
    assert not machines.shown("web").connected

    estate.apply([Giveback(card=machines.card("web"))])
    assert (machines.shown("web").connected, machines.group("web")) == (False, "office")


def test_a_card_that_people_took_away_is_left_to_them(estate, vc, machines, steps, groups):
    estate.apply([steps.plug(machines.card("web"), "a")])
    vc.plug(vc.vm("web"), vc.group("lab"))

    estate.apply([Giveback(card=machines.card("web"))])
    assert machines.group("web") == "lab"
    assert options(vc, "web") == {}

    estate.apply([steps.plug(machines.card("web"), "b"), Giveback(card=machines.card("web"))])
    assert machines.group("web") == "lab", "what was remembered is where it was last"


def test_a_card_that_was_plugged_nowhere_is_disconnected_again(estate, vc, machines, steps, groups):
    web = vc.vm("web")
    from pyVmomi import vim

    vc.reconfigure(web, ("add", vim.vm.device.VirtualVmxnet3(key=-1)))
    bare = machines.cards("web")[1]
    estate.apply([steps.plug(bare, "a")])
    assert estate.estate().cards[bare].backing.group == "av-8f3a01c2-a"

    estate.apply([Giveback(card=bare)])

    assert (estate.estate().cards[bare].connected, estate.estate().cards[bare].homeless) == (False, True)


def test_a_clone_of_a_wired_vm_is_another_vm(estate, vc, machines, steps, groups):
    from pyVmomi import vim

    estate.apply([steps.plug(machines.card("web"), "a")])
    web = vc.vm("web")
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=True, template=False)
    vc.done(web.CloneVM_Task(web.parent, "web2", spec))

    assert machines.card("web2").vm != machines.card("web").vm
    assert machines.group("web2") == "av-8f3a01c2-a"
    estate.apply([Giveback(card=machines.card("web2"))])
    assert (machines.group("web2"), machines.group("web")) == ("office", "av-8f3a01c2-a")


@pytest.fixture
def guarded(elsewhere, world, steps):
    """A vCenter with NSX, SR-IOV and Fault Tolerance, and a group of ours in it."""
    inventory = world.inventory()
    (dc,) = inventory["datacenters"]
    dc["vms"] += [
        world.vm("segmented", nics=[{"network": "owned-by-nsx"}]),
        world.vm("doubled", fault_tolerance=True, nics=[{"network": "tenants"}]),
    ]
    estate = elsewhere(inventory)
    estate.apply([steps.switch(), steps.group("x", 5)])
    return estate


@pytest.mark.parametrize(("vm", "problem"), [("twin", "nsx"), ("segmented", "nsx"), ("fast", "passthrough")])
def test_a_card_of_nsx_or_one_that_is_passed_through_is_refused_and_stays(guarded, steps, vm, problem):
    (before,) = (card for card in guarded.estate().cards.values() if card.vm == vm)

    with pytest.raises(TerminalError, match=f"VM {vm}: card .* cannot be plugged: {problem}"):
        guarded.apply([steps.plug(before.id, "x")])

    assert guarded.estate().cards[before.id] == before


def test_a_group_of_nsx_is_not_plugged_into_or_taken(guarded, steps):
    (web,) = (card for card in guarded.estate().cards.values() if card.vm == "doubled")
    theirs = Plugin(card=web.id, switch=SwitchName("inner"), group="owned-by-nsx")

    with pytest.raises(ForeignObjectError, match="owned-by-nsx"):
        guarded.apply([theirs])
    with pytest.raises(ForeignObjectError, match="owned-by-nsx"):
        guarded.apply([DropGroup(switch=theirs.switch, name=theirs.group)])

    assert guarded.estate().cards[web.id] == web


def test_a_card_under_fault_tolerance_is_said_to_be_and_plugged(guarded, steps):
    (card,) = (card for card in guarded.estate().cards.values() if card.vm == "doubled")
    assert card.problem is CardProblem.FAULT_TOLERANCE

    guarded.apply([steps.plug(card.id, "x")])

    assert guarded.estate().cards[card.id].backing.group == "av-8f3a01c2-x"


def test_a_host_that_is_no_member_is_not_reached(estate, machines, steps, groups):
    with pytest.raises(RetryableError, match="does not reach old1"):
        estate.apply([steps.plug(machines.card("aged"), "a")])


def test_a_vm_that_moves_at_the_same_moment_is_tried_again(estate, running, machines, steps, groups):
    running.control.inject(Fault(method="ReconfigVM_Task", fault="TaskInProgress", in_task=True))

    with pytest.raises(RetryableError, match="another task has it"):
        estate.apply([steps.plug(machines.card("web"), "a")])
    estate.apply([steps.plug(machines.card("web"), "a")])

    assert machines.group("web") == "av-8f3a01c2-a"


def test_somebody_who_changed_the_vm_meanwhile_is_no_error(estate, running, machines, steps, groups):
    running.control.inject(Fault(method="ReconfigVM_Task", fault="ConcurrentAccess", in_task=True))

    estate.apply([steps.plug(machines.card("web"), "a")])

    assert machines.group("web") == "av-8f3a01c2-a"


def test_a_task_that_takes_long_is_waited_for_but_not_for_ever(connect, running, machines, steps, groups):
    running.control.set(task_seconds=0.5)
    hasty = connect(task_seconds=0.1)
    with pytest.raises(RetryableError, match="runs for more than"):
        hasty.apply([steps.plug(machines.card("web"), "a")])

    connect().apply([steps.plug(machines.card("db"), "b")])

    assert machines.group("db") == "av-8f3a01c2-b"
