# SPDX-License-Identifier: Apache-2.0
"""A host with a Linux bridge becomes an Open vSwitch host while its VMs run."""

from dataclasses import replace

import pytest

from anyvisor.errors import ForeignObjectError, RolledBackError, TerminalError, UnreachableError
from anyvisor.model.names import Mac
from anyvisor.model.site import Controller
from anyvisor.model.vnic import Vnic
from anyvisor.planner.chassis import OWNER, ObservedBridge, ObservedChassis
from anyvisor.planner.chassis_steps import MakeBridge
from anyvisor.planner.conversion import Address
from anyvisor.reconcile.findings import CONVERTED, failed

HOST = "kvm1"


def foreign(name, **more):
    return ObservedChassis(bridges={name: ObservedBridge(name=name, ours=False, **more)})


def test_the_bridge_is_replaced_with_all_that_the_host_has_on_it(world):
    condition = world.convert()

    assert world.is_converted()
    assert (condition.kind, condition.true) == (CONVERTED, True)
    assert "br0 became br-fabric" in condition.message
    bridges = world.host.switch.chassis.bridges
    assert bridges["br-fabric"].ports == {"eth0"}
    assert bridges["br-int"].fail_mode == "secure"
    assert world.host.switch.chassis.settings["ovn-bridge-mappings"] == "fabric:br-fabric"


def test_the_operators_bridge_is_emptied_and_not_removed(world):
    world.convert()

    assert set(world.host.linux) == {"br0"}
    assert world.host.masters == {}


def test_a_second_look_touches_nothing_and_says_the_same(world):
    said = world.convert()
    before = world.host.picture()

    assert world.convert() == said
    assert world.host.picture() == before
    assert len(world.announced) == 1


def test_an_agent_that_comes_later_says_the_same(world):
    said = world.convert()

    world.restart()
    world.conversion.recover()

    assert world.convert() == said
    assert world.is_converted()


def test_a_host_without_a_bridge_to_replace_has_nothing_to_say(world):
    world.describe(switches=())

    assert world.convert() is None
    assert world.memory.documents == {}


def test_what_is_plugged_is_announced_once_every_vnic_has_moved(world):
    world.convert()

    assert world.announced == [{"vm1": "tap1", "vm2": "tap2"}]


def test_the_outage_of_each_vnic_is_measured(world):
    def bound():
        world.host.switch.up = {"vm1", "vm2"}

    world.announce = lambda plugged: None
    world.waits = [lambda: None, bound]

    world.convert()

    assert dict(world.outages.measured) == {"vm1": 1000, "vm2": 1000}
    assert not world.outages.waiting


def test_a_vm_that_ends_before_it_is_connected_is_not_waited_for(world):
    def announce(plugged):
        world.host.switch.up = {"vm1"}

    world.announce = announce
    world.waits = [lambda: world.end("vm2")]

    world.convert()

    assert world.host.switch.plugged["vm1"].device == "tap1"
    assert world.conversion._journal().phase == "done"


def test_a_vm_that_ends_while_it_is_moved_does_not_make_it_fail(world):
    # Its device is gone already; its hypervisor tells a moment later.
    world.host.faults.call = during(world, "FakeSurroundings.release", lambda: world.host.end("tap2"))
    world.waits = [lambda: world.end("vm2")]

    world.convert()

    assert set(world.host.switch.plugged) == {"vm1"}


def during(world, name, happening):
    """Something happens to the world just before the first call of that name."""
    plain = type(world.host.faults).call.__get__(world.host.faults)
    happenings = [happening]

    def call(called):
        if called == name and happenings:
            happenings.pop()()
        return plain(called)

    return call


def test_a_vm_that_starts_meanwhile_is_left_to_the_next_look(world):
    world.attach("vm3", "52:54:00:00:00:03")
    plain = world.memory.save

    def save(name, document, **how):
        plain(name, document, **how)
        if document.get("vnics") and "tap3" not in world.host.devices:
            world.host.start("tap3", "br0")
            world.hypervisor.start(HOST, Vnic(mac=Mac("52:54:00:00:00:03"), device="tap3"))

    world.memory.save = save

    world.convert()

    assert world.host.masters == {"tap3": "br0"}
    assert set(world.host.switch.plugged) == {"vm1", "vm2"}
    world.look_again()
    assert world.host.masters == {}


def test_an_open_vswitch_that_ran_before_is_used(world):
    world.host.switch_runs = True
    world.host.switch.chassis = ObservedChassis(settings={"system-id": "a1b2", "theirs": "1"})

    world.convert()

    assert world.is_converted()
    assert world.host.switch.chassis.settings["theirs"] == "1"


class TestNotBegun:
    def assert_untouched(self, world, error, match):
        before = world.host.picture()
        with pytest.raises(error, match=match) as caught:
            world.convert()
        assert not isinstance(caught.value, RolledBackError)
        assert world.host.picture() == before
        assert world.memory.documents == {}

    def test_while_a_device_in_the_bridge_is_nobodys(self, world):
        world.host.start("tap9", "br0")

        self.assert_untouched(world, TerminalError, "tap9 in br0")

    def test_while_nobody_knows_whose_vnic_is_whose(self, world):
        world.hypervisor.start(HOST, Vnic(mac=Mac("52:54:00:00:00:01"), device="tap7", vm="clone"))
        world.host.start("tap7", "br0")

        self.assert_untouched(world, TerminalError, r"several VMs claim port vm1 .*tap7 of clone")

    def test_while_the_daemons_cannot_be_started(self, world):
        world.host.missing = ("there is no ovs-ctl",)

        self.assert_untouched(world, TerminalError, "there is no ovs-ctl")

    def test_while_the_site_names_no_southbound_database(self, world):
        site = replace(world.state.site, controller=Controller())
        world.state = replace(world.state, site=site)

        self.assert_untouched(world, TerminalError, "southbound")

    def test_while_an_address_is_leased(self, world):
        world.host.addresses["br0"] = (Address(address="192.0.2.11", prefix_length=24, valid=600),)

        self.assert_untouched(world, TerminalError, "leased")

    def test_while_the_hypervisor_does_not_answer(self, world):
        world.hypervisor.failure = UnreachableError("libvirtd is away")

        self.assert_untouched(world, UnreachableError, "libvirtd")

    def test_where_open_vswitch_has_a_bridge_of_that_name(self, world):
        world.host.switch_runs = True
        world.host.switch.chassis = foreign("br-fabric")

        self.assert_untouched(world, TerminalError, "br-fabric already")

    def test_where_another_controller_programs_open_vswitch(self, world):
        world.host.switch_runs = True
        world.host.switch.chassis = foreign("br-int", controllers=("tcp:192.0.2.99:6653",))

        self.assert_untouched(world, ForeignObjectError, "192.0.2.99")


class TestForeignSwitchThatDidNotRun:
    """What its database says is known only once it has been started."""

    @pytest.mark.parametrize(
        "chassis",
        [foreign("br-fabric"), ObservedChassis(settings={"ovn-remote": "tcp:192.0.2.99:6642"})],
        ids=["bridge", "chassis"],
    )
    def test_it_is_stopped_again_and_the_host_not_touched(self, world, chassis):
        world.host.switch.chassis = chassis
        before = world.host.picture()

        with pytest.raises(RolledBackError):
            world.convert()

        assert world.host.picture() == before
        assert "FakeHostNetwork.leave" not in world.faults.calls


class TestRefusedAfterwards:
    def roll_back(self, world):
        world.host.silent = {"ssl:198.51.100.7:6640"}
        with pytest.raises(RolledBackError, match=r"198\.51\.100\.7") as caught:
            world.convert()
        world.host.silent = set()
        return caught.value

    def test_a_host_that_loses_the_database_is_put_back(self, world):
        before = world.host.picture()

        error = self.roll_back(world)

        assert world.host.picture() == before
        condition = failed(CONVERTED, error)
        assert (condition.reason, condition.true) == ("RolledBack", False)
        assert "could not reach the databases" in condition.message
        assert world.announced == []

    def test_a_controller_that_does_not_work_is_waited_for_and_undone(self, world):
        before = world.host.picture()
        world.host.switch.controller_works = False
        began = world.now

        with pytest.raises(RolledBackError, match="ovn-controller"):
            world.convert()

        assert world.now - began >= world.seconds
        assert world.host.picture() == before

    def test_it_is_not_tried_again_not_even_by_another_agent(self, world):
        said = str(self.roll_back(world))
        before = world.host.picture()
        for _ in range(2):
            with pytest.raises(RolledBackError) as caught:
                world.convert()
            assert str(caught.value) == said
            world.restart()
            world.conversion.recover()

        assert world.host.picture() == before

    def test_it_is_tried_again_when_the_site_describes_the_host_otherwise(self, world):
        self.roll_back(world)
        world.describe(tunnel_ip="192.0.2.11")

        world.convert()

        assert world.is_converted()

    def test_facts_in_another_order_are_no_other_description(self, world):
        world.describe(facts={"edition": "x", "spare_vcpus": 2})
        self.roll_back(world)
        world.describe(facts={"spare_vcpus": 2, "edition": "x"})

        with pytest.raises(RolledBackError):
            world.convert()

    def test_it_is_tried_again_after_another_scheme_was_wanted(self, world):
        self.roll_back(world)
        world.conversion.forget_failure()

        world.convert()

        assert world.is_converted()

    def test_a_conversion_that_succeeded_is_not_forgotten(self, world):
        said = world.convert()
        world.conversion.forget_failure()

        assert world.convert() == said


class TestWhatStoodBefore:
    """A host that is an Open vSwitch host of ours already, and has a Linux bridge besides."""

    @pytest.fixture
    def world(self, world):
        world.host.switch_runs = world.host.controller_runs = True
        for name, mode in (("br-int", "secure"), ("br-dmz", "standalone"), ("br-fabric", "standalone")):
            world.host.switch.configure([MakeBridge(name=name, datapath="system", fail_mode=mode)])
        world.host.switch.chassis = replace(
            world.host.switch.chassis,
            settings={
                OWNER: "0f0f",
                "system-id": "kvm1",
                "hostname": "kvm1",
                "ovn-remote": "tcp:192.0.2.1:6642",
                "ovn-encap-ip": "192.0.2.11",
                "ovn-encap-type": "geneve",
                "ovn-bridge-mappings": "theirs:br-theirs",
            },
        )
        return world

    def test_bridges_settings_and_daemons_outlast_a_failure(self, world):
        before = world.host.picture()
        world.announce = lambda plugged: None

        with pytest.raises(RolledBackError, match="connected"):
            world.convert()

        assert world.host.picture() == before

    def test_daemons_that_ran_outlast_the_death_of_the_agent(self, world):
        before = world.host.picture()
        world.faults.fail(1 + calls_until(world, "FakeHostNetwork.leave"), SystemExit())
        with pytest.raises(SystemExit):
            world.convert()

        world.restart()
        world.conversion.recover()

        assert world.host.picture() == before


def calls_until(world, name):
    """How many calls come before the first of that name, seen on a world of the same kind."""
    other = type(world)()
    other.host.switch_runs = other.host.controller_runs = True
    other.convert()
    return other.faults.calls.index(name)
