# SPDX-License-Identifier: Apache-2.0
"""A conversion that fails, or whose agent dies, at any call whatever: the host is as it was, or converted."""

import itertools

import pytest

from anyvisor.errors import AnyvisorError, RetryableError, RolledBackError, TerminalError, UnreachableError

ERRORS = {
    "unreachable": UnreachableError("it does not answer"),
    "refused": TerminalError("it refuses"),
    "a fault": RuntimeError("nobody thought of that"),
}


class DeathError(SystemExit):
    """The agent is gone from one moment to the next."""


@pytest.fixture(params=[False, True], ids=["before", "after"])
def after(request):
    return request.param


def attempt(action):
    """What it raised, or None."""
    try:
        action()
    except Exception as error:  # noqa: BLE001
        return error
    return None


def die(world, action):
    """Whether the agent died of it."""
    try:
        action()
    except (DeathError, Exception):  # noqa: BLE001
        return not world.faults.pending
    return False


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_whatever_fails_the_host_is_as_it_was_or_converted(world, number, error, after):
    before = world.host.picture()
    world.faults.fail(number, error, after=after)

    said = attempt(world.convert)

    assert not world.faults.pending
    if isinstance(said, RolledBackError):
        assert world.host.picture() == before
        assert isinstance(attempt(world.convert), RolledBackError)
        assert world.host.picture() == before
        assert not world.outages.waiting
    else:
        # What failed was tried again, or nothing had begun, or all was done: the next look makes it good.
        assert world.is_converted() or (said is not None and world.host.picture() == before)
        world.convert()
        assert world.is_converted()


def test_a_second_failure_while_it_is_undone_is_made_good_later(new_world, number):
    for second in itertools.count(1):
        world = new_world()
        before = world.host.picture()
        world.faults.fail(number, TerminalError("it refuses"))
        if not isinstance(attempt(world.convert), RolledBackError):
            return
        undoing = len(world.faults.calls) - number
        if second > undoing:
            return
        world = new_world()
        world.faults.fail(number, TerminalError("it refuses"))
        world.faults.fail(number + second, TerminalError("it refuses again"))

        said = attempt(world.convert)

        assert isinstance(said, AnyvisorError)
        if isinstance(said, RolledBackError):
            assert world.host.picture() == before
        world.conversion.recover()
        assert world.host.picture() == before


def test_an_agent_that_dies_anywhere_leaves_what_the_next_one_can_mend(world, number, after):
    before = world.host.picture()
    world.faults.fail(number, DeathError(), after=after)
    assert die(world, world.convert)

    world.restart()
    world.conversion.recover()

    assert world.host.picture() == before or world.is_converted()
    recovered = world.host.picture()
    world.conversion.recover()
    assert world.host.picture() == recovered
    world.convert()
    world.look_again()
    assert world.is_converted()
    assert not world.outages.waiting


def test_an_agent_may_die_again_while_it_mends(new_world, number):
    for second in itertools.count(1):
        world = new_world()
        before = world.host.picture()
        world.faults.fail(number, DeathError())
        assert die(world, world.convert)
        world.restart()
        world.faults.fail(second, DeathError())
        if not die(world, world.conversion.recover):
            return

        world.restart()
        world.conversion.recover()

        assert world.host.picture() == before or world.is_converted()
        world.convert()
        assert world.is_converted()


def test_an_agent_may_die_while_it_rolls_back(new_world, number):
    for second in itertools.count(1):
        world = new_world()
        before = world.host.picture()
        world.faults.fail(number, TerminalError("it refuses"))
        world.faults.fail(number + second, DeathError())
        if isinstance(attempt_or_die(world), RolledBackError) or not world.faults.dead:
            return

        world.restart()
        world.conversion.recover()

        assert world.host.picture() == before or world.is_converted()


def attempt_or_die(world):
    try:
        return attempt(world.convert)
    except DeathError:
        return None


class TestAgentsThatDie:
    @pytest.fixture
    def halfway(self, new_world):
        """The number of the call that would give the new bridge the host's addresses."""
        world = new_world()
        world.convert()
        return world.faults.calls.index("FakeHostNetwork.drop") + 2

    def die(self, world, halfway):
        world.faults.fail(halfway, DeathError())
        with pytest.raises(DeathError):
            world.convert()
        assert not any(world.host.addresses.values())
        world.restart()
        world.conversion.recover()

    def test_after_three_of_them_the_host_is_left_as_it_is(self, world, halfway):
        before = world.host.picture()
        for _ in range(3):
            self.die(world, halfway)

        with pytest.raises(RolledBackError, match="died 3 times"):
            world.convert()

        assert world.host.picture() == before

    def test_another_scheme_in_between_is_worth_another_try(self, world, halfway):
        for _ in range(3):
            self.die(world, halfway)

        world.conversion.forget_failure()
        world.convert()

        assert world.is_converted()

    def test_another_description_is_worth_another_try(self, world, halfway):
        for _ in range(3):
            self.die(world, halfway)
        world.describe(tunnel_ip="192.0.2.11")

        world.convert()

        assert world.is_converted()

    def test_the_journal_says_whose_host_it_is_before_any_database_does(self, world, halfway):
        world.faults.fail(halfway, DeathError())
        with pytest.raises(DeathError):
            world.convert()
        world.restart()

        assert world.conversion.owner == "0f0f"
        world.host.silent = {"tcp:192.0.2.1:6642", "ssl:198.51.100.7:6640"}
        world.conversion.recover()
        assert world.conversion.owner == ""

    def test_an_open_vswitch_that_ended_with_the_agent_is_cleaned_all_the_same(self, world, halfway):
        before = world.host.picture()
        world.faults.fail(halfway, DeathError())
        with pytest.raises(DeathError):
            world.convert()
        world.host.switch_runs = False

        world.restart()
        world.conversion.recover()

        assert world.host.picture() == before


class TestUndoThatFails:
    def test_devices_that_are_gone_by_then_are_not_missed(self, world):
        def announce(plugged):
            world.end("vm1")
            raise UnreachableError("the database is away")

        world.announce = announce

        with pytest.raises(RolledBackError, match="the database is away"):
            world.convert()

        assert world.host.masters == {"eth0": "br0", "tap2": "br0"}
        assert world.host.switch.plugged == {}

    def test_nothing_else_is_begun_before_the_host_is_whole(self, world):
        before = world.host.picture()
        world.host.silent = {"ssl:198.51.100.7:6640"}
        broken = TerminalError("the kernel refuses")
        network = world.conversion._undoing._network
        plain, network.remake = network.remake, refuse(broken)

        with pytest.raises(TerminalError, match="could not undo it") as caught:
            world.convert()
        assert not isinstance(caught.value, RolledBackError)
        with pytest.raises(TerminalError, match="could not be undone"):
            world.convert()
        with pytest.raises(TerminalError, match="could not be undone"):
            world.conversion.forget_failure()

        network.remake = plain
        with pytest.raises(RolledBackError, match="could not reach the databases"):
            world.convert()
        assert world.host.picture() == before

    def test_what_else_can_be_put_back_is_put_back(self, world):
        world.host.silent = {"ssl:198.51.100.7:6640"}
        network = world.conversion._undoing._network
        network.remake = refuse(RetryableError("busy"))

        assert isinstance(attempt(world.convert), TerminalError)

        # The host itself can be reached again, whatever else is wrong.
        assert world.host.masters["eth0"] == "br0"
        assert world.host.way_to("198.51.100.7") is not None

    def test_an_open_vswitch_that_hangs_does_not_keep_the_addresses_away(self, world):
        world.host.silent = {"ssl:198.51.100.7:6640"}

        def hang(steps):
            raise RetryableError("ovs-vswitchd does not take it in")

        plain = world.host.switch.configure
        world.waits = [lambda: setattr(world.host.switch, "configure", hang)]

        assert isinstance(attempt(world.convert), TerminalError)
        assert {address.address for address in world.host.addresses["br0"]} == {"192.0.2.11", "2001:db8::11"}

        world.host.switch.configure = plain
        world.conversion.recover()
        assert world.host.masters["eth0"] == "br0"


def refuse(error):
    def refused(*_):
        raise error

    return refused
