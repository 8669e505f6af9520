# SPDX-License-Identifier: Apache-2.0
"""A host with a Linux bridge, two VMs on it, and an agent that turns it into an Open vSwitch host."""

from dataclasses import replace

import pytest

from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, SwitchKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.site import Controller, Site
from anyvisor.model.state import State
from anyvisor.model.vnic import Vnic
from anyvisor.planner.chassis import OWNER
from anyvisor.planner.conversion import Address, HostBridge, Route
from anyvisor.reconcile.conversion import Conversion, Grounds
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.patience import Patience
from anyvisor.testing.host import FakeDaemons, FakeHost, FakeHostNetwork, FakeSurroundings
from anyvisor.testing.hypervisor import FakeHypervisor
from anyvisor.testing.memory import DictMemory

HOST = HostName("kvm1")
INSTALLATION = "0f0f"
SOUTHBOUND, DATABASE = "tcp:192.0.2.1:6642", "ssl:198.51.100.7:6640"
BRIDGE = HostBridge(
    name="br0",
    mac=Mac("52:54:00:00:00:aa"),
    mtu=1450,
    members=("eth0", "tap1", "tap2"),
    addresses=(
        Address(address="192.0.2.11", prefix_length=24, broadcast="192.0.2.255"),
        Address(address="2001:db8::11", prefix_length=64),
    ),
    routes=(
        Route(family=2, destination=None, gateway="192.0.2.254"),
        Route(family=10, destination=None, gateway="2001:db8::1", metric=1024),
    ),
)
VMS = {"vm1": ("52:54:00:00:00:01", "tap1"), "vm2": ("52:54:00:00:00:02", "tap2")}


class CountedHypervisor(FakeHypervisor):
    def __init__(self, faults):
        super().__init__()
        self._faults = faults

    def vnics(self, host):
        with self._faults.call("FakeHypervisor.vnics"):
            return super().vnics(host)


class World:
    """The host, and an agent that `restart` replaces by one that has only the disk."""

    def __init__(self):
        self.host = FakeHost(BRIDGE, cards=("eth0",), owner=INSTALLATION)
        self.faults = self.host.faults
        self.memory = DictMemory(self.faults)
        self.hypervisor = CountedHypervisor(self.faults)
        self.now = 1000.0
        self.waits = []
        self.announced = []
        self.seconds = 20.0
        described = Host(
            name=HOST,
            hypervisor=Hypervisor.KVM,
            switches=(NativeSwitch(name=SwitchName("br0"), kind=SwitchKind.LINUX_BRIDGE, uplinks=("eth0",)),),
            nics=(Nic(name="eth0", physical="fabric"),),
        )
        self.state = State(
            owner=INSTALLATION,
            site=Site(controller=Controller(southbound=SOUTHBOUND), hosts={HOST: described}),
        )
        for name, (mac, device) in VMS.items():
            self.attach(name, mac)
            self.hypervisor.start(HOST, Vnic(mac=Mac(mac), device=device))
        self.restart()
        self.faults.calls.clear()

    def restart(self):
        self.faults.clear()
        self.outages = Outages(self.memory, lambda: self.now)
        surroundings = FakeSurroundings(self.host)
        self.integration = Integration(
            self.host.connect,
            outages=self.outages,
            hypervisor=self.hypervisor,
            surroundings=surroundings,
        )
        self.conversion = Conversion(
            Grounds(
                switch=self.host.connect,
                network=FakeHostNetwork(self.host),
                surroundings=surroundings,
                daemons=FakeDaemons(self.host),
                memory=self.memory,
                patience=Patience(self.seconds, clock=lambda: self.now, sleep=self.wait),
                database=DATABASE,
            ),
            self.integration,
            self.outages,
        )

    def attach(self, name, mac):
        attachment = Attachment(
            port=PortName(name), host=HOST, kind=AttachmentKind.VIF, network=NetworkName("web"), mac=Mac(mac)
        )
        self.state = replace(self.state, attachments={**self.state.attachments, attachment.port: attachment})

    def wait(self, seconds):
        """Time passes in large steps; what is in `waits` happens meanwhile."""
        self.now += max(seconds, 0.5)
        if self.waits:
            self.waits.pop(0)()

    def announce(self, plugged):
        with self.faults.call("announce"):
            self.announced.append(dict(plugged))
            self.host.switch.up |= set(plugged)

    def convert(self):
        return self.conversion.carry_out(
            self.state, self.described, self.state.attachments.values(), self.announce
        )

    def look_again(self):
        """What the reconciler does once the host is converted: plug, report, and plug again when that is heard."""
        for _ in range(2):
            done = self.integration.carry_out(
                self.state, self.described, self.state.attachments.values(), take_from_bridges=True
            )
            self.announce(done.plugged)

    @property
    def described(self):
        return self.state.site.hosts[HOST]

    def describe(self, **changes):
        changed = replace(self.described, **changes)
        self.state = replace(self.state, site=replace(self.state.site, hosts={HOST: changed}))

    def end(self, name):
        mac, device = VMS[name]
        self.host.end(device)
        self.hypervisor.stop(HOST, Mac(mac))

    @property
    def ours(self):
        return self.host.switch.chassis.settings.get(OWNER) == INSTALLATION

    def is_converted(self):
        host = self.host
        plugged = {port: plug.device for port, plug in host.switch.plugged.items()}
        return (
            self.ours
            and host.masters == {}
            and host.holder("eth0") == "br-fabric"
            and set(host.addresses["br-fabric"]) == set(BRIDGE.addresses)
            and {route for over, route in host.routes.values() if over == "br-fabric"} == set(BRIDGE.routes)
            and plugged == {"vm1": "tap1", "vm2": "tap2"}
            and (host.switch_runs, host.controller_runs) == (True, True)
        )


@pytest.fixture
def world():
    return World()


@pytest.fixture
def new_world():
    """Makes as many as a test needs."""
    return World


def pytest_generate_tests(metafunc):
    """Every call that a conversion makes, by its number."""
    if "number" in metafunc.fixturenames:
        world = World()
        world.convert()
        named = enumerate(world.faults.calls, 1)
        metafunc.parametrize("number", [pytest.param(n, id=f"{n}-{name}") for n, name in named])
