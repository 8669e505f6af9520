# SPDX-License-Identifier: Apache-2.0
"""What a round does when the world does not play along."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anyvisor.errors import ConflictError, UnreachableError
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import ObjectKey
from anyvisor.model.network import Network, Subnet
from anyvisor.model.port import Port
from anyvisor.model.site import Site
from anyvisor.model.state import HostState
from anyvisor.reconcile.engine import Engine
from anyvisor.reconcile.queue import KeyQueue
from anyvisor.reconcile.readiness import readiness
from anyvisor.reconcile.runner import Runner
from anyvisor.testing.controller import FakeController
from anyvisor.testing.store import FakeStore

KVM = Host(
    name="kvm1",
    hypervisor=Hypervisor.KVM,
    switches=(NativeSwitch(name="br-ex", kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),),
    nics=(Nic(name="eth0", physical="fabric"),),
)
NET = Network(name="web", kind=NetworkKind.OVERLAY, subnets=(Subnet(cidr="10.1.0.0/24", dhcp=True),))


def site(ports: int = 8) -> Site:
    return Site(
        hosts={"kvm1": KVM},
        networks={"web": NET},
        ports={f"p{number}": Port(name=f"p{number}", network="web", host="kvm1") for number in range(ports)},
    )


def works(wanted: Site) -> tuple[FakeStore, FakeController, Engine]:
    store, controller = FakeStore(), FakeController()
    store.write_site(wanted)
    return store, controller, Engine(store, controller, clock=lambda: 1000.0)


def said(store: FakeStore, name: str) -> str:
    (condition,) = store.snapshot().conditions[ObjectKey("port", name)]
    return condition.reason


def test_everything_is_written_in_one_transaction():
    _store, controller, engine = works(site())

    engine.round((), everything=True)

    assert controller.transactions == 1
    assert len(controller.objects) == 9


def test_what_is_decided_is_stored_before_the_controller_hears_of_it():
    store, controller, engine = works(site(1))
    controller.fail_next = [UnreachableError("gone")]

    with pytest.raises(UnreachableError):
        engine.round((), everything=True)

    assert controller.objects == {}
    assert store.snapshot().ports["p0"].addresses == ("10.1.0.2",)
    assert store.snapshot().attachments["p0"].host == "kvm1"


def test_one_bad_object_does_not_hold_up_the_others():
    store, controller, engine = works(site(20))
    controller.poison = {ObjectKey("port", "p7")}

    engine.round((), everything=True)

    assert ObjectKey("port", "p7") not in controller.objects
    assert len(controller.objects) == 20
    assert said(store, "p7") == "Refused"
    assert said(store, "p6") == "WaitsForVnic"


def test_a_name_that_somebody_else_has_is_said_and_waits_for_a_person():
    store, controller, engine = works(site(2))
    controller.foreign = {ObjectKey("port", "p1")}

    outcome = engine.round((), everything=True)

    assert said(store, "p1") == "ForeignRow"
    assert outcome.retry == {}
    assert [key.name for key, _ in readiness(store.snapshot()).failed] == ["p1"]


def test_what_the_intent_dropped_is_pruned_after_a_restart_too():
    store, controller, engine = works(site(3))
    engine.round((), everything=True)
    store.write_site(site(1))

    Engine(store, controller, clock=lambda: 1000.0).round(())

    assert {key.name for key in controller.objects} == {"web", "p0"}
    assert set(store.snapshot().attachments) == {"p0"}


def test_a_removed_port_gives_its_address_back_and_others_keep_theirs():
    store, _controller, engine = works(site(3))
    engine.round((), everything=True)
    kept = store.snapshot().ports["p2"].addresses
    fewer = replace(site(3), ports={name: port for name, port in site(3).ports.items() if name != "p1"})
    store.write_site(fewer)
    engine.round([ObjectKey("port", "p1")])

    store.write_site(replace(fewer, ports={**fewer.ports, "p9": Port(name="p9", network="web")}))
    engine.round([ObjectKey("port", "p9")])

    assert store.snapshot().ports["p9"].addresses == ("10.1.0.3",)
    assert store.snapshot().ports["p2"].addresses == kept


def test_a_full_subnet_is_said_at_the_port_that_found_it_full():
    tiny = replace(NET, subnets=(Subnet(cidr="10.1.0.0/30"),))
    store, _controller, engine = works(replace(site(2), networks={"web": tiny}))

    engine.round((), everything=True)

    assert {said(store, "p0"), said(store, "p1")} == {"WaitsForVnic", "NoAddress"}


def test_a_host_behind_a_native_switch_without_a_vlan_to_give_is_said_at_the_network():
    native = replace(
        KVM,
        scheme=Scheme.SEPARATION,
        switches=(NativeSwitch(name="br0", kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),),
    )
    store, _controller, engine = works(replace(site(1), hosts={"kvm1": native}))

    engine.round((), everything=True)

    (condition,) = store.snapshot().conditions[ObjectKey("network", "web")]
    assert condition.reason == "NoVlan"


def test_a_port_becomes_ready_when_its_flows_are_installed():
    store, controller, engine = works(site(1))
    engine.round((), everything=True)
    store.set_host("kvm1", HostState(scheme=Scheme.BASELINE, carried=Scheme.BASELINE))

    controller.is_up = {"p0"}
    engine.round([ObjectKey("port", "p0"), ObjectKey("host", "kvm1")])

    assert readiness(store.snapshot()).coming == ()
    assert readiness(store.snapshot()).absent == ()
    assert readiness(store.snapshot()).failed == ()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01  # a clock that stands still would let a bounded wait last for ever
        return self.now


def test_a_failed_round_is_tried_again_later_and_then_counts_as_applied():
    store, controller, engine = works(site(1))
    clock = Clock()
    queue: KeyQueue[ObjectKey] = KeyQueue(clock)
    runner = Runner(engine, store, queue)
    controller.fail_next = [ConflictError("raced"), UnreachableError("gone")]
    runner.start()

    first = runner.step(0.0)
    for _ in range(1000):
        runner.step(0.005)
        clock.now += 0.2
        if store.snapshot().applied:
            break
    runner.stop()

    assert first is None
    assert controller.transactions == 1
    assert store.snapshot().applied == store.snapshot().generation == 1
