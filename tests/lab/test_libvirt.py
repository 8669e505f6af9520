# SPDX-License-Identifier: Apache-2.0
"""A real libvirtd and a real guest (emulated by QEMU) on one host of a lab: what the agent makes of them."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import pytest
import yaml

from anyvisor.drivers.libvirt.hypervisor import LibvirtHypervisor
from anyvisor.lab import daemon, down, guest, host, libvirtd, namespace, session, sitefile, topology_file, up
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import Place
from anyvisor.lab.programs import environment
from anyvisor.lab.progress import silent

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

MAC, ADDRESS, PEER = "52:54:00:00:09:01", "10.1.0.77", "10.1.0.13"
BOOT_SECONDS = 120


def eventually(what, true, seconds=30):
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


@dataclass
class Guested:
    """A lab whose kvm1 has nothing but a libvirtd with one guest on it."""

    place: Place
    product: object
    console: object

    def virsh(self, *arguments):
        argv = ["virsh", "-c", libvirtd.uri(self.place, "kvm1"), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True, env=environment()).stdout

    def listens(self):
        argv = ["virsh", "-c", libvirtd.uri(self.place, "kvm1"), "list"]
        return subprocess.run(argv, capture_output=True, check=False, env=environment()).returncode == 0

    def said(self, word):
        return [values for found, values in guest.said(self.console) if found == word]

    def port(self):
        return json.loads(self.product.run("explain", "guest1", "--json"))

    def driver(self):
        return LibvirtHypervisor(libvirtd.uri(self.place, "kvm1"), host="kvm1")

    def streaming(self):
        return session.measuring(self.place, session.flow(self.place, "web3", "guest1"))


def site_with_guest(place, topology):
    document = sitefile.document(place, topology, {})
    port = {"name": "guest1", "network": "web", "vm": "guest1", "host": "kvm1", "mac": MAC, "ips": [ADDRESS]}
    document["ports"].append({**port, "security_groups": ["web"]})
    path = place.folder / "site-guest.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def guested(product_of, options):
    place = Place(name="libvirt")
    down.down(place)
    whole = topology_file.load()
    topology = replace(
        whole,
        hosts=tuple(one for one in whole.hosts if one.name != "kvm3"),
        vms=tuple(vm for vm in whole.vms if vm.host == "kvm2"),
        variants={},
    )
    up.up(place, topology, options(agents=False), silent)
    try:
        recorder = Recorder(place.manifest)
        settings = place.part("kvm1") / "agent.toml"
        text = settings.read_text().replace('hypervisor = "listed"', 'hypervisor = "libvirt"')
        settings.write_text(f'{text}libvirt_uri = "{libvirtd.uri(place, "kvm1")}"\n')
        libvirtd.start(place, "kvm1", recorder)
        for one in topology.hosts:
            host.start_agent(place, one.name, recorder)
        serve = [sys.executable, "-m", "anyvisor", "--database", place.database, "serve"]
        daemon.start_detached(place, "central", "anyvisord", serve, recorder=recorder)
        console = place.part("kvm1") / "console"
        world = Guested(place=place, product=product_of(place), console=console)
        eventually("libvirtd listens", world.listens)
        image = guest.build(place.part("kvm1") / "image")
        machine = guest.Guest(name="guest1", mac=MAC, bridge="br-int", console=console, pings=(PEER,))
        definition = place.part("kvm1") / "guest1.xml"
        definition.write_text(guest.domain_xml(machine, image))
        world.product.run("apply", "-f", str(site_with_guest(place, topology)), "--wait", "60")
        world.virsh("create", str(definition))
        eventually("the guest is ready", lambda: world.said("ready"), BOOT_SECONDS)
        yield world
    finally:
        down.down(place)


def test_the_guest_gets_the_address_that_was_decided(guested):
    (lease,) = guested.said("lease")

    assert lease["ip"] == ADDRESS
    assert lease["router"] == "10.1.0.1"


def test_the_guest_reaches_a_vm_on_another_host(guested):
    (ping,) = guested.said("ping")

    assert ping["to"] == PEER
    assert int(ping["received"]) == int(ping["sent"]) > 0


def test_the_card_that_libvirt_plugged_is_bound_by_its_mac(guested):
    (vnic,) = guested.driver().vnics("kvm1")

    assert (vnic.mac, vnic.vm, vnic.port) == (MAC, "guest1", None)
    assert vnic.device is not None
    said = namespace.command(
        guested.place.namespace("kvm1"),
        [
            "ovs-vsctl",
            f"--db={guested.place.switch_database('kvm1')}",
            "get",
            "Interface",
            vnic.device,
            "external_ids",
        ],
    )
    marks = subprocess.run(said, capture_output=True, text=True, check=True, env=environment()).stdout
    assert "iface-id=guest1" in marks
    assert "ovn-installed" in marks


def test_libvirts_counters_are_the_yardstick_of_the_view(guested):
    (before,) = guested.driver().counters("kvm1").values()
    with guested.streaming():
        time.sleep(1)
    (after,) = guested.driver().counters("kvm1").values()

    sent = after.since(before)
    assert sent.tx_packets >= 50
    assert sent.rx_packets >= 50
    eventually("the view counts the guest", lambda: guested.product.host("kvm1")["bytes"] > 0)
    shown = guested.product.host("kvm1")
    assert shown["attached"] == shown["vnics"] == 1
    assert shown["controlled"] > 0.9


def test_the_host_is_reported_with_its_hypervisor_and_version(guested):
    (found,) = guested.driver().hosts().values()

    assert found.hypervisor == "kvm"
    assert found.version.count(".") == 2


def test_a_libvirtd_that_is_killed_cuts_nobody_off(guested):
    with guested.streaming() as measured:
        libvirtd.kill(guested.place, "kvm1")
        eventually(
            "the agent notices", lambda: "libvirt" in (guested.place.part("kvm1") / "agent.log").read_text()
        )
        time.sleep(2)
        libvirtd.start(guested.place, "kvm1", Recorder(guested.place.manifest))
        eventually("libvirtd listens again", guested.listens)

    # An emulated guest loses a packet now and then by itself; what must not be is that it is cut off.
    assert all(found.longest_gap_ms < 1500 for found in measured.outages), measured.outages
    eventually("the port is ready", lambda: "Ready=true" in str(guested.port()["conditions"]))


def test_a_guest_that_ends_is_unplugged_and_the_port_waits_for_it(guested):
    guested.virsh("destroy", "guest1")

    eventually("the port waits", lambda: "WaitsForVnic" in str(guested.port()["conditions"]))
