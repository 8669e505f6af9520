# SPDX-License-Identifier: Apache-2.0
"""What the switches counted, seen from the VM."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from anyvisor.drivers.vsphere.counters import RateTotals
from anyvisor.lab.vcenter.client import Counters as Pushed
from anyvisor.model.estate import CardId
from anyvisor.model.kinds import SwitchKind
from anyvisor.model.vnic import Counters


def push(running, estate, machines, name, **values):
    card = machines.shown(name)
    state = running.control.state()
    if card.backing.port is not None:
        switch = next(each for each in state.switches if each.name == card.backing.switch)
        unknown = running.control.push(ports=[Pushed(key=f"{switch.uuid}/{card.backing.port}", **values)])
    else:
        vm = next(each for each in state.vms if each.name == name)
        unknown = running.control.push(nics=[Pushed(key=f"{vm.key}/{card.id.card}", **values)])
    assert unknown == ()


def test_a_distributed_port_counts_all_kinds_of_frames(estate, running, machines):
    push(
        running,
        estate,
        machines,
        "web",
        tx_bytes=1000,
        tx_packets=10,
        tx_broadcast_bytes=60,
        tx_broadcast_packets=1,
        rx_bytes=500,
        rx_packets=5,
        rx_multicast_bytes=100,
        rx_multicast_packets=1,
    )
    push(running, estate, machines, "db", tx_bytes=7, tx_packets=1)

    web, db = machines.card("web"), machines.card("db")

    assert estate.counters([web, db]) == {
        web: Counters(tx_bytes=1000, rx_bytes=500, tx_packets=10, rx_packets=5),
        db: Counters(tx_bytes=7, tx_packets=1),
    }


def test_a_vm_that_is_off_has_no_counters(estate, running, machines):
    running.control.vm("web", power="dies")

    assert estate.estate()
    assert estate.counters([machines.card("web")]) == {}


def test_a_standard_switch_is_counted_from_the_first_time_on(estate, machines):
    card = machines.card("aged")

    assert estate.counters([card]) == {card: Counters()}
    assert estate.counters([card]) == {card: Counters()}


CARD = CardId("vm", "4000")
START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = {1: "tx_bytes", 2: "rx_bytes", 3: "tx_packets"}


def answer(*seconds, **series):
    values = [
        SimpleNamespace(id=SimpleNamespace(counterId=int(name[1:]), instance="4000"), value=list(samples))
        for name, samples in series.items()
    ]
    times = [SimpleNamespace(timestamp=START + timedelta(seconds=second)) for second in seconds]
    return SimpleNamespace(sampleInfo=times, value=values)


def totals(rates):
    return rates._totals.get(CARD, Counters())


def test_rates_are_summed_up_and_no_sample_counts_twice():
    rates = RateTotals()
    rates.add("vm", answer(0, m1=[99], m3=[99]), METRICS, {"4000": CARD})
    assert totals(rates) == Counters()

    rates.add("vm", answer(20, 40, m1=[1, 2], m2=[3, 0], m3=[5, 6]), METRICS, {"4000": CARD})
    first = Counters(tx_bytes=3 * 20 * 1024, rx_bytes=3 * 20 * 1024, tx_packets=11)
    assert totals(rates) == first

    rates.add("vm", answer(20, 40, m1=[1, 2], m3=[5, 6]), METRICS, {"4000": CARD})
    rates.add("vm", answer(45, m1=[7]), METRICS, {"4000": CARD})
    assert totals(rates) == first, "the sample at 45 begins before 40"

    rates.add("vm", answer(40, 60, m1=[2, 1]), METRICS, {"4000": CARD})
    assert totals(rates).tx_bytes == first.tx_bytes + 20 * 1024


def test_a_sample_that_is_missing_counts_nothing():
    rates = RateTotals()
    rates.add("vm", answer(0), METRICS, {"4000": CARD})

    rates.add("vm", answer(20, 40, m1=[-1, 4]), METRICS, {"4000": CARD})
    rates.add("vm", answer(), METRICS, {"4000": CARD})

    assert totals(rates).tx_bytes == 4 * 20 * 1024


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_a_standard_switch_passed_is_in_the_next_samples(estate, running, machines, steps):
    card = machines.card("aged")
    estate.apply(
        [
            steps.switch("old1", kind=SwitchKind.VSS, name=steps.own),
            steps.group("x", 5, switch=steps.own, host="old1"),
            steps.plug(card, "x", switch=steps.own),
        ]
    )
    push(running, estate, machines, "aged", tx_bytes=0)
    estate.counters([card])
    time.sleep(1)
    push(running, estate, machines, "aged", tx_bytes=20 * 1024 * 50, tx_packets=700)

    deadline = time.monotonic() + 60
    while estate.counters([card])[card].tx_packets < 700 and time.monotonic() < deadline:
        time.sleep(1)

    counted = estate.counters([card])[card]
    assert counted.tx_packets == 700
    assert abs(counted.tx_bytes - 20 * 1024 * 50) <= 20 * 1024
