# SPDX-License-Identifier: Apache-2.0
"""What every store must pass. A test module subclasses `StoreContract` and provides the fixture `open_store`."""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from anyvisor.contracts.store import Decision, HostReport, Store
from anyvisor.errors import ConflictError, TerminalError
from anyvisor.model.kinds import (
    AttachmentKind,
    Scheme,
)
from anyvisor.model.names import (
    ObjectKey,
    PortName,
)
from anyvisor.model.site import Site
from anyvisor.model.state import HostState, Plugged, PortState, Tag
from anyvisor.testing.store_sample import (
    EVERYTHING,
    HOST1,
    KVM1,
    KVM2,
    MAC,
    P1,
    P2,
    PORT1,
    PORT2,
    READY,
    RED,
    SCOPE,
    SITE,
    WAITS,
    attached,
    without_port,
)

OpenStore = Callable[..., Store]
"""``open_store()`` is anyvisord's, ``open_store(host=…)`` that of an agent; all see the same database."""


class StoreContract:
    """The fixture `open_store` gives access to one empty database."""

    # --- intent -----------------------------------------------------------------------------------------------------

    def test_what_was_written_is_read_back_exactly(self, open_store: OpenStore) -> None:
        store = open_store()

        changed = store.write_site(SITE)

        assert set(changed) == EVERYTHING
        assert store.snapshot().site == SITE
        assert store.snapshot().generation == 1

    def test_an_empty_database_has_an_owner_and_an_empty_site(self, open_store: OpenStore) -> None:
        state = open_store().snapshot()

        assert state.owner
        assert state.site == Site()

    def test_every_store_sees_the_same_owner(self, open_store: OpenStore) -> None:
        assert open_store().snapshot().owner == open_store().snapshot().owner

    def test_writing_the_same_intent_again_changes_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)

        assert store.write_site(SITE) == ()
        assert store.snapshot().generation == 1

    def test_only_what_differs_is_reported_as_changed(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        store.changed(0)
        moved = replace(SITE, ports={**SITE.ports, P2: replace(SITE.ports[P2], host=KVM2)})

        assert store.write_site(moved) == (PORT2,)

        assert store.changed(5) == {PORT2}
        assert store.snapshot().site == moved
        assert store.snapshot().generation == 2

    def test_an_empty_intent_empties_the_database(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)

        store.write_site(Site())

        assert store.snapshot().site == Site()
        assert store.snapshot().hosts == {}

    def test_a_snapshot_never_changes(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        before = store.snapshot()

        store.write_site(without_port(SITE, P1))

        assert before.site == SITE

    # --- changed keys -----------------------------------------------------------------------------------------------

    def test_the_first_call_returns_every_key_there_is(self, open_store: OpenStore) -> None:
        open_store().write_site(SITE)
        open_store().decide(Decision(attachments={PortName("gone"): attached(PortName("gone"))}))

        assert open_store().changed(5) == EVERYTHING | {ObjectKey("port", "gone")}

    def test_nothing_changes_while_nobody_writes(self, open_store: OpenStore) -> None:
        store = open_store()
        store.changed(1)

        assert store.changed(0) == frozenset()

    def test_own_decisions_do_not_come_back_as_changes(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        store.changed(5)

        store.decide(
            Decision(
                schemes={KVM1: Scheme.BASELINE},
                ports={P1: PortState(mac=MAC)},
                attachments={P1: attached()},
                tags={(SCOPE, 200): Tag(scope=SCOPE, vlan=200, holder=P1)},
                conditions={PORT1: (READY,)},
                applied=1,
            )
        )

        assert store.changed(0.05) == frozenset()

    def test_a_removed_port_is_reported_and_its_attachment_stays(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        store.decide(Decision(attachments={P1: attached()}))
        store.changed(5)

        store.write_site(without_port(SITE, P1))

        assert store.changed(5) == {PORT1}
        assert store.snapshot().attachments == {P1: attached()}

    # --- decisions --------------------------------------------------------------------------------------------------

    def test_decisions_are_read_back(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        tag = Tag(scope=SCOPE, vlan=200, holder=P2)
        external = attached(P2, KVM2, AttachmentKind.EXTERNAL)

        store.decide(
            Decision(
                schemes={KVM1: Scheme.BASELINE},
                ports={P1: PortState(mac=MAC, addresses=("10.1.0.9", "10.1.0.5"))},
                attachments={P1: attached(), P2: external},
                tags={(SCOPE, 200): tag},
                conditions={PORT1: (READY, WAITS), ObjectKey("policy", "site"): (READY,)},
                applied=1,
            )
        )

        state = store.snapshot()
        assert state.hosts == {KVM1: HostState(scheme=Scheme.BASELINE), KVM2: HostState()}
        assert state.ports == {P1: PortState(mac=MAC, addresses=("10.1.0.9", "10.1.0.5"))}
        assert state.attachments == {P1: attached(), P2: external}
        assert state.tags == {(SCOPE, 200): tag}
        assert state.conditions == {PORT1: (READY, WAITS), ObjectKey("policy", "site"): (READY,)}
        assert state.applied == 1

    def test_none_takes_a_decision_back(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        tag = Tag(scope=SCOPE, vlan=200, holder=P1)
        decision = Decision(
            schemes={KVM1: Scheme.BASELINE},
            ports={P1: PortState(mac=MAC)},
            attachments={P1: attached()},
            tags={(SCOPE, 200): tag},
            conditions={PORT1: (READY,)},
        )
        store.decide(decision)
        nothing = Decision(
            schemes={KVM1: None},
            ports={P1: None},
            attachments={P1: None},
            tags={(SCOPE, 200): None},
            conditions={PORT1: ()},
        )

        store.decide(nothing)
        store.decide(nothing)

        state = store.snapshot()
        assert state.hosts[KVM1] == HostState()
        assert (state.ports, state.attachments, state.tags, state.conditions) == ({}, {}, {}, {})

    def test_a_held_tag_cannot_be_taken(self, open_store: OpenStore) -> None:
        store = open_store()
        store.decide(Decision(tags={(SCOPE, 200): Tag(scope=SCOPE, vlan=200, holder=P1)}))

        with pytest.raises(ConflictError):
            store.decide(Decision(tags={(SCOPE, 200): Tag(scope=SCOPE, vlan=200, holder=P2)}))

        assert store.snapshot().tags[SCOPE, 200].holder == P1

    def test_a_released_tag_can_be_taken(self, open_store: OpenStore) -> None:
        store = open_store()
        store.decide(Decision(tags={(SCOPE, 200): Tag(scope=SCOPE, vlan=200, holder=P1, released=1000)}))

        store.decide(Decision(tags={(SCOPE, 200): Tag(scope=SCOPE, vlan=200, holder=P2)}))

        assert store.snapshot().tags[SCOPE, 200].holder == P2

    def test_a_decision_for_a_removed_port_is_refused_whole(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(without_port(SITE, P1))

        with pytest.raises(ConflictError):
            store.decide(Decision(ports={P1: PortState(mac=MAC), P2: PortState(mac=MAC)}))

        assert store.snapshot().ports == {}

    def test_conditions_of_what_is_gone_are_dropped(self, open_store: OpenStore) -> None:
        store = open_store()

        store.decide(Decision(conditions={PORT1: (READY,)}))

        assert store.snapshot().conditions == {}

    # --- agents -----------------------------------------------------------------------------------------------------

    def test_a_report_is_read_back_and_wakes_anyvisord_alone(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        store.decide(Decision(attachments={P1: attached()}))
        agent = open_store(host=KVM1)
        store.changed(5)
        agent.changed(5)
        plugged = Plugged(device="tap0", outage_ms=0)

        agent.report(
            HostReport(host=KVM1, carried=Scheme.BASELINE, conditions=(WAITS, READY), plugged={P1: plugged})
        )

        assert agent.snapshot().plugged == {P1: plugged}
        assert agent.changed(0.05) == frozenset()
        assert store.changed(5) == {HOST1, PORT1}
        assert store.snapshot().hosts[KVM1] == HostState(carried=Scheme.BASELINE, conditions=(WAITS, READY))
        assert store.snapshot().plugged == {P1: plugged}

    def test_an_agent_sees_its_host_its_attachments_and_external_ones(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        external = attached(P2, KVM2, AttachmentKind.EXTERNAL)
        p3, p4 = PortName("p3"), PortName("p4")
        far = attached(p3, KVM2)
        store.decide(
            Decision(
                attachments={P1: attached(), P2: external, p3: far, p4: attached(p4)},
                schemes={KVM1: Scheme.BASELINE},
            )
        )

        state = open_store(host=KVM1).snapshot()

        assert state.owner == store.snapshot().owner
        assert state.site.hosts == {KVM1: SITE.hosts[KVM1]}
        assert state.site.controller == SITE.controller
        assert state.site.networks == SITE.networks
        assert state.site.ports == {}
        assert state.hosts == {KVM1: HostState(scheme=Scheme.BASELINE)}
        assert state.attachments == {P1: attached(), P2: external, p4: attached(p4)}

    def test_an_agent_hears_of_decisions_for_it(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        agent = open_store(host=KVM1)
        assert agent.changed(5) >= {HOST1}

        store.decide(Decision(schemes={KVM1: Scheme.BASELINE}, attachments={P1: attached()}))
        assert agent.changed(5) == {HOST1, PORT1}

        store.decide(Decision(attachments={P1: attached(host=KVM2)}))
        assert agent.changed(5) == {PORT1}
        assert agent.snapshot().attachments == {}

    def test_an_agent_does_not_hear_of_other_hosts(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        agent = open_store(host=KVM1)
        agent.changed(5)

        store.decide(Decision(schemes={KVM2: Scheme.SEPARATION}, attachments={P2: attached(P2, KVM2)}))

        assert agent.changed(0.05) == frozenset()

    def test_the_card_of_a_vnic_is_kept_beside_what_its_agent_says(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        store.decide(Decision(attachments={P1: attached()}))
        store.decide(Decision(cards={P1: "vm1/4000", P2: "of nobody"}))
        store.changed(5)

        open_store(host=KVM1).report(
            HostReport(host=KVM1, carried=Scheme.APPLIANCE, plugged={P1: Plugged(device="avi1")})
        )

        assert store.changed(5) >= {PORT1}
        assert store.snapshot().plugged == {P1: Plugged(device="avi1", card="vm1/4000")}
        store.decide(Decision(cards={P1: None}))
        assert store.snapshot().plugged == {P1: Plugged(device="avi1")}

    def test_a_report_of_what_is_gone_is_dropped(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)

        store.report(HostReport(host=KVM1, carried=None, plugged={P1: Plugged(device="tap0")}))

        assert store.snapshot().plugged == {}

    def test_a_report_of_an_unknown_host_is_refused(self, open_store: OpenStore) -> None:
        with pytest.raises(TerminalError, match="kvm1"):
            open_store().report(HostReport(host=KVM1, carried=None))

    def test_a_port_that_moves_is_plugged_nowhere_until_its_new_host_says_so(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.write_site(SITE)
        store.decide(Decision(attachments={P1: attached()}))
        store.report(HostReport(host=KVM1, carried=None, plugged={P1: Plugged(device="tap0", outage_ms=7)}))

        store.decide(Decision(attachments={P1: replace(attached(), host=KVM2)}))

        assert store.snapshot().plugged == {}

    # --- forgetting -------------------------------------------------------------------------------------------------

    def test_forgetting_a_port_keeps_the_tag_whose_vnic_nobody_has_seen_leave(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        held = Tag(scope=SCOPE, vlan=200, holder=P1)
        resting = Tag(scope=SCOPE, vlan=201, holder=P1, released=1000)
        store.decide(Decision(attachments={P1: attached()}, tags={(SCOPE, 200): held, (SCOPE, 201): resting}))

        store.forget([PORT1])

        assert store.snapshot().attachments == {}
        assert store.snapshot().tags == {(SCOPE, 200): held, (SCOPE, 201): resting}

    def test_forgetting_what_the_intent_still_has_does_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write_site(SITE)
        scope = "physical/fabric"
        tag = Tag(scope=scope, vlan=200, holder=RED)
        store.decide(Decision(attachments={P1: attached()}, tags={(scope, 200): tag}))

        store.forget([PORT1, ObjectKey("network", RED), HOST1])

        assert store.snapshot().attachments == {P1: attached()}
        assert store.snapshot().tags == {(scope, 200): tag}
