# SPDX-License-Identifier: Apache-2.0
"""A network card that switches for its host dies, and comes back: it is said, and nothing is moved."""

from dataclasses import replace

import pytest

from anyvisor.contracts.store import Decision, HostReport
from anyvisor.errors import UnreachableError
from anyvisor.model.host import Host, Nic
from anyvisor.model.kinds import Fallback, Hypervisor, NetworkKind, Scheme
from anyvisor.model.names import HostName, NetworkName, ObjectKey, PortName
from anyvisor.model.network import Network
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import Beat
from anyvisor.planner.fallbacks import card_notes, duty_conditions
from anyvisor.reconcile.vigil import Vigil, Witnesses
from anyvisor.testing.store import FakeStore

KVM4 = HostName("kvm4")


class World:
    """One host whose card switches; no appliance anywhere, and no manager."""

    def __init__(self):
        self.now, self.alive, self.count, self.failure = 1000.0, True, 0, None
        self.told = []
        self.store = FakeStore()
        host = Host(name=KVM4, hypervisor=Hypervisor.KVM, nics=(Nic(name="p0", dpu="MT1"),))
        self.store.write_site(Site(hosts={KVM4: host}))
        self.store.decide(Decision(schemes={KVM4: Scheme.NIC}))
        self.store.report(HostReport(host=KVM4, carried=Scheme.NIC))
        self.vigil = Vigil(
            self.store,
            Witnesses(healths=dict, beats=self.beats),
            monotonic=lambda: self.now,
            clock=lambda: self.now,
            tell=self.told.append,
        )

    def beats(self):
        if self.failure is not None:
            raise self.failure
        return [Beat(host=KVM4, number=1, count=self.count)]

    def goes_on(self, seconds):
        for _ in range(round(seconds * 5)):
            self.now += 0.2
            self.count += 1 if self.alive else 0
            self.vigil.look()

    def said(self):
        return [(c.kind, c.reason) for c in duty_conditions(self.store.snapshot().hosts[KVM4])]


@pytest.fixture
def world():
    return World()


def test_a_card_that_lives_has_nothing_said_of_it(world):
    world.goes_on(30)

    assert world.said() == []
    assert world.told == []


def test_a_card_that_dies_is_said_once_and_is_not_called_out(world):
    world.goes_on(5)
    world.alive = False

    world.goes_on(60)

    assert world.said() == [("Card", "Silent")]
    assert world.store.snapshot().hosts[KVM4].out == frozenset()
    assert world.told == [ObjectKey("host", KVM4)]


def test_a_card_that_comes_back_has_nothing_said_of_it_any_more(world):
    world.goes_on(5)
    world.alive = False
    world.goes_on(20)

    world.alive = True
    world.goes_on(1)

    assert world.said() == []


def test_a_database_that_was_away_makes_nobody_silent(world):
    world.goes_on(5)
    world.failure = UnreachableError("away")
    for _ in range(100):
        world.now += 0.2
        with pytest.raises(UnreachableError):
            world.vigil.look()

    world.failure = None
    world.vigil.look()

    assert world.said() == []


def test_what_was_said_goes_with_the_scheme(world):
    world.goes_on(5)
    world.alive = False
    world.goes_on(20)

    world.store.decide(Decision(schemes={KVM4: Scheme.BASELINE}))
    world.vigil.look()

    assert world.store.snapshot().hosts[KVM4].duties == {}


@pytest.mark.parametrize("fallback", [Fallback.OPEN, Fallback.STANDBY])
def test_the_plan_says_that_a_card_has_no_fallback(fallback):
    web = Network(name=NetworkName("web"), kind=NetworkKind.OVERLAY, fallback=fallback)
    port = Port(name=PortName("vm1"), network=web.name, host=KVM4)
    host = Host(name=KVM4, hypervisor=Hypervisor.KVM)

    def said(network):
        return card_notes(Site(hosts={KVM4: host}, networks={network.name: network}), host, [port])

    assert "Network web cannot fall back on kvm4" in said(web)[0]
    assert said(replace(web, fallback=Fallback.CLOSED)) == ()
