# SPDX-License-Identifier: Apache-2.0
"""The underlay is probed at the start, when the question changes and in a while; what is found stands until then."""

import re
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyvisor.errors import RetryableError
from anyvisor.planner.underlay import Question
from anyvisor.reconcile.underlay import AGAIN_SECONDS, ATTEMPTS, SETTLE_SECONDS, Underlay

EVERY = 300.0


class Path:
    """An underlay: per peer the largest packet that passes, 0 for a peer that is off; `lossy` drops the first probes."""

    def __init__(self, **limits):
        self.limits = {f"192.0.2.{name.removeprefix('kvm')}": limit for name, limit in limits.items()}
        self.lossy = 0
        self.dropped, self.throttled, self.answers = frozenset(), {}, 0
        self.failure = None
        self.calls = 0
        self.sent = 0

    def answered(self, source, sizes, timeout_seconds):
        self.calls += 1
        self.sent += sum(len(listed) for listed in sizes.values())
        if self.failure is not None:
            raise self.failure
        if self.lossy:
            self.lossy -= 1
            return {address: frozenset() for address in sizes}
        found = {}
        for address, listed in sizes.items():
            limit = min(self.limits[address], self.throttled.get(self.calls, 9999))
            passed = {size for size in sorted(listed) if size <= limit and not self._lost()}
            found[address] = frozenset(passed)
        return found

    def _lost(self):
        self.answers += 1
        return self.answers - 1 in self.dropped


class World:
    def __init__(self, path):
        self.path, self.now, self.told = path, 1000.0, 0
        self.watch = Underlay(path, every_seconds=EVERY, clock=lambda: self.now, tell=self.tell)

    def tell(self):
        self.told += 1

    def ask(self, *peers, size=1558):
        addresses = {peer: f"192.0.2.{peer.removeprefix('kvm')}" for peer in peers}
        return self.watch.look(Question(host="kvm1", source="192.0.2.1", size=size, peers=addresses))


@pytest.fixture
def world():
    return World(Path(kvm2=1700, kvm3=1700))


def probing(conditions):
    return [(condition.true, condition.reason) for condition in conditions] == [(False, "Probing")]


def test_before_the_first_probe_it_says_that_it_is_asking(world):
    assert probing(world.ask("kvm2"))
    world.watch.step()

    (condition,) = world.ask("kvm2")
    assert str(condition) == "Underlay=true Carries: carries 1558 bytes to 1 of 1 chassis"
    assert world.told == 1


def test_the_largest_size_that_passes_is_found(world):
    world.path.limits["192.0.2.3"] = 1437
    world.ask("kvm2", "kvm3")
    world.watch.step()

    (condition,) = world.ask("kvm2", "kvm3")
    assert not condition.true
    assert "kvm3 (192.0.2.3) gets 1437" in condition.message
    assert "kvm2" not in condition.message


def test_it_turns_true_again_when_the_path_is_mended(world):
    world.path.limits["192.0.2.3"] = 1437
    world.ask("kvm3")
    world.watch.step()
    world.path.limits["192.0.2.3"] = 1558
    world.watch.step()

    (condition,) = world.ask("kvm3")
    assert condition.true
    assert world.told == 2


def test_lost_packets_are_no_small_mtu(world):
    world.path.lossy = ATTEMPTS - 1
    world.ask("kvm2")
    world.watch.step()

    assert [condition.true for condition in world.ask("kvm2")] == [True]


@given(limit=st.integers(68, 1557), dropped=st.sets(st.integers(0, 60), max_size=12))
def test_a_few_lost_answers_do_not_make_a_path_smaller_than_it_is(limit, dropped):
    """Each number in `dropped` is an answer that does not come, counted from the first."""
    path = Path(kvm2=limit)
    path.dropped = dropped
    world = World(path)
    world.ask("kvm2")
    world.watch.step()

    (condition,) = world.ask("kvm2")
    assert not condition.true
    found = re.search(r"gets (\d+)", condition.message)
    assert found is None or int(found[1]) <= limit
    if not dropped:
        assert int(found[1]) == limit


def test_answers_lost_in_one_burst_are_asked_for_again(world):
    """Everything larger is dropped for a while, as a switch does that drops what it has batched."""
    world.path.limits["192.0.2.3"] = 1400
    world.path.throttled = {9: 1100, 10: 1100}
    world.ask("kvm3")
    world.watch.step()

    (condition,) = world.ask("kvm3")
    assert "gets 1400" in condition.message


def test_what_was_found_for_other_sizes_is_not_said_of_these(world):
    world.ask("kvm2")
    world.watch.step()

    assert probing(world.ask("kvm2", size=1500))


def test_a_chassis_that_knows_no_other_waits_for_tunnels_before_it_says_that_it_is_alone(world):
    assert probing(world.ask())
    world.watch.step()
    assert probing(world.ask())
    world.now += SETTLE_SECONDS
    world.watch.step()

    assert [condition.reason for condition in world.ask()] == ["Alone"]
    assert probing(world.ask("kvm2"))
    world.watch.step()
    assert [condition.reason for condition in world.ask("kvm2")] == ["Carries"]
    assert world.told == 2


def test_who_waits_for_an_answer_hears_of_it_even_if_it_is_the_same_again(world):
    question = Question(host="kvm1", source="192.0.2.1", size=1558, peers={"kvm2": "192.0.2.2"})
    world.watch.look(question)
    world.watch.step()
    moved = replace(question, source="192.0.2.9")

    assert probing(world.watch.look(moved))
    world.watch.step()

    assert [condition.reason for condition in world.watch.look(moved)] == ["Carries"]
    assert world.told == 2


def test_a_fault_of_the_prober_leaves_nobody_waiting(world):
    world.path.failure = ZeroDivisionError("a fault of ours")
    told = threading.Event()
    world.watch = Underlay(world.path, every_seconds=EVERY, clock=lambda: world.now, tell=told.set)
    world.ask("kvm2")
    thread = threading.Thread(target=world.watch.run)
    thread.start()
    try:
        assert told.wait(60)
    finally:
        world.watch.stop()
        thread.join(60)

    assert [condition.reason for condition in world.ask("kvm2")] == ["NotProbed"]


def test_what_was_found_stands_while_a_new_peer_has_not_been_asked_yet(world):
    world.ask("kvm2")
    world.watch.step()
    before = world.ask("kvm2", "kvm3")
    world.watch.step()
    after = world.ask("kvm2", "kvm3")

    assert [condition.message for condition in (*before, *after)] == [
        "carries 1558 bytes to 1 of 1 chassis",
        "carries 1558 bytes to 2 of 2 chassis",
    ]


def test_a_host_that_may_not_probe_says_so(world):
    world.path.failure = RetryableError("no raw socket for probes: Operation not permitted")
    world.ask("kvm2")
    world.watch.step()

    (condition,) = world.ask("kvm2")
    assert (condition.true, condition.reason) == (False, "NotProbed")


def test_without_a_question_nothing_is_sent(world):
    world.watch.look(None)
    world.watch.step()

    assert world.path.calls == 0


def test_a_round_on_a_large_fleet_sends_a_bounded_number_of_probes():
    peers = [f"kvm{number}" for number in range(2, 202)]
    world = World(Path(**dict.fromkeys(peers, 1700)))
    world.ask(*peers)
    world.watch.step()

    (condition,) = world.ask(*peers)
    assert "to 27 of 27 chassis asked, of 200" in condition.message
    assert world.path.sent == 27


def test_the_thread_probes_when_asked_and_again_when_it_is_time():
    probed = threading.Semaphore(0)
    world = World(Path(kvm2=1700))
    world.watch = Underlay(world.path, every_seconds=EVERY, clock=lambda: world.now, tell=probed.release)
    thread = threading.Thread(target=world.watch.run)
    thread.start()
    try:
        world.ask("kvm2")
        assert probed.acquire(timeout=60)
        world.path.limits["192.0.2.2"] = 1400
        world.now += EVERY
        world.ask("kvm2")
        world.ask("kvm2", size=1557)
        assert probed.acquire(timeout=60)
        world.path.limits["192.0.2.2"] = 1700
        world.now += AGAIN_SECONDS
        world.ask("kvm2", size=1558)
        assert probed.acquire(timeout=60)
    finally:
        world.watch.stop()
        thread.join(60)
    assert not thread.is_alive()
