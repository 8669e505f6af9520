# SPDX-License-Identifier: Apache-2.0
"""What every store must pass of what anyvisord keeps beside its decisions: migrations, what networks are laid out for.

A test module subclasses `StoreKeepsContract` and provides the fixture `open_store`, as for `StoreContract`.
"""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from dataclasses import replace

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.model.move import Move
from anyvisor.model.names import Mac, ObjectKey
from anyvisor.model.sighting import Sighting
from anyvisor.model.state import Duty
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

    def test_hosts_that_a_manager_reports_come_change_and_go_and_survive_a_file_without_them(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        bare = replace(SITE, hosts={})
        store.write_site(bare)
        found = replace(SITE.hosts[KVM1], manager="vc")
        newer = replace(found, version="10.0")

        store.decide(Decision(found={KVM1: found}))
        store.decide(Decision(found={KVM1: newer}))

        assert store.snapshot().site.hosts == {KVM1: newer}
        assert store.write_site(bare) == ()
        assert store.snapshot().site.hosts == {KVM1: newer}
        store.decide(Decision(found={KVM1: None}))
        assert store.snapshot().site.hosts == {}

    def test_a_host_of_the_file_is_never_overwritten_by_a_report(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)

        store.decide(Decision(found={KVM1: replace(SITE.hosts[KVM1], version="10.0", manager="vc")}))
        store.decide(Decision(found={KVM1: None}))

        assert store.snapshot().site.hosts[KVM1] == SITE.hosts[KVM1]

    def test_what_is_said_of_appliances_is_kept_until_something_else_is_said(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.write_site(SITE)
        said = {2: Duty(out=True, since=1000, reason="Dead", message="its VM is off")}

        store.decide(Decision(duties={KVM1: said}))
        assert store.snapshot().hosts[KVM1].duties == said
        assert store.snapshot().hosts[KVM1].out == {2}

        store.decide(Decision(duties={KVM1: {}}))
        assert store.snapshot().hosts[KVM1].duties == {}

    def test_the_vlans_of_an_inner_switch_are_unknown_until_an_agent_says_them(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.write_site(SITE)
        said = HostReport(host=KVM1, carried=None)

        assert store.snapshot().hosts[KVM1].inner_vlans is None
        store.report(replace(said, inner_vlans=frozenset({7, 2})))
        assert store.snapshot().hosts[KVM1].inner_vlans == frozenset({2, 7})

        store.report(said)
        assert store.snapshot().hosts[KVM1].inner_vlans == frozenset({2, 7})
        store.report(replace(said, inner_vlans=frozenset()))
        assert store.snapshot().hosts[KVM1].inner_vlans == frozenset()

    def test_what_an_agent_sees_of_others_vnics_is_kept_until_it_says_otherwise(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.write_site(SITE)
        said = HostReport(host=KVM1, carried=None)
        seen = (
            Sighting(vm="db1", arriving=True),
            Sighting(vm="web9", mac=Mac("0a:00:00:00:00:09")),
            Sighting(mac=Mac("0a:00:00:00:00:0a")),
        )

        assert store.snapshot().hosts[KVM1].sighted == ()
        store.report(replace(said, sighted=seen))
        assert store.snapshot().hosts[KVM1].sighted == seen

        store.report(said)
        assert store.snapshot().hosts[KVM1].sighted == seen
        store.report(replace(said, sighted=()))
        assert store.snapshot().hosts[KVM1].sighted == ()
