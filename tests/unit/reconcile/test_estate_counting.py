# SPDX-License-Identifier: Apache-2.0
"""What a manager counted of its vNICs: where that is the yardstick, and what is kept across restarts."""

from dataclasses import replace

import pytest
from estate_world import VMS, WISH, World

from anyvisor.errors import UnreachableError
from anyvisor.model.kinds import Scheme, TagPer
from anyvisor.model.names import ObjectKey
from anyvisor.model.policy import AppliancePolicy, Policy
from anyvisor.model.state import Telemetry
from anyvisor.model.vnic import Counters
from anyvisor.reconcile.estate import EstateReconciler
from anyvisor.reconcile.tally import Tally


@pytest.fixture
def world():
    return World()


class Readings:
    def __init__(self):
        self.vnics = {}
        self.cards = {}

    def read(self):
        return Telemetry(vnics=dict(self.vnics), cards=dict(self.cards))

    def write(self, vnics, stations, cards=()):
        self.vnics |= {reading.port: reading for reading in vnics}
        self.cards |= {reading.port: reading for reading in cards}

    def forget_cards(self, ports):
        for port in ports:
            self.cards.pop(port, None)


def counting(world, readings):
    return Tally(world.estate, lambda: readings, clock=lambda: world.now)


def sent(number):
    return Counters(tx_bytes=number, tx_packets=1)


def test_what_a_native_switch_counted_never_shrinks_whoever_is_restarted():
    world, readings = World(Scheme.SEPARATION), Readings()
    world.run()
    plan = {card.vm: card.id for card in world.estate.estate().cards.values()}
    attachments = world.store.snapshot().attachments.values()
    tally = counting(world, readings)
    totals = []

    for number, fresh in ((1000, False), (1500, False), (1700, True), (100, False), (50, True)):
        tally = counting(world, readings) if fresh else tally
        world.estate.counted[plan["vm0"]] = sent(number)
        tally.take(attachments, plan)
        totals.append(readings.vnics["vm0"].native.tx_bytes)

    assert totals == [1000, 1500, 1700, 1800, 1800]


def test_vnics_behind_an_appliance_are_not_counted_twice(world):
    readings = Readings()
    world.run()
    plan = {card.vm: card.id for card in world.estate.estate().cards.values()}

    counting(world, readings).take(world.store.snapshot().attachments.values(), plan)

    assert readings.vnics == {}


SHARING = Policy(
    appliance=AppliancePolicy(
        template="t", management="m", tunnel="t", database="ssl:192.0.2.1:6640", tags=TagPer.NETWORK
    )
)


def test_what_neighbours_on_a_shared_tag_say_is_counted_at_their_cards(world):
    readings = Readings()
    world.want(VMS, policy=SHARING)
    world.run()
    cards = {card.vm: card.id for card in world.estate.estate().cards.values() if card.vm in VMS}
    attachments = list(world.store.snapshot().attachments.values())
    totals = []

    # Restarted between the second and the third; plugged anew before the fourth; moved before the last.
    for number, host in ((1000, "esx1"), (1500, "esx1"), (1700, "esx1"), (100, "esx1"), (150, "esx2")):
        world.estate.counted[cards["vm0"]] = sent(number)
        listed = [replace(a, host=host) if a.port == "vm0" else a for a in attachments]
        counting(world, readings).take(listed, cards, {"vm0": cards["vm0"]})
        totals.append(readings.cards["vm0"].counted.tx_bytes)

    assert totals == [1000, 1500, 1700, 1800, 50]
    assert readings.vnics == {}
    assert set(readings.cards) == {"vm0"}, "the others were not seen where they belong"
    counting(world, readings).take([replace(a, shared=False) for a in attachments], cards, {})
    assert readings.cards == {}


def test_counters_that_cannot_be_read_are_said_beside_what_is_driven():
    world, readings = World(Scheme.SEPARATION), Readings()
    world.run()
    tally = counting(world, readings)
    reconciler = EstateReconciler(
        "vc1",
        world.estate,
        world.store,
        wishes=lambda _, hosts: {f"{host}/1": WISH for host in hosts},
        clock=lambda: world.now,
        tally=tally,
    )
    reconciler.reconcile()
    world.estate.failure = UnreachableError("vc1 does not answer")

    with pytest.raises(UnreachableError):
        reconciler.measure()

    def told():
        said = world.store.snapshot().conditions[ObjectKey("manager", "vc1")]
        return [(c.kind, c.true, c.message) for c in said]

    assert told() == [("Manager", True, ""), ("Counted", False, "vc1 does not answer")]
    world.estate.failure = None
    reconciler.measure()
    assert told() == [("Manager", True, "")]
