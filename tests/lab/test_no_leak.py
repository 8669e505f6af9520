# SPDX-License-Identifier: Apache-2.0
"""No frame goes from one vNIC of an ESXi host to another but through the appliance: heard on every card of the lab.

Each test is done on two clusters at once: the inner switch of one learns MAC addresses, that of the other cannot.
"""

import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count, cycle, permutations
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from anyvisor import wiring
from anyvisor.cli.plan import complete
from anyvisor.codec.site import parse_site
from anyvisor.contracts.store import Decision
from anyvisor.lab import down, leak, session, topology_file, up
from anyvisor.lab.capture import Capture, Mouth
from anyvisor.lab.esxi import centre
from anyvisor.lab.frame import Card, Kind, build
from anyvisor.lab.leak import Ground, Sent
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.lab.vcenter.client import Fault
from anyvisor.model.kinds import AttachmentKind
from anyvisor.planner import seats
from anyvisor.planner.allocate import REST_SECONDS

pytest.importorskip("pyVmomi")
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]

FULL = ("esx1", "esx3")
"""The hosts with most VMs, one of each cluster; the VMs that come later are theirs."""
NEWCOMERS = {"new1": "blue1", "new2": "blue2"}
"""Who comes later, and whose tag it is to get."""
NATIVE_LAN = 205
PACE_SECONDS, FLOOD_SECONDS = 0.003, 0.01
"""Between two frames. Each is handled by a dozen switches, all on the same few cores."""
QUIET_SECONDS = 0.7
ABOUT = re.compile(r", (\w+) at .* heard .*at (\w+),")
PAST = re.compile(r", (\w+) at .* heard .*at (\w+), but 0 times came out")
"""Who was heard, and where; of a frame that did not come out of the trunk at all."""
_TOKENS = count(1)


class Fleet:
    """The lab with a daemon at work in it, an ear on every card, and a mouth in every VM."""

    def __init__(self, place, topology, product, store, capture, tell):
        self.place, self.topology, self.product = place, topology, product
        self.store, self.capture, self.tell = store, capture, tell
        self.vcenter = centre.control(place)
        self.vms = {vm.name: vm for vm in topology.vms}
        self.mouths = {name: Mouth(place, name, "eth0") for name in self.vms}
        self.ledger = defaultdict(set), defaultdict(set)
        self.tags = {}
        self.seen = []
        self.daemon = None

    def close(self):
        for mouth in self.mouths.values():
            mouth.close()

    # the product

    def start(self):
        argv = [sys.executable, "-m", "anyvisor", "-v", "--database", self.place.database, "serve"]
        with (self.place.folder / "anyvisord.log").open("a") as log:
            self.daemon = subprocess.Popen(argv, stderr=log)

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()

    def state(self):
        """The newest picture; what it says of tags and hosts is noted."""
        state = self.store.snapshot()
        tags, hosts = self.ledger
        for name, attachment in state.attachments.items():
            hosts[name] |= {attachment.host}
            if attachment.kind is AttachmentKind.VLAN_ACCESS:
                tags[name] |= {attachment.vlan}
                self.tags[name] = attachment.vlan
        return state

    def site(self, *left_out):
        """The text of the site file, without these ports."""
        site = yaml.safe_load(self.place.site().read_text())
        site["ports"] = [port for port in site["ports"] if port["name"] not in left_out]
        return yaml.safe_dump(site)

    def apply(self, *left_out):
        """Write the intent, as the command does, and wait for it. The command's own start would take the longest."""
        whole, _ = complete(parse_site(self.site(*left_out)), self.state())
        self.store.write_site(whole)
        eventually(f"nobody but {left_out} is in its place", lambda: self.has_all_but(left_out), seconds=120)

    def has_all_but(self, left_out):
        return self.is_whole() and self.state().attachments.keys() == self.vms.keys() - set(left_out)

    def on(self, *hosts):
        return sorted(name for name, a in self.state().attachments.items() if a.host in hosts)

    def tag(self, name):
        attachment = self.state().attachments.get(name)
        inside = attachment is not None and attachment.kind is AttachmentKind.VLAN_ACCESS
        return attachment.vlan if inside else None

    def out(self, host):
        return self.state().hosts[host].out

    def appliance(self, host, number):
        owner = self.state().owner[:8]
        return f"av-{owner}-{host}" + (f"-{number}" if number > 1 else "")

    def group(self, port):
        return f"av-{self.state().owner[:8]}-{port}"

    def appliances(self):
        return {
            self.appliance(host.name, number): host.name for host in self.topology.hosts for number in (1, 2)
        }

    def dies(self, host, *numbers):
        """It stays dead until `may_boot`."""
        for number in numbers:
            self.vcenter.vm(self.appliance(host, number), power="dies")

    def none_boots(self):
        self.vcenter.inject(Fault(method="PowerOnVM_Task", fault="InvalidState", count=-1))

    def may_boot(self):
        self.vcenter.clear_faults()

    def is_whole(self):
        """Whether every vNIC is in its place behind the appliance that serves it when all are alive."""
        state = self.state()
        for name, a in state.attachments.items():
            fallback, plugged = state.site.networks[a.network].fallback, state.plugged.get(name)
            ready = any(c.true for c in state.conditions.get(("port", name), ()))
            served = a.appliance == seats.serving(name, a.host, (1, 2), (), fallback)
            inside = a.kind is AttachmentKind.VLAN_ACCESS and plugged is not None and plugged.card is not None
            if not (ready and served and inside):
                return False
        return not any(host.duties for host in state.hosts.values()) and self.trunks_are_connected()

    def trunks_are_connected(self):
        ours = [vm for vm in self.vcenter.state().vms if vm.name in self.appliances()]
        return len(ours) == 8 and all(vm.running and vm.nics[-1].connected for vm in ours)

    def settle(self):
        """Wait until everything is in its place, the frames do what vCenter says, and everybody has heard everybody:
        that OVN calls a port up does not say that all the other chassis know it already.
        """
        eventually("everything is in its place", self.is_whole, seconds=120)
        centre.await_settled(self.place, seconds=60)
        self.listen()
        begun = time.monotonic()
        eventually("everybody is heard", self.all_are_heard, seconds=120)
        self.tell(f"everybody is heard {time.monotonic() - begun:.1f} s after all was in its place")

    def all_are_heard(self):
        sent = self.say_all(sorted(self.state().attachments), kinds=[Kind.UNICAST])
        give_up = time.monotonic() + 2
        while time.monotonic() < give_up:
            if not leak.judge(sent, self.gather(), self.ground()).losses:
                return True
            time.sleep(0.1)
        return False

    # frames

    def say(self, kind, sender, victim):
        """Send one frame; None if the sender's card is down."""
        cards = [
            Card(mac=self.vms[name].mac, ip=self.vms[name].ips[0], tag=self.tags.get(name, 0))
            for name in (sender, victim)
        ]
        one = Sent(token=next(_TOKENS), kind=kind, sender=sender, victim=victim)
        return one if self.mouths[sender].say(build(kind, one.token, *cards)) else None

    def say_all(self, names, kinds=tuple(Kind)):
        """Every kind of frame between every ordered pair."""
        sent = []
        for sender, victim in permutations(names, 2):
            for kind in kinds:
                sent.append(self.say(kind, sender, victim))
                time.sleep(PACE_SECONDS)
        assert None not in sent
        return sent

    def gather(self):
        """Everything that was heard since the scene began."""
        self.seen.extend(self.capture.take())
        return self.seen

    def listen(self):
        self.capture.listen([*self.vms, *(host.name for host in self.topology.hosts), *self.appliances()])

    @contextmanager
    def scene(self):
        """Yields what a scene heard, when it is over: everything since its beginning."""
        self.listen()
        self.gather()
        self.seen.clear()
        self.ledger = defaultdict(set), defaultdict(set)
        self.state()
        yield self

    @contextmanager
    def flooding(self, names):
        """Every kind of frame between these, over and over, until the context ends."""
        flood = Flood(self, names)
        flood.thread.start()
        try:
            yield flood
        finally:
            flood.stop.set()
            flood.thread.join()

    def ground(self, *, unsteady=(), escapes=frozenset(), at_home=(), fallen=()):
        self.state()
        tags, hosts = self.ledger
        ways_out = defaultdict(set)
        homes = {group.name: group.vlan for group in self.topology.vcenter.port_groups}
        for name in at_home:
            ways_out[name] |= {homes[self.vms[name].port_group]}
        for name in fallen:
            ways_out[name] |= {NATIVE_LAN}
        return Ground(
            networks={name: vm.network if name in hosts else name for name, vm in self.vms.items()},
            hosts=frozen(hosts),
            tags=frozen(tags),
            appliances=self.appliances(),
            ways_out=frozen(ways_out),
            escapes=escapes,
            unsteady=frozenset(unsteady),
        )

    def heard(self, sent, ground, *, words):
        """The verdict on all that was sent, once everything has arrived."""

        def nothing_is_lost():
            quiet = self.capture.silent_for() > QUIET_SECONDS
            return quiet and not leak.judge(sent, self.gather(), ground).losses

        with suppress(AssertionError):  # what is lost is said below
            eventually("all has arrived", nothing_is_lost, seconds=15)
        assert self.capture.lost() == 0, "the capture could not keep up: nothing is proven"
        verdict = leak.judge(sent, self.gather(), ground)
        self.tell(f"{words}: {verdict}")
        return verdict


class Flood:
    """In each round every one sends every kind, if there are as many others; no pair keeps to one kind."""

    def __init__(self, fleet, names):
        self.fleet, self.pairs = fleet, list(permutations(names, 2))
        self.sent, self.tried, self.stop = [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        kinds = cycle(Kind)
        while True:
            for sender, victim in self.pairs:
                if self.stop.is_set():
                    return
                one = self.fleet.say(next(kinds), sender, victim)
                self.sent.extend([one] if one is not None else [])
                self.tried += 1
                time.sleep(FLOOD_SECONDS)
            next(kinds)

    def round(self):
        """Wait until all pairs have had a whole turn from now on."""
        until = self.tried + len(self.pairs)
        eventually("a round is sent", lambda: self.tried >= until)


def frozen(sets):
    return {name: frozenset(values) for name, values in sets.items()}


def eventually(what, true, seconds=90):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


def told(verdict):
    """All that should not be, not too much of it."""
    return [line for found in (verdict.leaks, verdict.duplicates, verdict.losses) for line in found[:5]]


@pytest.fixture(scope="module")
def fleet(product_of, options, request):
    place = Place(name=f"n{os.getpid()}")
    topology = topology_file.load(str(Path(__file__).with_name("no_leak.yaml")))
    capturing = request.config.pluginmanager.getplugin("capturemanager")

    def tell(figure):
        with capturing.global_and_fixture_disabled():
            sys.stdout.write(f"\n    {figure}")

    up.up(place, topology, options(), silent)
    try:
        with wiring.open_store(session.settings_of(place)) as store, Capture(place) as capture:
            one = Fleet(place, topology, product_of(place), store, capture, tell)
            one.start()
            try:
                path = place.folder / "first.yaml"
                path.write_text(one.site(*NEWCOMERS))
                one.product.run("apply", "-f", str(path), "--wait", "120")
                yield one
            finally:
                one.stop()
                one.close()
    finally:
        down.down(place)


@pytest.fixture(autouse=True)
def whole(fleet):
    """Each test finds everything in its place."""
    fleet.may_boot()
    fleet.settle()


def test_every_kind_of_frame_between_all_vnics_takes_the_way_through_the_appliance(fleet):
    groups = {g.name: g for g in fleet.vcenter.state().port_groups if g.name.endswith("+trunk")}
    assert sorted((g.mac_learning, g.security.promiscuous) for g in groups.values()) == [
        (False, True),
        (True, False),
    ]

    with fleet.scene():
        sent = fleet.say_all(fleet.on("esx1", "esx2", "esx3", "esx4"))
        verdict = fleet.heard(sent, fleet.ground(), words="steady")

    assert told(verdict) == []
    assert verdict.heard > 0


def test_two_vnics_that_somebody_put_into_one_group_are_found_out(fleet):
    """The check can fail: a leak that was made by hand, while the product is stopped, is reported as one."""
    joined = {"blue1": "red1", "blue2": "red4"}

    fleet.stop()
    try:
        for one, other in joined.items():
            plug_by_hand(fleet, one, fleet.group(other))
        centre.await_settled(fleet.place, seconds=60)
        with fleet.scene():
            sent = fleet.say_all(fleet.on(*FULL), kinds=[Kind.UNICAST, Kind.BROADCAST])
            verdict = fleet.heard(sent, fleet.ground(unsteady=joined), words="sabotage")
    finally:
        fleet.start()

    found = {match.groups() for line in verdict.leaks if (match := PAST.search(line))}
    assert found >= {*joined.items(), *((other, one) for one, other in joined.items())}
    for line in verdict.leaks:
        sender, hearer = ABOUT.search(line).groups()
        assert {sender, hearer} & joined.keys(), line


def plug_by_hand(fleet, name, group):
    """What an operator does with his own client."""
    where = urlsplit(centre.url(fleet.place, fleet.topology))
    user, _, password = centre.credentials(fleet.place).read_text().strip().partition(":")
    trust = ssl.create_default_context(cafile=centre.certificate(fleet.place))
    si = SmartConnect(host=where.hostname, port=where.port, user=user, pwd=password, sslContext=trust)
    kinds = [vim.VirtualMachine, vim.dvs.DistributedVirtualPortgroup]
    view = si.content.viewManager.CreateContainerView(si.content.rootFolder, kinds, True)
    found = {one.name: one for one in view.view}
    card = next(
        d for d in found[name].config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard)
    )
    switch, key = found[group].config.distributedVirtualSwitch, found[group].key
    port = vim.dvs.PortConnection(switchUuid=switch.uuid, portgroupKey=key)
    card.backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
    WaitForTask(found[name].ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])), si=si)
    Disconnect(si)
    si._stub.DropConnections()


def test_a_tag_that_passes_to_another_vnic_joins_nobody(fleet):
    old = {holder: fleet.tag(holder) for holder in NEWCOMERS.values()}
    moving = {*NEWCOMERS, *NEWCOMERS.values()}
    names = [*fleet.on(*FULL), *NEWCOMERS]

    with fleet.scene(), fleet.flooding(names) as flood:
        fleet.apply(*moving)
        eventually("their tags rest", lambda: all(resting(fleet, h) for h in old))
        rested = {
            key: replace(tag, released=tag.released - REST_SECONDS)
            for key, tag in fleet.state().tags.items()
            if tag.holder in old and tag.released
        }
        fleet.store.decide(Decision(tags=rested))
        fleet.apply(*old)
        taken = {name: fleet.tag(name) for name in NEWCOMERS}
        fleet.apply()
        again = {holder: fleet.tag(holder) for holder in old}
        fleet.settle()
        flood.round()
    verdict = fleet.heard(flood.sent, fleet.ground(unsteady=moving, at_home=moving), words="tags pass on")

    assert taken == {name: old[holder] for name, holder in NEWCOMERS.items()}
    assert all(again[holder] != old[holder] for holder in old)
    assert told(verdict) == []
    assert {("red1", "new1"), ("new1", "red1"), ("red4", "new2"), ("new2", "red4")} <= verdict.pairs


def resting(fleet, holder):
    tags = [tag for tag in fleet.state().tags.values() if tag.holder == holder]
    return bool(tags) and all(tag.released for tag in tags)


def test_a_vm_that_moves_is_heard_through_the_appliances_of_both_hosts_alone(fleet):
    fleet.vcenter.set(vmotion_seconds=2)
    there, back = {"red2": "esx2", "red5": "esx4"}, {"red2": "esx1", "red5": "esx3"}
    names = fleet.on("esx1", "esx2", "esx3", "esx4")

    with fleet.scene(), fleet.flooding(names) as flood:
        for way in (there, back):
            for name, host in way.items():
                fleet.vcenter.vm(name, move_to=host)
            eventually("they have moved", lambda way=way: all(settled(fleet, *one) for one in way.items()))
            flood.round()
    verdict = fleet.heard(flood.sent, fleet.ground(unsteady=there), words="vMotion")

    assert told(verdict) == []
    assert {("red1", "red2"), ("red3", "red2"), ("red4", "red5"), ("red6", "red5")} <= verdict.pairs


def settled(fleet, name, host):
    state = fleet.state()
    attachment, moves = state.attachments[name], state.moves.get(name, ())
    over = bool(moves) and moves[-1].over and moves[-1].target == host
    return over and attachment.host == host and not attachment.staged


def test_an_appliance_that_comes_back_passes_nothing_before_its_time(fleet):
    numbers = {
        host: fleet.state().attachments[name].appliance
        for host, name in zip(FULL, ("red1", "red4"), strict=True)
    }
    names = fleet.on(*FULL)

    fleet.none_boots()
    with fleet.scene(), fleet.flooding(names) as flood:
        flood.round()
        for host, number in numbers.items():
            fleet.dies(host, number)
        eventually("they are known to be dead", lambda: all(fleet.out(h) == {n} for h, n in numbers.items()))
        dead = time.monotonic()
        flood.round()
        fleet.may_boot()
        watched = {host: Return() for host in FULL}
        eventually(
            "they serve again", lambda: sum(watched[h].look(fleet, h, n) for h, n in numbers.items()) == 2
        )
        back = time.monotonic()
        fleet.settle()
        flood.round()
    verdict = fleet.heard(flood.sent, fleet.ground(unsteady=names), words="appliances come back")

    assert told(verdict) == []
    for host, number in numbers.items():
        assert watched[host].began is not None, "it was never seen to run while it was out"
        trunk = [
            one.when
            for one in fleet.seen
            if one.part == fleet.appliance(host, number) and one.card == "trunk0"
        ]
        fenced = [when for when in trunk if dead < when < watched[host].fenced]
        fleet.tell(
            f"{host}: appliance {number} ran for {watched[host].fenced - watched[host].began:.1f} s behind its fence: "
            f"{len(fenced)} frames at its trunk, {sum(when > back for when in trunk)} afterwards"
        )
        assert fenced == []
        assert [when for when in trunk if when > back]


class Return:
    """When an appliance was first seen to run while it may not serve, and when last."""

    def __init__(self):
        self.began = self.fenced = None

    def look(self, fleet, host, number):
        """Whether it serves again."""
        now = time.monotonic()
        duty = fleet.state().hosts[host].duties.get(number)
        if duty is not None and duty.out:
            self.fenced = now
            if "both witnesses find it alive" in duty.message:
                self.began = self.began or now
        return duty is None or not duty.out


def test_without_any_appliance_only_the_escapes_that_are_named_are_heard(fleet):
    cut = fleet.on(*FULL)
    lans = [name for name in cut if fleet.vms[name].network == "lan"]
    pairs = frozenset(frozenset(pair) for pair in permutations(lans, 2))

    fleet.none_boots()
    with fleet.scene(), fleet.flooding(fleet.on("esx1", "esx2", "esx3", "esx4")) as flood:
        flood.round()
        for host in FULL:
            fleet.dies(host, 1, 2)
        eventually("all are known to be dead", lambda: all(fleet.out(host) == {1, 2} for host in FULL))
        eventually("lan is on the native switch", lambda: all(fallen(fleet, name) for name in lans))
        flood.round()
    ground = fleet.ground(unsteady=cut, escapes=pairs, at_home=lans, fallen=lans)
    falling = fleet.heard(flood.sent, ground, words="appliances die")
    with fleet.scene():
        view = fleet.product.view()
        sent = fleet.say_all(fleet.on("esx1", "esx2", "esx3", "esx4"))
        ground = fleet.ground(unsteady=set(cut) - set(lans), escapes=pairs, fallen=lans)
        dead = fleet.heard(sent, ground, words="all appliances of two hosts are dead")

    assert told(falling) == []
    assert told(dead) == []
    named = {frozenset((pair["from"], pair["to"])) for pair in view["escapes"]}
    assert named == pairs
    assert {frozenset(pair) for pair in dead.pairs if set(pair) & set(cut)} == named
    silent_ones = {fleet.appliance(host, number) for host in FULL for number in (1, 2)}
    assert [one for one in fleet.seen if one.part in silent_ones and one.card == "trunk0"] == []


def fallen(fleet, name):
    state = fleet.state()
    attachment, plugged = state.attachments[name], state.plugged.get(name)
    return attachment.kind is AttachmentKind.EXTERNAL and plugged is not None and plugged.card is not None
