# SPDX-License-Identifier: Apache-2.0
"""The pretended host keeps the rules of a real one."""

import pytest

from anyvisor.errors import RetryableError, TerminalError, UnreachableError
from anyvisor.model.attachment import Plug
from anyvisor.model.names import Mac, PortName
from anyvisor.planner.chassis_steps import AddUplink, DropBridge, MakeBridge
from anyvisor.planner.conversion import Address, HostBridge, Route
from anyvisor.testing.faults import Faults
from anyvisor.testing.host import FakeDaemons, FakeHost, FakeHostNetwork, FakeSurroundings

MINE = Address(address="192.0.2.11", prefix_length=24)
DEFAULT = Route(family=2, destination=None, gateway="192.0.2.254")
MADE = MakeBridge(name="br-x", datapath="system", fail_mode="standalone")
NEAR, FAR = "tcp:192.0.2.1:6642", "tcp:198.51.100.1:6642"


@pytest.fixture
def host():
    bridge = HostBridge(
        name="br0",
        mac=Mac("52:54:00:00:00:aa"),
        mtu=1500,
        members=("eth0", "tap1"),
        addresses=(MINE,),
        routes=(DEFAULT,),
    )
    host = FakeHost(bridge, cards=("eth0",))
    host.switch_runs = True
    return host


@pytest.fixture
def network(host):
    return FakeHostNetwork(host)


def test_a_device_is_in_one_bridge_at_most(host, network):
    host.switch.configure([MADE])
    with pytest.raises(RetryableError, match="Linux bridge br0"):
        host.switch.configure([AddUplink(bridge="br-x", device="eth0")])
    with pytest.raises(RetryableError, match="Linux bridge br0"):
        host.switch.apply([Plug(port=PortName("vm1"), device="tap1", bridge="br-x")])

    network.leave("eth0")
    host.switch.configure([AddUplink(bridge="br-x", device="eth0")])

    with pytest.raises(RetryableError, match="br-x"):
        network.join("eth0", "br0")


def test_an_address_is_on_one_device(host, network):
    host.switch.configure([MADE])

    with pytest.raises(AssertionError, match="br0"):
        network.carry("br-x", (MINE,), ())

    network.drop("br0", (MINE,))
    network.carry("br-x", (MINE,), (DEFAULT,))
    assert network.bridges()["br0"].addresses == ()
    assert network.bridges()["br0"].routes == ()


def test_a_gateway_must_be_near(network):
    with pytest.raises(TerminalError, match="gateway"):
        network.carry("br0", (), (Route(family=2, destination="10.0.0.0/8", gateway="203.0.113.1"),))


def test_others_are_reached_only_with_uplink_address_and_route_in_one_place(host, network):
    surroundings = FakeSurroundings(host)

    def reached():
        return [surroundings.reaches(remote, 1.0) for remote in (NEAR, FAR)]

    assert reached() == [True, True]
    assert surroundings.source_address(FAR) == "192.0.2.11"
    network.leave("eth0")
    assert reached() == [False, False]
    host.switch.configure([MADE, AddUplink(bridge="br-x", device="eth0")])
    network.drop("br0", (MINE,))
    network.carry("br-x", (MINE,), ())
    assert reached() == [True, False]
    network.carry("br-x", (), (DEFAULT,))
    assert reached() == [True, True]
    host.switch_runs = False
    assert reached() == [False, False]
    assert surroundings.reaches("unix:/run/db.sock", 1.0)


def test_a_bridge_takes_along_what_was_on_it(host, network):
    host.switch.configure([MADE])
    network.drop("br0", (MINE,))
    network.carry("br-x", (MINE,), (DEFAULT,))

    host.switch.configure([DropBridge(name="br-x")])

    assert not any(host.addresses.values())
    assert host.routes == {}
    with pytest.raises(RetryableError):
        network.carry("br-x", (), ())


def test_open_vswitch_answers_while_it_runs(host):
    daemons = FakeDaemons(host)
    daemons.stop_switch()
    with pytest.raises(UnreachableError):
        host.connect()

    daemons.start_switch()

    assert host.connect() is host.switch


def test_devices_that_are_gone_are_no_trouble(host, network):
    host.end("tap1")

    network.leave("tap1")
    network.join("tap1", "br0")
    network.drop("tap1", (MINE,))
    FakeSurroundings(host).release("tap1")
    with pytest.raises(RetryableError):
        host.switch.apply([Plug(port=PortName("vm1"), device="tap1", bridge="br-x")])


class TestFaults:
    @pytest.mark.parametrize(("after", "done"), [(False, []), (True, ["it"])])
    def test_the_call_of_that_number_fails_before_or_after_its_effect(self, after, done):
        faults, effects = Faults(), []
        faults.fail(2, RetryableError("no"), after=after)

        with faults.call("first"):
            pass
        with pytest.raises(RetryableError), faults.call("second"):
            effects.append("it")
        with faults.call("third"):
            pass

        assert effects == done
        assert faults.calls == ["first", "second", "third"]
        assert not faults.pending

    def test_after_a_death_nothing_has_an_effect(self):
        faults, effects = Faults(), []
        faults.fail(1, SystemExit())
        for _ in range(2):
            with pytest.raises(SystemExit), faults.call("late"):
                effects.append("it")
        assert faults.dead

        faults.clear()
        with faults.call("later"):
            effects.append("again")

        assert effects == ["again"]
