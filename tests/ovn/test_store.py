# SPDX-License-Identifier: Apache-2.0
"""The store over a real database."""

import json
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from anyvisor.contracts.store import Decision
from anyvisor.errors import ConflictError, TerminalError, UnreachableError
from anyvisor.model.site import Site
from anyvisor.ovsdb.schemas import schema_file
from anyvisor.ovsdb.server import upgrade
from anyvisor.ovsdb.store import OvsdbStore
from anyvisor.testing.daemons import run, wait_until
from anyvisor.testing.store_contract import StoreContract
from anyvisor.testing.store_kept import StoreKeepsContract
from anyvisor.testing.store_sample import EVERYTHING, P1, PORT1, SITE, attached, without_port


@pytest.fixture
def open_store(database):
    with ExitStack() as stores:

        def opened(**options):
            return stores.enter_context(OvsdbStore(database.remote, timeout_seconds=20, **options))

        yield opened


class TestOvsdbStore(StoreContract, StoreKeepsContract):
    pass


def test_two_who_write_at_once_do_not_both_succeed(open_store):
    first, second = open_store(), open_store()
    first.write_site(SITE)
    wait_until(lambda: second.snapshot().generation == 1, "the second store has the first intent")
    barrier = threading.Barrier(2)
    outcomes = []

    def write(store, vm):
        port = replace(SITE.ports[P1], vm=vm)
        barrier.wait()
        try:
            outcomes.append((vm, store.write_site(replace(SITE, ports={P1: port}))))
        except ConflictError:
            outcomes.append((vm, None))

    threads = [threading.Thread(target=write, args=pair) for pair in ((first, "one"), (second, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    successes = [vm for vm, keys in outcomes if keys]
    generation = max(first.snapshot().generation, second.snapshot().generation)
    assert generation == 1 + len(successes)
    assert successes
    wait_until(lambda: first.snapshot() == second.snapshot(), "both see the same")
    assert first.snapshot().site.ports[P1].vm in successes


def test_an_outdated_writer_is_refused_and_can_try_again(open_store, database):
    store = open_store()
    store.write_site(SITE)

    def somebody_else_writes_meanwhile(transaction):
        keys = store._writes.write_site(transaction, Site())
        database.transact({"op": "update", "table": "Global", "where": [], "row": {"generation": 7}})
        return keys

    with pytest.raises(ConflictError):
        store._connection.write(somebody_else_writes_meanwhile)
    wait_until(lambda: store.snapshot().generation == 7, "the store has heard of it")

    assert store.snapshot().site == SITE
    store.write_site(Site())
    assert store.snapshot().site == Site()


def test_only_the_holder_of_the_lock_decides(open_store):
    first, second = open_store(lock="anyvisor"), open_store(lock="anyvisor")
    assert first.wait_for_lock(5)
    assert not second.wait_for_lock(0)

    with pytest.raises(ConflictError, match="lock"):
        second.decide(Decision(attachments={P1: attached()}))
    first.close()

    assert second.wait_for_lock(5)
    second.decide(Decision(attachments={P1: attached()}))
    assert second.snapshot().attachments == {P1: attached()}


def test_a_store_outlives_a_crash_of_its_server(open_store, database):
    store = open_store()
    store.write_site(SITE)
    store.changed(0)
    database.server.kill()
    wait_until(lambda: not store.connected, "the store notices")
    with pytest.raises(UnreachableError):
        store.write_site(Site())
    assert store.snapshot().site == SITE

    database.server.start()
    wait_until(lambda: store.connected, "the store is back")
    store.write_site(without_port(SITE, P1))

    assert store.changed(5) == {PORT1}
    assert store.snapshot().site == without_port(SITE, P1)


def test_changes_made_while_the_store_was_away_are_reported_afterwards(open_store, database):
    store = open_store()
    store.write_site(SITE)
    assert store.changed(5) == EVERYTHING
    port = [["name", "==", P1]]
    database.server.kill()
    wait_until(lambda: not store.connected, "the store notices")
    database.offline({"op": "delete", "table": "Port", "where": port})
    database.server.start()

    assert store.changed(20) == {PORT1}

    assert store.snapshot().site == without_port(SITE, P1)


def test_what_nobody_can_read_stops_the_reader_and_not_the_writer(open_store, database):
    store = open_store()
    store.write_site(SITE)
    database.transact(
        {"op": "update", "table": "Security_Group", "where": [], "row": {"rules": ["map", [[0, "{"]]]}}
    )
    wait_until(lambda: not readable(store), "the store has seen it")

    with pytest.raises(TerminalError, match="Security_Group web"):
        store.snapshot()
    store.write_site(SITE)

    assert store.snapshot().site == SITE


def readable(store):
    try:
        store.snapshot()
    except TerminalError:
        return False
    return True


def test_a_database_of_another_kind_is_refused(ovn):
    with pytest.raises(TerminalError, match="Anyvisor"):
        OvsdbStore(ovn.northbound, timeout_seconds=5).start()


def test_nobody_there_is_unreachable_within_the_time_out(tmp_path):
    with pytest.raises(UnreachableError, match="no answer"):
        OvsdbStore(f"unix:{tmp_path}/db.sock", timeout_seconds=0.3).start()


def test_a_change_of_one_port_leaves_the_others_untouched(open_store):
    store = open_store()
    store.write_site(SITE)
    before = store.snapshot()

    store.decide(Decision(attachments={P1: attached()}))

    after = store.snapshot()
    assert after.site is before.site
    assert after.tags is before.tags


@pytest.mark.parametrize("host", [None, "kvm1"])
def test_a_database_that_lacks_a_column_is_refused_and_not_read_by_halves(
    open_store, database, tmp_path, host
):
    open_store().write_site(SITE)
    with schema_file("Anyvisor") as path:
        older = json.loads(path.read_text())
    del older["tables"]["Attachment"]["columns"]["vm"]
    older["version"] = "1.5.0"
    (tmp_path / "older").write_text(json.dumps(older))
    run("ovsdb-client", "convert", database.remote, str(tmp_path / "older"))
    late = OvsdbStore(database.remote, host=host, timeout_seconds=5)

    with pytest.raises(TerminalError, match=r"1\.5\.0, which lacks column Attachment\.vm"):
        late.start()

    upgrade(database.remote)
    late.start()
    assert late.snapshot().site.networks == SITE.networks
    late.close()


def test_a_database_of_the_schema_before_migrations_were_kept_is_converted_with_what_it_holds(
    open_store, database, tmp_path
):
    open_store().write_site(SITE)
    with schema_file("Anyvisor") as path:
        older = json.loads(path.read_text())
    del older["tables"]["Move"]
    older["version"] = "1.1.0"
    (tmp_path / "older").write_text(json.dumps(older))
    run("ovsdb-client", "convert", database.remote, str(tmp_path / "older"))
    with pytest.raises(TerminalError):
        OvsdbStore(database.remote, timeout_seconds=5).start()

    assert upgrade(database.remote)
    assert not upgrade(database.remote)

    assert open_store().snapshot().site == SITE
