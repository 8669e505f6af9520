# SPDX-License-Identifier: Apache-2.0
"""The store over three servers, one of which dies."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from anyvisor.contracts.store import Decision
from anyvisor.errors import RetryableError
from anyvisor.model.port import Port
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.testing.cluster import Cluster
from anyvisor.testing.daemons import wait_until
from anyvisor.testing.store_sample import P1, RED, SITE, attached


@pytest.fixture
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def open_store(cluster):
    with ExitStack() as stores:

        def opened(**options):
            return stores.enter_context(OvsdbStore(cluster.remote, timeout_seconds=20, **options))

        yield opened


def retried(write):
    """Do it as a reconciler does: again, as long as that may help; return what came out of it."""
    results = []

    def attempt():
        try:
            results.append(write())
        except RetryableError:
            return False
        return True

    wait_until(attempt, "the write succeeds", timeout_seconds=40)
    return results[0]


def with_ports(count):
    ports = {f"p{number}": Port(name=f"p{number}", network=RED) for number in range(count)}
    return replace(SITE, ports=ports)


def test_nothing_is_lost_when_the_leader_is_killed(cluster, open_store):
    store = open_store()
    for count in range(1, 6):
        store.write_site(with_ports(count))

    cluster.servers[cluster.leader()].kill()
    for count in range(6, 11):
        retried(lambda count=count: store.write_site(with_ports(count)))

    assert store.snapshot().site == with_ports(10)
    assert open_store().snapshot().site == with_ports(10)


def test_events_go_on_when_the_leader_is_killed(cluster, open_store):
    writer, reader = open_store(), open_store()
    writer.write_site(with_ports(3))
    wait_until(lambda: reader.snapshot().site == with_ports(3), "the reader has all ports")
    reader.changed(0)

    cluster.servers[cluster.leader()].kill()
    retried(lambda: writer.write_site(with_ports(4)))

    wait_until(lambda: reader.snapshot().site == with_ports(4), "the reader has the new port", 30)
    assert {str(key) for key in reader.changed(5)} == {"port/p3"}


def test_the_lock_goes_to_another_when_leader_and_holder_die(cluster, open_store):
    first, second = open_store(lock="anyvisor"), open_store(lock="anyvisor")
    assert first.wait_for_lock(10)
    first.decide(Decision(attachments={P1: attached()}))

    first.close()
    cluster.servers[cluster.leader()].kill()

    assert second.wait_for_lock(40)
    retried(lambda: second.decide(Decision(attachments={P1: replace(attached(), host="kvm2")})))
    assert second.snapshot().attachments[P1].host == "kvm2"


def test_one_of_two_holds_the_lock_after_the_leader_died(cluster, open_store):
    stores = [open_store(lock="anyvisor"), open_store(lock="anyvisor")]
    assert stores[0].wait_for_lock(10)

    cluster.servers[cluster.leader()].kill()

    wait_until(
        lambda: all(store.connected for store in stores) and any(store.has_lock for store in stores),
        "somebody has the lock",
        timeout_seconds=40,
    )
    assert [store.has_lock for store in stores].count(True) == 1


def test_a_killed_member_comes_back_with_everything(cluster, open_store):
    store = open_store()
    store.write_site(with_ports(2))
    victim = cluster.leader()
    cluster.servers[victim].kill()
    retried(lambda: store.write_site(with_ports(3)))

    cluster.servers[victim].start()
    other = (victim + 1) % 3
    wait_until(lambda: victim != cluster.leader() or other != cluster.leader(), "a leader is there")
    cluster.servers[cluster.leader()].kill()

    retried(lambda: store.write_site(with_ports(4)))
    assert store.snapshot().site == with_ports(4)
