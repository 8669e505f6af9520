# SPDX-License-Identifier: Apache-2.0
"""Hosts whose network card is a DPU: policy, the agent on the card, a card that dies, and no frame past its switch."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import count, permutations

import pytest

from anyvisor.lab import (
    card_leak,
    down,
    dpu,
    host,
    manifest,
    namespace,
    process,
    report,
    session,
    topology_file,
    up,
)
from anyvisor.lab.capture import Capture, Mouth
from anyvisor.lab.card_leak import CardGround
from anyvisor.lab.frame import Card, Kind, build
from anyvisor.lab.leak import Sent
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.testing.namespace import ip

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

KINDS = tuple(kind for kind in Kind if kind is not Kind.DOUBLE)
"""A double tag is an inner VLAN's business; nothing behind a card has one."""
PACE_SECONDS, QUIET_SECONDS = 0.003, 0.5
_TOKENS = count(1)


def eventually(what, true, seconds=60):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


class Fleet:
    """The lab with its daemon; `card` is the DPU of kvm2."""

    card = "kvm2-dpu"

    def __init__(self, place, topology, product, capture, tell):
        self.place, self.topology, self.product = place, topology, product
        self.capture, self.tell = capture, tell
        # Only what nothing filters shows which way frames take.
        self.vms = {vm.name: vm for vm in topology.vms if not vm.security_groups}
        self.mouths = {name: Mouth(place, name, "eth0") for name in self.vms}
        capture.listen([*self.vms, *(part for one in topology.hosts for part in (one.name, one.card))])

    # the product

    def conditions(self, name):
        return {c.partition("=")[0]: c for c in self.product.host(name)["conditions"]}

    def plugged(self):
        return {port: p.device for port, p in session.state_of(self.place).plugged.items()}

    # the card

    def devlink(self, *words):
        argv = [*dpu.devlink(self.place, self.topology.host("kvm2")), *words]
        return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    def give(self, device, mac):
        """What whoever starts a VM does: the function gets the VM's address."""
        ports = self.devlink("port", "show")["port"]
        handle = next(handle for handle, port in ports.items() if port["netdev"] == device)
        self.devlink("port", "function", "set", handle, "hw_addr", mac)

    def kill(self, *daemons):
        for one in manifest.read(self.place.manifest).processes:
            if one.part == self.card and one.what in daemons:
                pid = self.place.part(self.card) / "run" / f"{one.what}.pid"
                now = int(pid.read_text()) if pid.exists() else one.pid
                if process.alive(now, process.start_time(now)):
                    os.kill(now, signal.SIGKILL)

    @contextmanager
    def dead(self):
        """The card has lost its power; its host has not."""
        ip("-n", self.place.namespace(self.card), "link", "set", "p0", "down")
        self.kill(host.AGENT, "ovn-controller", "ovs-vswitchd", "ovsdb-server")
        try:
            yield
        finally:
            ip("-n", self.place.namespace(self.card), "link", "set", "p0", "up")
            for script in ("start-openvswitch", "start-ovn-controller"):
                path = self.place.part(self.card) / script
                argv = namespace.command(self.place.namespace(self.card), [str(path)])
                subprocess.run(argv, check=True, capture_output=True)
            session.restart_agent(self.place, self.card)

    # frames

    def ground(self, *, unsteady=()):
        cards = {one.name: one.card for one in self.topology.hosts if one.dpu is not None}
        return CardGround(
            networks={name: vm.network for name, vm in self.vms.items()},
            representors={
                vm.name: (cards[vm.host], self.topology.device(vm))
                for vm in self.vms.values()
                if vm.host in cards
            },
            hosts=frozenset(cards),
            unsteady=frozenset(unsteady),
        )

    def say_all(self, names=None, kinds=KINDS):
        sent = []
        for sender, victim in permutations(names or sorted(self.vms), 2):
            for kind in kinds:
                cards = [Card(mac=self.vms[n].mac, ip=self.vms[n].ips[0], tag=7) for n in (sender, victim)]
                one = Sent(token=next(_TOKENS), kind=kind, sender=sender, victim=victim)
                if self.mouths[sender].say(build(kind, one.token, *cards)):
                    sent.append(one)
                time.sleep(PACE_SECONDS)
        return sent

    def heard(self, sent, ground, *, words):
        seen = []

        def all_is_there():
            seen.extend(self.capture.take())
            quiet = self.capture.silent_for() > QUIET_SECONDS
            return quiet and not card_leak.judge(sent, seen, ground).losses

        give_up = time.monotonic() + 15
        while not all_is_there() and time.monotonic() < give_up:
            time.sleep(0.1)
        assert self.capture.lost() == 0, "the capture could not keep up: nothing is proven"
        verdict = card_leak.judge(sent, seen, ground)
        self.tell(f"{words}: {verdict}")
        return verdict

    def all_reached(self):
        """Everybody gets what is for him, so that what follows starts from there."""
        eventually("everybody is reached", lambda: not self.round().losses)

    def round(self):
        self.capture.take()
        sent = self.say_all(kinds=[Kind.UNICAST])
        time.sleep(0.5)
        return card_leak.judge(sent, self.capture.take(), self.ground())


def told(verdict):
    return [line for found in (verdict.leaks, verdict.duplicates, verdict.losses) for line in found[:5]]


@pytest.fixture(scope="module")
def fleet(product_of, options, request):
    place = Place(name=f"d{os.getpid()}")
    topology = topology_file.load("dpu")
    capturing = request.config.pluginmanager.getplugin("capturemanager")

    def tell(figure):
        with capturing.global_and_fixture_disabled():
            sys.stdout.write(f"\n    {figure}")

    up.up(place, topology, options(), silent)
    try:
        product = product_of(place)
        with Capture(place) as capture, product.serving():
            product.apply()
            one = Fleet(place, topology, product, capture, tell)
            try:
                yield one
            finally:
                for mouth in one.mouths.values():
                    mouth.close()
    finally:
        down.down(place)


def test_every_packet_does_what_the_plan_said(fleet):
    found = session.check(fleet.place, silent)

    assert [report.in_words(failure) for failure in found.failures] == []
    assert found.duplicates == {}
    assert fleet.product.host("kvm2")["scheme"] == "nic"
    assert fleet.product.view()["escapes"] == []
    assert fleet.conditions("kvm2")["CardReady"] == "CardReady=true Switchdev"


def test_each_port_is_the_representor_of_its_vms_function_and_the_card_is_found_by_its_serial(fleet):
    plugged = fleet.plugged()

    assert {vm.name: plugged[vm.name] for vm in fleet.topology.vms_of("kvm2")} == {
        "web2": "pf0vf0",
        "db1": "pf0vf1",
        "blue2": "pf0vf2",
        "blue3": "pf0vf3",
        "red1": "pf0vf4",
    }
    argv = [
        "ovn-sbctl",
        f"--db={fleet.place.southbound}",
        "get",
        "Chassis",
        "kvm2",
        "other_config:ovn-cms-options",
    ]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert done.stdout.strip().strip('"') == "card-serial-number=MT2306X00002"


def test_what_the_card_does_not_carry_by_itself_is_in_the_view(fleet):
    """The lab's cards carry nothing by themselves: a switch in user space has every frame in its hands."""
    with session.measuring(fleet.place, session.flow(fleet.place, "web2", "web1", port=53)):
        eventually("something is counted", lambda: fleet.product.host("kvm2")["slow_path"] is not None)

    assert fleet.product.host("kvm2")["slow_path"] == 1.0
    assert fleet.product.host("kvm1")["slow_path"] is None


def test_no_frame_goes_past_the_cards_switch(fleet):
    fleet.all_reached()

    verdict = fleet.heard(fleet.say_all(), fleet.ground(), words="steady")

    assert told(verdict) == []
    assert ("blue2", "blue3") in verdict.pairs
    assert ("blue2", "blue4") in verdict.pairs
    assert ("blue2", "red1") not in verdict.pairs


def test_the_check_can_fail(fleet):
    """A flow that nobody's policy has leads from one function to another: that leak, and no other, is reported."""
    bridge = f"unix:{fleet.place.part(fleet.card)}/run/br-int.mgmt"
    database = fleet.place.switch_database(fleet.card)

    def number(device):
        argv = ["ovs-vsctl", f"--db={database}", "get", "Interface", device, "ofport"]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    flow = f"table=0,priority=65000,in_port={number('pf0vf2')},cookie=0xbad"
    ofctl = ["ovs-ofctl", "-O", "OpenFlow15"]
    subprocess.run([*ofctl, "add-flow", bridge, f"{flow},actions=output:{number('pf0vf4')}"], check=True)
    try:
        sent = fleet.say_all(["blue2", "blue3", "red1"], kinds=[Kind.UNICAST])
        verdict = fleet.heard(sent, fleet.ground(unsteady=["blue2"]), words="sabotage")
    finally:
        subprocess.run([*ofctl, "del-flows", bridge, "cookie=0xbad/-1"], check=True)

    assert {pair for pair in verdict.pairs if pair[1] == "red1"} == {("blue2", "red1")}
    assert verdict.leaks
    assert all("blue2" in line and "heard at red1, which it is not for" in line for line in verdict.leaks)


def test_a_function_that_is_taken_from_its_vm_is_cut_off_and_comes_back_with_it(fleet):
    fleet.all_reached()
    fleet.give("pf0vf2", "00:00:00:00:00:00")
    try:
        eventually("it is unplugged", lambda: fleet.plugged().get("blue2") is None)
        ground = fleet.ground(unsteady=["blue2"])
        verdict = fleet.heard(fleet.say_all(), ground, words="a function without its VM")
    finally:
        fleet.give("pf0vf2", fleet.vms["blue2"].mac)

    assert told(verdict) == []
    assert not any("blue2" in pair for pair in verdict.pairs)
    eventually("it is plugged", lambda: fleet.plugged().get("blue2") == "pf0vf2")
    fleet.all_reached()


def test_without_its_agent_the_card_goes_on(fleet):
    fleet.all_reached()
    fleet.kill(host.AGENT)
    try:
        verdict = fleet.heard(fleet.say_all(), fleet.ground(), words="agent dead")
        eventually("its silence is said", lambda: "Card" in fleet.conditions("kvm2"))
    finally:
        session.restart_agent(fleet.place, fleet.card)

    assert told(verdict) == []
    eventually("it is heard again", lambda: "Card" not in fleet.conditions("kvm2"))


def test_a_card_that_dies_cuts_its_vms_off_and_nobody_else(fleet):
    fleet.all_reached()
    mine = [name for name, vm in fleet.vms.items() if vm.host == "kvm2"]
    with fleet.dead():
        began = time.monotonic()
        eventually("it is said", lambda: "Card" in fleet.conditions("kvm2"))
        said = time.monotonic() - began
        fleet.capture.take()

        verdict = fleet.heard(fleet.say_all(), fleet.ground(unsteady=mine), words="card dead")

        condition = fleet.conditions("kvm2")["Card"]
        assert "Card=false Silent" in condition
        assert told(verdict) == []
        assert not any(name in pair for pair in verdict.pairs for name in mine)
        assert "Card" not in fleet.conditions("kvm3")
    began = time.monotonic()
    fleet.all_reached()
    back = time.monotonic() - began
    fleet.tell(f"said after {said:.1f} s; back {back:.1f} s after it was started again")
    eventually("nothing is said of it any more", lambda: "Card" not in fleet.conditions("kvm2"))


def test_a_card_in_legacy_mode_is_said_with_what_to_do(fleet):
    fleet.devlink("dev", "eswitch", "set", dpu.CARD, "mode", "legacy")
    try:
        eventually("it is said", lambda: "CardReady=false" in fleet.conditions("kvm2")["CardReady"])
        said = fleet.conditions("kvm2")["CardReady"]
    finally:
        fleet.devlink("dev", "eswitch", "set", dpu.CARD, "mode", "switchdev")

    assert f"devlink dev eswitch set {dpu.CARD} mode switchdev" in said
    eventually("it is well", lambda: "CardReady=true" in fleet.conditions("kvm2")["CardReady"])
    fleet.all_reached()
