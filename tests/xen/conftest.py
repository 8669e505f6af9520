# SPDX-License-Identifier: Apache-2.0
"""One lab with a KVM host and an emulated Xen host, shared by all tests of this folder, which run in their order. A
second Xen host joins for those that want it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from anyvisor.errors import UnreachableError
from anyvisor.lab import daemon, down, guest, namespace, session, sitefile, topology_file, up
from anyvisor.lab.manifest import Recorder
from anyvisor.lab.place import DATABASE_PORT, Place
from anyvisor.lab.progress import silent
from anyvisor.lab.xen import domains
from anyvisor.lab.xen.machine import XenHost, XenMachine

BASE = Path(__file__).parents[2] / ".cache" / "xen"
ADDRESS, APPLIANCE, SECOND = "192.168.77.41", "192.168.77.42", "192.168.77.43"
DATABASE = f"tcp:192.168.77.1:{DATABASE_PORT}"
GUESTS = {"g1": ("00:16:3e:00:00:11", "10.1.0.61"), "g2": ("00:16:3e:00:00:12", "10.1.0.62")}
LEASE_SECONDS = 240
"""A guest boots in the emulated machine in about half a minute, two at once on a busy one in two."""


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            if "tests/xen" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="needs root; `make test-xen` arranges that"))


class Xen:
    """The lab, its Xen host, and the product's commands outside of both."""

    guests = GUESTS

    def __init__(self, place, machine, topology):
        self.place, self.machine, self.topology = place, machine, topology
        self.machines = [machine]
        self.facts = {}
        self.environment = {**os.environ, "ANYVISOR_DATABASE": place.database}

    def eventually(self, what, true, seconds=60):
        give_up = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < give_up, f"after {seconds} s still not: {what}{self.agents_words()}"
            time.sleep(0.5)

    def anyvisor(self, *arguments):
        argv = [sys.executable, "-m", "anyvisor", *arguments]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + self.agents_words()
        return done.stdout

    def agents_words(self):
        words = ""
        for machine in self.machines:
            words += f"\n--- agent in dom0 of {machine.name}\n"
            try:
                words += machine.order("tail", "-n", "40", "/var/log/anyvisor.log").said
            except UnreachableError:
                words += "(it does not answer)"
        return words

    def apply(self, scheme, wait=180, guests=GUESTS):
        return self.anyvisor("apply", "-f", str(self.written(scheme, guests)), "--wait", str(wait))

    def begin(self, scheme):
        """Apply, and do not wait: what is asked for cannot be ready yet."""
        argv = [sys.executable, "-m", "anyvisor", "apply", "-f", str(self.written(scheme)), "--wait", "1"]
        subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)

    def written(self, scheme, guests=GUESTS):
        path = self.place.folder / f"site-{scheme}.yaml"
        path.write_text(yaml.safe_dump(self.site(scheme, guests), sort_keys=False))
        return path

    def site(self, scheme, guests=GUESTS):
        """The lab's own site, and the Xen host beside kvm1 as the lab's host with a Linux bridge is."""
        bridged = topology_file.load().host("kvm3")
        hosts = [
            replace(bridged, name=machine.name, ip=machine.ip, nics=bridged.nics[:2])
            for machine in self.machines
        ]
        topology = replace(self.topology, hosts=(*self.topology.hosts, *hosts))
        document = sitefile.document(self.place, topology, {})
        for entry in document["hosts"]:
            if entry["name"] in {machine.name for machine in self.machines}:
                entry |= {"hypervisor": "xen", "version": "4.17", "scheme": scheme}
                if scheme == "appliance":
                    entry["tunnel_ip"] = APPLIANCE
                if self.facts:
                    entry["facts"] = {**entry.get("facts", {}), **self.facts}
                entry["switches"] = [{**switch, "name": "xenbr0"} for switch in entry["switches"]]
        for name, (mac, address) in guests.items():
            port = {"name": name, "network": "web", "vm": name, "host": "xen1", "mac": mac, "ips": [address]}
            document["ports"].append({**port, "security_groups": ["web"]})
        return document

    def install_agent(self, machine=None):
        self.installed = domains.install_agent(machine or self.machine, DATABASE)

    def start_agent(self, machine=None):
        domains.start_agent(machine or self.machine)

    def join(self, machine):
        """Let another Xen host have its agent, and stand in the site from now on."""
        self.install_agent(machine)
        self.start_agent(machine)
        self.machines.append(machine)

    def create(self, name, *pings, talk=None, served="bridge=xenbr0"):
        mac, _ = GUESTS[name]
        words = ["console=hvc0", "quiet", "net.ifnames=0", "anyvisor.serve=80", "anyvisor.serve=81"]
        words += [f"anyvisor.talk={talk}"] if talk else []
        words += [f"anyvisor.ping={address}" for address in pings]
        lines = [
            f'name="{name}"',
            'type="pv"',
            'kernel="/payload/guest/kernel"',
            'ramdisk="/payload/guest/ramdisk"',
            f'extra="{" ".join(words)}"',
            "memory=160",
            "vcpus=1",
            f"vif=['mac={mac},script=vif-anyvisor,{served}']",
        ]
        self.machine.write(f"/etc/xen/{name}.cfg", "\n".join(lines) + "\n")
        # What an earlier guest of that name has said is not this one's.
        self.machine.do("rm", "-f", f"/var/log/xen/console/guest-{name}.log")
        self.machine.do("xl", "create", f"/etc/xen/{name}.cfg", seconds=180)

    def create_appliance(self):
        domains.create_appliance(self.machine, self.state().owner)
        self.trunk = f"vif{self.domain('appliance')}.1"

    def create_driver_domain(self):
        domains.create_driver_domain(self.machine)

    def domain(self, name, machine=None):
        """The number of the running domain of that name."""
        return int((machine or self.machine).do("xl", "domid", name))

    def runs(self, name):
        return self.machine.order("xl", "domid", name).status == 0

    def state(self):
        return session.state_of(self.place)

    def conditions(self):
        return {c.partition("=")[0]: c for c in self.host()["conditions"]}

    def said(self, name, word):
        """What a guest has said of that word on its console, which dom0 logs, since it was last switched on."""
        text = self.machine.order("cat", f"/var/log/xen/console/guest-{name}.log").said
        copy = self.place.folder / f"console-{name}"
        copy.write_text(text)
        return [values for found, values in guest.said(copy) if found == word]

    def await_lease(self, name):
        self.eventually(f"{name} has a lease", lambda: self.said(name, "lease"), LEASE_SECONDS)
        return self.said(name, "lease")[-1]

    def view(self):
        return json.loads(self.anyvisor("view", "--json"))

    def host(self, name="xen1"):
        return next(host for host in self.view()["hosts"] if host["host"] == name)

    def connects(self, source, address, port):
        """Whether a TCP connection from a VM of the KVM side is accepted."""
        argv = ["busybox", "nc", "-w", "3", address, str(port), "-e", "true"]
        inside = namespace.command(self.place.namespace(source), argv)
        return (
            subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
        )

    def pings(self, source, address, count=3, size=56):
        argv = ["busybox", "ping", "-c", str(count), "-W", "2", "-s", str(size), address]
        inside = namespace.command(self.place.namespace(source), argv)
        return subprocess.run(inside, capture_output=True, check=False).returncode == 0

    def streaming(self, source, target):
        return session.measuring(self.place, session.flow(self.place, source, target))

    def marks(self, device):
        return self.machine.do("ovs-vsctl", "get", "Interface", device, "external_ids")

    def kill_agent(self):
        self.machine.do("pkill", "-KILL", "-f", "anyvisor -v agent")


@pytest.fixture(scope="session")
def xen():
    place = Place(name="xen")
    down.down(place)
    whole = topology_file.load()
    topology = replace(
        whole,
        hosts=tuple(host for host in whole.hosts if host.name == "kvm1"),
        vms=tuple(vm for vm in whole.vms if vm.host == "kvm1"),
        variants={},
    )
    up.up(place, topology, up.Options(), silent)
    try:
        recorder = Recorder(place.manifest)
        machine = XenMachine(
            place,
            XenHost(address=f"{ADDRESS}/24", appliance=f"{APPLIANCE}/24", database=DATABASE),
            topology.underlay,
            up.programs_of(place, None),
            BASE,
        )
        begin = time.monotonic()
        machine.start(recorder)
        machine.await_orders()
        sys.stderr.write(f"\n    dom0 takes orders after {time.monotonic() - begin:.0f} s\n")
        serve = [sys.executable, "-m", "anyvisor", "-v", "--database", place.database, "serve"]
        daemon.start_detached(place, "central", "anyvisord", serve, recorder=recorder)
        world = Xen(place, machine, topology)
        world.install_agent()
        world.start_agent()
        yield world
    finally:
        down.down(place)


@pytest.fixture(scope="session")
def second(xen):
    """Another Xen host of the same lab, with an agent, in the site."""
    machine = XenMachine(
        xen.place,
        XenHost(number=2, address=f"{SECOND}/24"),
        xen.topology.underlay,
        up.programs_of(xen.place, None),
        BASE,
    )
    machine.start(Recorder(xen.place.manifest))
    machine.await_orders()
    xen.join(machine)
    return machine
