# SPDX-License-Identifier: Apache-2.0
"""What every store must pass of what anyvisord keeps beside its decisions: migrations, what networks are laid out for.

A test module subclasses `StoreKeepsContract` and provides the fixture `open_store`, as for `StoreContract`.
"""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from dataclasses import replace

from anyvisor.contracts.store import Decision
from anyvisor.model.move import Move
from anyvisor.model.names import ObjectKey
from anyvisor.testing.store_contract import OpenStore
from anyvisor.testing.store_sample import KVM1, KVM2, P1, PORT1, SITE, without_port


class StoreKeepsContract:
    """The fixture `open_store` gives access to one empty database."""

    def test_migrations_are_kept_per_port_and_a_time_that_is_stored_stays(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.write_site(SITE)
        first, second = (Move(begun=begun, origin=KVM1, target=KVM2) for begun in (1000, 2000))
        store.decide(Decision(moves={(P1, 2000): second, (P1, 1000): first}))
        store.decide(Decision(moves={(P1, 2000): replace(second, arrived=2500)}))

        store.decide(Decision(moves={(P1, 2000): replace(second, staged=2100), (P1, 1000): None}))

        assert store.snapshot().moves == {P1: (replace(second, staged=2100, arrived=2500),)}
        assert open_store(host=KVM1).snapshot().moves == {}
        store.write_site(without_port(SITE, P1))
        store.forget([PORT1])
        assert store.snapshot().moves == {}

    def test_what_networks_are_laid_out_for_reaches_the_agents(self, open_store: OpenStore) -> None:
        store, agent = open_store(), open_store(host=KVM1)
        store.write_site(SITE)
        while agent.snapshot().generation == 0:
            agent.changed(1)
        agent.changed(0)

        store.decide(Decision(underlay_mtu=1400))

        assert ObjectKey("policy", "site") in agent.changed(5)
        assert agent.snapshot().underlay_mtu == 1400
        store.decide(Decision(applied=1))
        assert store.snapshot().underlay_mtu == 1400
