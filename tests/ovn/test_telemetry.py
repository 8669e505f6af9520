# SPDX-License-Identifier: Apache-2.0
"""The telemetry database: agents and anyvisord write of one vNIC, and none of them undoes the other's reading."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from anyvisor.model.kinds import AttachmentKind
from anyvisor.model.state import CardReading, VnicReading
from anyvisor.model.vnic import Counters, PathCount
from anyvisor.ovsdb.telemetry import TelemetryStore
from anyvisor.testing.daemons import wait_until

pytestmark = pytest.mark.ovn

VNIC = VnicReading(
    port="p1",
    host="esx1",
    kind=AttachmentKind.VLAN_ACCESS,
    hypervisor=Counters(tx_bytes=10),
    controlled=Counters(tx_bytes=10),
    updated=1,
)
CARD = CardReading(
    port="p1", host="esx1", counted=Counters(tx_bytes=70), shown=Counters(tx_bytes=90), updated=2
)


@pytest.fixture
def stores(database):
    with ExitStack() as opened:
        agent = opened.enter_context(TelemetryStore(database.remote, host="esx1"))
        daemon = opened.enter_context(TelemetryStore(database.remote))
        yield agent, daemon


def test_what_the_agent_and_anyvisord_count_of_one_vnic_stands_side_by_side(stores):
    agent, daemon = stores
    daemon.write((), (), [CARD])

    agent.write([VNIC], ())
    wait_until(lambda: "p1" in daemon.read().vnics, "anyvisord sees what the agent wrote")

    seen = daemon.read()
    assert (seen.vnics, seen.cards) == ({"p1": VNIC}, {"p1": CARD})
    assert agent.read().cards == {}


def test_an_agent_that_forgets_a_vnic_leaves_its_cards_reading_and_the_other_way_round(stores):
    agent, daemon = stores
    daemon.write((), (), [CARD])
    agent.write([VNIC], ())

    agent.forget({"p1"})
    wait_until(lambda: not daemon.read().vnics, "anyvisord sees it gone")
    assert daemon.read().cards == {"p1": CARD}

    agent.write([VNIC], ())
    wait_until(lambda: "p1" in daemon.read().vnics, "it is back")
    daemon.forget_cards({"p1"})
    assert (daemon.read().vnics, daemon.read().cards) == ({"p1": VNIC}, {})


@pytest.mark.parametrize("path", [None, PathCount(), PathCount(entered=1000, slow=250)])
def test_which_way_frames_took_is_kept_where_a_card_switches_and_empty_elsewhere(stores, path):
    agent, daemon = stores
    agent.write([replace(VNIC, path=PathCount(entered=1))], ())

    agent.write([replace(VNIC, path=path)], ())
    wait_until(lambda: daemon.read().vnics.get("p1") == replace(VNIC, path=path), "anyvisord sees it")
