# SPDX-License-Identifier: Apache-2.0
"""The fake store obeys the rules of the real one."""

import pytest

from anyvisor.contracts.store import Decision
from anyvisor.errors import ConflictError, UnreachableError
from anyvisor.testing.store import FakeDatabase, FakeStore
from anyvisor.testing.store_contract import StoreContract
from anyvisor.testing.store_kept import StoreKeepsContract
from anyvisor.testing.store_sample import SITE


@pytest.fixture
def open_store():
    database = FakeDatabase()

    def opened(host=None):
        return FakeStore(database, host=host)

    return opened


class TestFakeStore(StoreContract, StoreKeepsContract):
    pass


def test_a_store_that_lost_its_lock_decides_nothing():
    store = FakeStore()
    store.has_lock = False

    with pytest.raises(ConflictError):
        store.decide(Decision(applied=1))


def test_a_store_fails_as_often_as_it_is_told():
    store = FakeStore()
    store.fail(UnreachableError("gone"), times=1)

    with pytest.raises(UnreachableError):
        store.write_site(SITE)
    store.write_site(SITE)

    assert store.snapshot().site == SITE
