# SPDX-License-Identifier: Apache-2.0
"""A host with everything pretended but the code under test."""

from dataclasses import replace

import pytest

from anyvisor.contracts.store import HostReport
from anyvisor.model.attachment import Attachment
from anyvisor.model.host import Host, NativeSwitch, Nic
from anyvisor.model.kinds import AttachmentKind, Hypervisor, NetworkKind, Scheme, SwitchKind
from anyvisor.model.names import HostName, Mac, NetworkName, PortName, SwitchName
from anyvisor.model.network import Network
from anyvisor.model.site import Controller, Site
from anyvisor.model.state import HostState, State
from anyvisor.model.vnic import Vnic
from anyvisor.planner.conversion import Address
from anyvisor.reconcile.chassis import ChassisReconciler, Ways
from anyvisor.reconcile.counting import Counting
from anyvisor.reconcile.integration import Integration
from anyvisor.reconcile.measuring import Measuring
from anyvisor.reconcile.outage import Outages
from anyvisor.reconcile.separation import Separation
from anyvisor.reconcile.trunking import Ground, Trunking
from anyvisor.testing.host import FakeHost, FakeSurroundings
from anyvisor.testing.hypervisor import FakeHypervisor
from anyvisor.testing.memory import DictMemory
from anyvisor.testing.switch import FakeLinuxBridges, FakeOpenvSwitch

HOST = HostName("kvm1")
WEB = NetworkName("web")


class OneHostStore:
    """A store that one host reports to; what was reported is in the next snapshot."""

    def __init__(self, state):
        self.state = state
        self.reports = []
        self.failure = None

    def snapshot(self):
        return self.state

    def report(self, report: HostReport):
        if self.failure is not None:
            raise self.failure
        self.reports.append(report)
        known = self.state.hosts.get(report.host, HostState())
        news = replace(known, carried=report.carried, conditions=report.conditions)
        if report.inner_vlans is not None:
            news = replace(news, inner_vlans=report.inner_vlans)
        self.state = replace(
            self.state,
            hosts={**self.state.hosts, report.host: news},
            plugged={**self.state.plugged, **report.plugged},
        )


class Earth(FakeSurroundings):
    """The host's own devices: which are in a Linux bridge, which are busy."""

    def __init__(self):
        self.host = FakeHost(cards=("eth9",))
        self.host.addresses["eth9"] = (Address(address="192.0.2.11", prefix_length=24),)
        super().__init__(self.host)

    @property
    def busy(self):
        return self.host.busy

    @busy.setter
    def busy(self, cards):
        self.host.busy = cards

    @property
    def bridged(self):
        return self.host.masters

    @bridged.setter
    def bridged(self, masters):
        self.host.masters = dict(masters)


class ListSink:
    def __init__(self):
        self.vnics = {}
        self.stations = {}
        self.failure = None

    def write(self, vnics, stations, *, spared=()):
        if self.failure is not None:
            raise self.failure
        self.vnics = {reading.port: reading for reading in vnics}
        self.stations = {reading.port: reading for reading in stations}


class World:
    """One host and its agent. `restart` makes a new agent that has only its memory."""

    def __init__(self):
        host = Host(
            name=HOST,
            hypervisor=Hypervisor.KVM,
            switches=(
                NativeSwitch(name=SwitchName("br-ex"), kind=SwitchKind.OPENVSWITCH, uplinks=("eth0",)),
            ),
            nics=(Nic(name="eth0", physical="fabric"), Nic(name="eth1", physical="fabric", vlan=200)),
        )
        self.store = OneHostStore(
            State(
                owner="0f0f",
                site=Site(
                    controller=Controller(southbound="tcp:192.0.2.1:6642"),
                    hosts={HOST: host},
                    networks={WEB: Network(name=WEB, kind=NetworkKind.OVERLAY, physical="fabric", vlan=200)},
                ),
                hosts={HOST: HostState(scheme=Scheme.BASELINE)},
            )
        )
        self.ovs = FakeOpenvSwitch(owner="0f0f", foreign={"theirs": "br-int"})
        self.bridges = FakeLinuxBridges()
        self.hypervisor = FakeHypervisor()
        self.ground = Earth()
        self.memory = DictMemory()
        self.sink = ListSink()
        self.now = 1000.0
        self.ovs_failure = None
        self.in_appliance = False
        self.restart()

    def move_into_appliance(self):
        """The agent is the one inside the host's appliance."""
        self.in_appliance = True
        self.restart()

    def restart(self):
        outages = Outages(self.memory, lambda: self.now)
        integration = Integration(
            self._switch, outages=outages, hypervisor=self.hypervisor, surroundings=self.ground
        )
        self.agent = ChassisReconciler(
            HOST,
            self.store,
            integration,
            outages=outages,
            ways=Ways(
                separation=Separation(self.bridges, self.hypervisor),
                trunking=Trunking(
                    integration,
                    Ground(trunk="trunk0", uplink="eth1", bridge="br-ex", tunnel_ip="192.0.2.21"),
                )
                if self.in_appliance
                else None,
            ),
            measuring=Measuring(
                HOST, Counting(HOST, self.memory, lambda: self.now), self.sink, hypervisor=self.hypervisor
            ),
        )

    def _switch(self):
        if self.ovs_failure is not None:
            raise self.ovs_failure
        return self.ovs

    def decide(self, scheme):
        known = self.store.state.hosts.get(HOST, HostState())
        self.store.state = replace(self.store.state, hosts={HOST: replace(known, scheme=scheme)})

    def attach(self, name, mac, kind=AttachmentKind.VIF, vlan=None, **more):
        attachment = Attachment(
            port=PortName(name),
            host=HOST,
            kind=kind,
            network=WEB,
            mac=Mac(mac),
            vlan=vlan if vlan is not None else 200 if kind is AttachmentKind.EXTERNAL else None,
            **more,
        )
        held = {**self.store.state.attachments, attachment.port: attachment}
        self.store.state = replace(self.store.state, attachments=held)
        return attachment

    def detach(self, name):
        held = {port: a for port, a in self.store.state.attachments.items() if port != name}
        self.store.state = replace(self.store.state, attachments=held)

    def start_vm(self, mac, device):
        self.hypervisor.start(HOST, Vnic(mac=Mac(mac), device=device))

    def conditions(self):
        return {c.kind: c for c in self.store.state.hosts[HOST].conditions}


@pytest.fixture
def world():
    return World()
