# SPDX-License-Identifier: Apache-2.0
"""One tag per network on the inner switch: neighbours talk around the appliances and are named; with real packets."""

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from anyvisor.cli.view import current_view
from anyvisor.lab import down, namespace, report, session, topology_file, up
from anyvisor.lab.esxi import appliance, centre
from anyvisor.lab.place import Place
from anyvisor.lab.progress import silent
from anyvisor.view.coverage import to_json

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
NEIGHBOURS = {frozenset(pair) for pair in (("web1", "web2"), ("web1", "web3"), ("web2", "web3"))}


def wrong(found):
    return [report.in_words(failure) for failure in found.failures]


def eventually(what, true, seconds=40):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


class Lab:
    def __init__(self, place, product):
        self.place, self.product = place, product
        self.vcenter = centre.control(place)

    def state(self):
        return session.state_of(self.place)

    def behind(self):
        return [a for a in self.state().attachments.values() if a.host in {"esx1", "esx2"}]

    def check(self):
        return session.check(self.place, silent)

    def view(self):
        return to_json(current_view(session.settings_of(self.place)))

    def escapes(self):
        return {frozenset((pair["from"], pair["to"])): pair for pair in self.view()["escapes"]}

    def controlled(self, name):
        return next(host["controlled"] for host in self.view()["hosts"] if host["host"] == name)

    def is_ready(self):
        state = self.state()
        return all(any(c.true for c in state.conditions.get(("port", a.port), ())) for a in self.behind())


@pytest.fixture(scope="module")
def lab(product_of, options):
    place = Place(name=f"g{os.getpid()}")
    up.up(place, topology_file.load("tags"), options(), silent)
    try:
        product = product_of(place)
        with product.serving():
            product.apply()
            yield Lab(place, product)
    finally:
        down.down(place)


def test_a_network_has_one_tag_per_cluster(lab):
    by_network = {(a.network, a.vlan) for a in lab.behind()}

    assert len(by_network) == len({network for network, _ in by_network}) == 2
    serving = {(a.network, a.host): a.appliance for a in lab.behind()}
    assert {(a.network, a.host, a.appliance) for a in lab.behind()} == {(*k, n) for k, n in serving.items()}
    assert set(serving.values()) == {1, 2}


def test_every_packet_does_what_was_planned_and_none_comes_twice(lab):
    found = lab.check()

    assert wrong(found) == []
    assert found.duplicates == {}
    around = [check for check in found.results if check.check.expected.unenforced]
    assert {frozenset((c.check.source, c.check.target)) for c in around} <= NEIGHBOURS
    assert around, "a rule that nobody enforces was tried"


def test_tunnels_know_the_card_that_carries_them_though_management_shares_its_segment(lab):
    macs = {part: mac_of(lab.place, part) for part in (*appliance.parts(lab.place), "kvm1")}
    known = {part: neighbours(lab.place, part) for part in macs}

    assert len(known) == 5
    for part, learned in known.items():
        assert len(learned) == 4, f"{part} has sent to all others"
        assert set(learned.values()) == {mac for other, mac in macs.items() if other != part}


def mac_of(place, part):
    said = namespace.command(place.namespace(part), ["ip", "-json", "link", "show", "br-ex"])
    return json.loads(subprocess.check_output(said))[0]["address"]


def neighbours(place, part):
    """MACs by address, as the tunnels of a switch in user space know them."""
    control = place.part(part) / "run" / "ovs-vswitchd.ctl"
    said = subprocess.check_output(["ovs-appctl", "-t", str(control), "tnl/neigh/show"], text=True)
    rows = [line.split() for line in said.splitlines() if line.startswith("192.168.77.")]
    return {address: mac for address, mac, _ in rows}


def test_exactly_the_neighbours_are_named_and_what_they_say_is_measured(lab):
    flows = [
        session.flow(lab.place, "web1", "web2", port=53),
        session.flow(lab.place, "web4", "kweb", port=53),
    ]
    with session.measuring(lab.place, *flows) as measured:
        time.sleep(3)
    assert [found.duplicates for found in measured.outages] == [0, 0]

    assert set(lab.escapes()) == NEIGHBOURS
    eventually(
        "the escape of web1 and web2 is measured",
        lambda: (lab.escapes()[frozenset(("web1", "web2"))]["escaped_share"] or 0) > 0.5,
    )
    eventually("nothing of esx2 escapes", lambda: lab.controlled("esx2") > 0.95)
    assert lab.controlled("esx1") < 0.9
    told = lab.product.run("explain", "web2")
    assert "not towards web1, web3" in told


def test_a_vm_moves_between_neighbours_and_keeps_its_tag(lab, capsys):
    tag = lab.state().attachments["web3"].vlan
    flows = [session.flow(lab.place, "web1", "web3"), session.flow(lab.place, "web4", "web3")]

    lab.vcenter.set(vmotion_seconds=2)
    with session.measuring(lab.place, *flows) as measured:
        lab.vcenter.vm("web3", move_to="esx2")
        eventually("web3 on esx2", lambda: lab.state().attachments["web3"].host == "esx2")
        time.sleep(2)

    with capsys.disabled():
        for found in measured.outages:
            sys.stdout.write(f"\n    {found}")
    assert {found.duplicates for found in measured.outages} == {0}
    assert max(found.longest_gap_ms for found in measured.outages) < 5000
    assert lab.state().attachments["web3"].vlan == tag
    eventually("all are ready", lab.is_ready)
    assert set(lab.escapes()) == {frozenset(("web1", "web2")), frozenset(("web3", "web4"))}
    assert wrong(lab.check()) == []


def test_back_to_a_tag_per_vnic_nothing_escapes_any_more(lab):
    path = lab.place.site()
    site = yaml.safe_load(path.read_text())
    site["policy"]["appliance"]["tags"] = "vnic"
    path.write_text(yaml.safe_dump(site))

    lab.product.apply()

    eventually("every vNIC is alone", lambda: lab.escapes() == {} and lab.is_ready(), seconds=60)
    assert len({a.vlan for a in lab.behind()}) == len(lab.behind())
    found = lab.check()
    assert wrong(found) == []
    assert found.duplicates == {}
